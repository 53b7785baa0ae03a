#ifndef CLIENTS_CLI_PRINT_H
#define CLIENTS_CLI_PRINT_H

#include <jansson.h>
#include <stdio.h>

/*
 * Prints a document and a newline, members in their order, numbers as the shortest
 * text that reads back the same (0.1, not 0.10000000000000001, as jansson would).
 */
void print_json(json_t *json, FILE *out);      /* indented, for eyes */
void print_json_line(json_t *json, FILE *out); /* one line, flushed: for NDJSON */

#endif
