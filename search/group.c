#include "search/group.h"

#include <string.h>

const char *const group_names[] = { "heads", "ffn", "stem", NULL };
const char *const head_unit_names[] = { "kv_group", "query", NULL };

int group_count(const struct shape *shape, enum group_type type, enum head_unit unit, int l)
{
    const struct layer_shape *layer = &shape->layer[l];
    if (type == GROUP_STEM) return shape->hidden_size;
    if (type == GROUP_FFN) return layer->ffn;
    return unit == HEAD_UNIT_QUERY ? layer->q_heads / layer->kv_heads : layer->kv_heads;
}

void group_set_count(struct shape *shape, enum group_type type, enum head_unit unit, int l, int n)
{
    struct layer_shape *layer = &shape->layer[l];
    if (type == GROUP_STEM) {
        shape->hidden_size = n;
    } else if (type == GROUP_FFN) {
        layer->ffn = n;
    } else if (unit == HEAD_UNIT_QUERY) {
        layer->q_heads = n * layer->kv_heads;
    } else {
        layer->q_heads = n * (layer->q_heads / layer->kv_heads);
        layer->kv_heads = n;
    }
}

static int64_t heads_params(const struct shape *shape, enum head_unit unit, int l)
{
    const struct layer_shape *layer = &shape->layer[l];
    bool query = unit == HEAD_UNIT_QUERY;
    int64_t queries = query ? layer->kv_heads : layer->q_heads / layer->kv_heads;
    int64_t keys = query ? 0 : 1;
    int64_t weights = 2 * (queries + keys) * shape->hidden_size;
    int64_t biases = shape->qkv_bias ? queries + 2 * keys : 0;
    return shape->head_dim * (weights + biases);
}

/* Columns, rows and gains that one stem channel has in the layers and the last norm. */
static int64_t stem_params(const struct shape *shape)
{
    int64_t sum = 1;
    for (int l = 0; l < shape->n_layers; l++) {
        const struct layer_shape *layer = &shape->layer[l];
        sum += 2 * (int64_t)shape->head_dim * (layer->q_heads + layer->kv_heads);
        sum += 3 * (int64_t)layer->ffn + 2 + (shape->output_bias ? 2 : 0);
    }
    return sum;
}

int64_t group_params_non_embedding(const struct shape *shape, enum group_type type,
                                   enum head_unit unit, int l)
{
    switch (type) {
    case GROUP_HEADS: return heads_params(shape, unit, l);
    case GROUP_FFN: return 3 * (int64_t)shape->hidden_size;
    default: return stem_params(shape);
    }
}

int64_t group_params(const struct shape *shape, enum group_type type, enum head_unit unit, int l)
{
    int64_t params = group_params_non_embedding(shape, type, unit, l);
    if (type != GROUP_STEM) return params;
    return params + (int64_t)shape->vocab_size * (shape->tie_word_embeddings ? 1 : 2);
}

/* ---- motion ---------------------------------------------------------------------------- */

void group_move_last(void *entries, size_t width, int n, int j)
{
    char *bytes = entries;
    if (j != n - 1) memcpy(bytes + width * (size_t)j, bytes + width * (size_t)(n - 1), width);
}

void group_move_queries(void *entries, size_t width, int kv, int r, const int *position)
{
    char *bytes = entries;
    for (int g = 0; g < kv; g++) {
        char *from = bytes + width * (size_t)(g * r);
        group_move_last(from, width, r, position[g] - g * r);
        memmove(bytes + width * (size_t)(g * (r - 1)), from, width * (size_t)(r - 1));
    }
}
