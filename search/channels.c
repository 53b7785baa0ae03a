#include "search/channels.h"

#include <stdlib.h>
#include <string.h>

/* ---- every array: attention and ffn of layer 0, 1, ..., then the norms ---------------------- */

static int n_arrays(const struct channels *c) { return 4 * c->n_layers + 1; }

static double **array_at(struct channels *c, int k, int *n)
{
    int l = k / 2, norm = k - 2 * c->n_layers;
    *n = norm >= 0 ? c->n_stem : k % 2 ? c->n_ffn[l] : c->n_attention[l];
    return norm >= 0 ? &c->stem[norm] : k % 2 ? &c->ffn[l] : &c->attention[l];
}

static const double *numbers_at(const struct channels *c, int k, int *n)
{
    int l = k / 2, norm = k - 2 * c->n_layers;
    *n = norm >= 0 ? c->n_stem : k % 2 ? c->n_ffn[l] : c->n_attention[l];
    return norm >= 0 ? c->stem[norm] : k % 2 ? c->ffn[l] : c->attention[l];
}

int64_t channels_count(const struct channels *c)
{
    int64_t sum = 0;
    for (int k = 0; k < n_arrays(c); k++) {
        int n;
        numbers_at(c, k, &n);
        sum += n;
    }
    return sum;
}

/* ---- life ---------------------------------------------------------------------------------- */

void channels_init(struct channels *c, const struct shape *shape)
{
    *c = (struct channels){ .n_layers = shape->n_layers,
                            .head_dim = shape->head_dim,
                            .n_stem = shape->hidden_size };
    for (int l = 0; l < shape->n_layers; l++) {
        c->n_attention[l] = shape->layer[l].q_heads * shape->head_dim;
        c->n_ffn[l] = shape->layer[l].ffn;
    }
    double *next = c->block = calloc((size_t)channels_count(c), sizeof *next);
    if (!next) abort();
    for (int k = 0; k < n_arrays(c); k++) {
        int n;
        *array_at(c, k, &n) = next;
        next += n;
    }
}

void channels_release(struct channels *c)
{
    free(c->block);
    *c = (struct channels){ 0 };
}

void channels_fade(struct channels *c, double keep)
{
    for (int k = 0; k < n_arrays(c); k++) {
        int n;
        double *numbers = *array_at(c, k, &n);
        for (int i = 0; i < n; i++) numbers[i] = keep == 0 ? 0 : numbers[i] * keep;
    }
}

void channels_get(const struct channels *c, double *out)
{
    for (int k = 0; k < n_arrays(c); k++) {
        int n;
        const double *numbers = numbers_at(c, k, &n);
        memcpy(out, numbers, (size_t)n * sizeof *out);
        out += n;
    }
}

void channels_set(struct channels *c, const double *in)
{
    for (int k = 0; k < n_arrays(c); k++) {
        int n;
        double *numbers = *array_at(c, k, &n);
        memcpy(numbers, in, (size_t)n * sizeof *in);
        in += n;
    }
}

/* ---- removal ------------------------------------------------------------------------------- */

/* A query head is a run of head_dim channels, a KV group a run of query heads. */
static void remove_heads(struct channels *c, const struct layer_shape *layer,
                         const struct removal *removal, int l, const int *position)
{
    int kv = layer->kv_heads, r = layer->q_heads / kv;
    size_t head = (size_t)c->head_dim * sizeof(double);
    if (removal->unit == HEAD_UNIT_QUERY) {
        group_move_queries(c->attention[l], head, kv, r, position);
        c->n_attention[l] -= kv * c->head_dim;
    } else {
        group_move_last(c->attention[l], head * (size_t)r, kv, *position);
        c->n_attention[l] -= r * c->head_dim;
    }
}

void channels_remove(struct channels *c, const struct shape *before, const struct removal *removal)
{
    if (removal->type == GROUP_STEM) {
        for (int k = 0; k < 2 * c->n_layers + 1; k++)
            group_move_last(c->stem[k], sizeof(double), c->n_stem, removal->position[0]);
        c->n_stem--;
        return;
    }
    for (int l = 0; l < c->n_layers; l++) {
        int first;
        if (!removal_of_layer(removal, before, l, &first)) continue;
        const int *position = removal->position + first;
        if (removal->type == GROUP_FFN)
            group_move_last(c->ffn[l], sizeof(double), c->n_ffn[l]--, *position);
        else
            remove_heads(c, &before->layer[l], removal, l, position);
    }
}

int channels_gone(const struct removal *removal, const struct shape *before, int l, int *gone)
{
    int first, k = 0, n = removal_of_layer(removal, before, l, &first), span = 1;
    if (removal->type == GROUP_HEADS) {
        const struct layer_shape *layer = &before->layer[l];
        bool query = removal->unit == HEAD_UNIT_QUERY;
        span = before->head_dim * (query ? 1 : layer->q_heads / layer->kv_heads);
    }
    for (int e = 0; e < n; e++)
        for (int i = 0; i < span; i++) gone[k++] = removal->position[first + e] * span + i;
    return k;
}
