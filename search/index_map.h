#ifndef SEARCH_INDEX_MAP_H
#define SEARCH_INDEX_MAP_H

#include "search/group.h"
#include "search/trajectory.h"

/*
 * Remembers which unit of the source each survivor is: map[position] = source index.
 * One map for the stem and three a layer: KV heads, query heads, FFN channels. Starts
 * as the identity; a removal moves the entries as it moves the weights (group.h).
 * Owns its memory.
 */
struct index_map {
    int n_layers;
    int *kv[SHAPE_MAX_LAYERS];    /* kv_heads of the current shape */
    int *query[SHAPE_MAX_LAYERS]; /* q_heads */
    int *ffn[SHAPE_MAX_LAYERS];   /* ffn */
    int *stem;                    /* hidden_size */
    int *block;                   /* what the pointers above point into: one allocation */
};

void index_map_init(struct index_map *map, const struct shape *source);
void index_map_release(struct index_map *map);

/* The map that a removal's positions are looked up in. */
const int *index_map_of(const struct index_map *map, enum group_type type, enum head_unit unit,
                        int l);

/* Moves the entries; `shape` is the one before the removal, which fits it. */
void index_map_remove(struct index_map *map, const struct shape *shape,
                      const struct removal *removal);

#endif
