#ifndef SEARCH_GROUP_H
#define SEARCH_GROUP_H

#include <stddef.h>
#include <stdint.h>
#include "search/shape.h"

/*
 * A group is the smallest set of parameters that must go together. Three types:
 *
 *   heads  one KV group of one layer: the KV head's rows of Wk and Wv, and for each
 *          of its q_heads / kv_heads query heads the rows of Wq and the columns of
 *          Wo (and the biases of these rows). In a model without grouped queries
 *          that is one head.
 *   ffn    one channel of one layer: a row of Wgate, a row of Wup, a column of Wdown.
 *   stem   one channel of the residual stream, the same in all layers: a column of
 *          Wq, Wk, Wv, Wgate, Wup, a row of Wo, Wdown (and an element of their biases), of
 *          every norm gain,
 *          a column of the embedding and, if it is not tied, of the head.
 *
 * Heads may instead be cut by `query`: one query head of every KV group of a layer
 * goes, KV heads stay. Either way kv_heads keeps dividing q_heads.
 *
 * What removal does to memory, everywhere in this house (weights, moments, scores,
 * index maps): the last unit moves into the hole and the count shrinks by one.
 *   heads  KV head K-1 and its r = q_heads / kv_heads query heads move to KV head j
 *          and query heads j r .. j r + r - 1;
 *   query  in each KV group the last of its r query heads moves into the hole, then
 *          the groups close up: query head g r + s becomes g (r - 1) + s;
 *   ffn, stem  channel n-1 moves to j.
 */
enum group_type { GROUP_HEADS, GROUP_FFN, GROUP_STEM, GROUP_TYPES };

enum head_unit { HEAD_UNIT_KV_GROUP, HEAD_UNIT_QUERY, HEAD_UNITS };

extern const char *const group_names[];     /* "heads", "ffn", "stem", NULL */
extern const char *const head_unit_names[]; /* "kv_group", "query", NULL */

/* Units left: heads: KV groups (or query heads per KV group) of layer l; ffn:
 * channels of layer l; stem: hidden_size, whatever l. */
int group_count(const struct shape *shape, enum group_type type, enum head_unit unit, int l);

/* Makes it so many; query heads per KV group, or KV heads, stay as they are. */
void group_set_count(struct shape *shape, enum group_type type, enum head_unit unit, int l, int n);

/* Parameters of one unit. For heads and ffn those of layer l; a stem unit spans the
 * model. For `query` it is one query head of each of the layer's KV groups. */
int64_t group_params(const struct shape *shape, enum group_type type, enum head_unit unit, int l);

/* The same without embedding and head; differs for the stem only. */
int64_t group_params_non_embedding(const struct shape *shape, enum group_type type,
                                   enum head_unit unit, int l);

/* The motion above on any array of `width` bytes an entry (a row of weights, a moment, a
 * score, an index). Of n entries the last moves to j: */
void group_move_last(void *entries, size_t width, int n, int j);

/* Of kv * r query entries one of every group goes; position[g] is its query head
 * (g r .. g r + r - 1). What remains is kv * (r - 1) entries at the front. */
void group_move_queries(void *entries, size_t width, int kv, int r, const int *position);

#endif
