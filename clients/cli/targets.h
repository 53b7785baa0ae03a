#ifndef CLIENTS_CLI_TARGETS_H
#define CLIENTS_CLI_TARGETS_H

#include <jansson.h>
#include <stdio.h>

/* The targets of an export, as the service sends them, for people. */

/* A row each: what it loads as, how far its logits are from ours, how large it is. */
void targets_print(json_t *targets, FILE *out);

/* Which runtimes load each, and why not the others. */
void targets_print_runtimes(json_t *targets, FILE *out);

/* The files of each, with their checksums. */
void targets_print_files(json_t *targets, FILE *out);

#endif
