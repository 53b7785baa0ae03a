#include "search/index_map.h"

#include <stdlib.h>

static int64_t entries_of(const struct shape *s)
{
    int64_t n = s->hidden_size;
    for (int l = 0; l < s->n_layers; l++)
        n += s->layer[l].kv_heads + s->layer[l].q_heads + s->layer[l].ffn;
    return n;
}

/* Takes n entries from *next and numbers them. */
static int *identity(int **next, int n)
{
    int *map = *next;
    for (int i = 0; i < n; i++) map[i] = i;
    *next += n;
    return map;
}

void index_map_init(struct index_map *map, const struct shape *source)
{
    *map = (struct index_map){ .n_layers = source->n_layers };
    map->block = malloc((size_t)entries_of(source) * sizeof *map->block);
    if (!map->block) abort();
    int *next = map->block;
    for (int l = 0; l < source->n_layers; l++) {
        map->kv[l] = identity(&next, source->layer[l].kv_heads);
        map->query[l] = identity(&next, source->layer[l].q_heads);
        map->ffn[l] = identity(&next, source->layer[l].ffn);
    }
    map->stem = identity(&next, source->hidden_size);
}

void index_map_release(struct index_map *map)
{
    free(map->block);
    *map = (struct index_map){ 0 };
}

const int *index_map_of(const struct index_map *map, enum group_type type, enum head_unit unit,
                        int l)
{
    if (type == GROUP_STEM) return map->stem;
    if (type == GROUP_FFN) return map->ffn[l];
    return unit == HEAD_UNIT_QUERY ? map->query[l] : map->kv[l];
}

static void remove_heads(struct index_map *map, const struct layer_shape *layer, int l,
                         const int *position, enum head_unit unit)
{
    int kv = layer->kv_heads, r = layer->q_heads / kv;
    if (unit == HEAD_UNIT_QUERY) {
        group_move_queries(map->query[l], sizeof(int), kv, r, position);
    } else {
        group_move_last(map->kv[l], sizeof(int), kv, *position);
        group_move_last(map->query[l], sizeof(int) * (size_t)r, kv, *position);
    }
}

void index_map_remove(struct index_map *map, const struct shape *shape,
                      const struct removal *removal)
{
    if (removal->type == GROUP_STEM) {
        group_move_last(map->stem, sizeof(int), shape->hidden_size, removal->position[0]);
        return;
    }
    for (int l = 0; l < shape->n_layers; l++) {
        int first;
        if (!removal_of_layer(removal, shape, l, &first)) continue;
        const int *position = removal->position + first;
        if (removal->type == GROUP_FFN)
            group_move_last(map->ffn[l], sizeof(int), shape->layer[l].ffn, *position);
        else
            remove_heads(map, &shape->layer[l], l, position, removal->unit);
    }
}
