#ifndef CLIENTS_CLI_ARMS_H
#define CLIENTS_CLI_ARMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include "search/base/buf.h"

/*
 * A comparison for people: its arms while they train, and its outcome in words
 * that claim no more than the numbers do. With one seed there is no interval, and
 * it is said; an interval that holds zero is called no measurable difference.
 */
void arms_block(json_t *comparison, int columns, bool utf8, struct buf *out);
void arms_line(json_t *comparison, struct buf *out);
void arms_print(json_t *comparison, FILE *out);

#endif
