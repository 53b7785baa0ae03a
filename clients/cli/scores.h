#ifndef CLIENTS_CLI_SCORES_H
#define CLIENTS_CLI_SCORES_H

#include <jansson.h>
#include <stdio.h>

/*
 * The results of an evaluation for people, a row a metric: its value and what stands beside it,
 * the standard error ("acc_stderr" beside "acc") or the range of repeats ("_min", "_max").
 */
void scores_print(json_t *results, FILE *out);

#endif
