#ifndef CLIENTS_CLI_LOOK_H
#define CLIENTS_CLI_LOOK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Looks into a reply by a dotted path, "totals.params". The service may add
 * members at any time, so nothing here refuses what it does not know; what is
 * missing, null or of another type is the default. Values belong to the document.
 */
json_t *look_at(json_t *json, const char *path);
const char *look_string(json_t *json, const char *path, const char *otherwise);
double look_number(json_t *json, const char *path); /* NaN when missing */
int64_t look_int(json_t *json, const char *path, int64_t otherwise);
bool look_true(json_t *json, const char *path);

#endif
