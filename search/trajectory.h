#ifndef SEARCH_TRAJECTORY_H
#define SEARCH_TRAJECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include "search/group.h"

/*
 * A trajectory is the ordered removals of one search, ordinal 1, 2, 3, ...; ordinal 0
 * is the source. With the source's shape it determines every shape on the way: open a
 * search and search_apply the removals in order (search.h), which refuses one that
 * does not fit.
 *
 * One removal names what went, twice: `position` where it lay in memory just before
 * (for surgery and replay; the rule of motion is in group.h), `index` which channel of
 * the source it was. Entries are ordered by layer:
 *
 *   stem                      1 entry, layer = -1
 *   ffn, heads, uniform       1 entry a layer, layer = -1; -1 in a frozen layer
 *   ffn, heads, per_layer     1 entry, layer = its layer
 *   heads cut by query        as heads, but kv_heads entries where those have one: the
 *                             query head of each KV group, as a query head of the layer
 *                             (kv_heads entries of -1 in a frozen layer)
 *
 * min_score is the score of the best group of every type at that moment, NAN for a
 * type that could not be chosen (out of the space, at its floor); runner_up is the
 * score of the group that would have gone instead, NAN when there is none. Scores are
 * in the unit of the criterion; by default mean |w g| per parameter and step.
 *
 * As JSON (a member order that never changes; unknown scores are null):
 *
 *     {"ordinal":1,"step":120,"tokens":245760,"type":"ffn","layer":-1,"position":[3,17],
 *      "index":[3,17],"min_score":{"heads":null,"ffn":1.9e-7,"stem":2.5e-7},
 *      "runner_up":2e-7,"params":1048576,"shape_hash":"9f..."}
 *
 * and "unit":"query" after the type when heads are cut by query.
 */
enum { REMOVAL_MAX = 1024 }; /* entries of one removal: layers, times KV heads by query */

struct removal {
    int64_t step;   /* optimizer steps done when it was decided, the source's training included */
    int64_t tokens; /* tokens seen by then */
    int ordinal;    /* 1.. */
    enum group_type type;
    enum head_unit unit; /* means something for heads only */
    int layer;           /* -1: every layer */
    int n;               /* entries below */
    int position[REMOVAL_MAX], source_index[REMOVAL_MAX];
    double min_score[GROUP_TYPES];
    double runner_up;
    int64_t params;            /* of the shape after it */
    char shape_hash[HASH_HEX]; /* of the shape after it */
};

/* The members alone, into an object that the caller has opened (an event has more). */
void removal_emit(const struct removal *removal, struct emit *e);

/* Reads those members from an object that the caller opened and will end. */
enum status removal_read(struct removal *removal, struct field *f);

/* The entries that belong to layer l (stem: to layer 0): how many, and where they start.
 * `before` is the shape before the removal. 0 for a layer that loses nothing. */
int removal_of_layer(const struct removal *removal, const struct shape *before, int l, int *first);

/* E_CONFLICT when the entries do not fit the shape: their number, a position outside its
 * layer, a layer that would be left with nothing. */
enum status removal_check(const struct removal *removal, const struct shape *before,
                          struct error *err);

/* Takes the units out of a shape that the removal fits. */
void removal_shrink(const struct removal *removal, struct shape *shape);

#endif
