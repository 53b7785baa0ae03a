#ifndef CLIENTS_CLI_SHAPES_H
#define CLIENTS_CLI_SHAPES_H

#include <jansson.h>
#include <stdio.h>

/*
 * Shapes for people. Heads are written q/kv: query heads and the KV heads they share.
 */

/* Items of GET /searches/{id}/shapes side by side: a column an item, totals on top, then the
 * layers (neighbours that are alike in every column share a row), then the shape a human would have
 * drawn at the same number of parameters. */
void shapes_print(json_t *items, FILE *out);

/* One shape, layer by layer. */
void shapes_print_layers(json_t *shape, FILE *out);

/* Removals (items of a trajectory that starts at `source_params`) counted by type over `n_rows`
 * equal stretches of the parameters removed, with the median of each type's
 * smallest score there. This is the order in which the types went. */
void shapes_print_order(json_t *removals, double source_params, int n_rows, FILE *out);

#endif
