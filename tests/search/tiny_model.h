#ifndef TESTS_SEARCH_TINY_MODEL_H
#define TESTS_SEARCH_TINY_MODEL_H

/*
 * A model as nothing but its matrices, with random weights, gradients and inputs, and the
 * question "does this element belong to that unit?" answered one element at a time.
 */
#include <math.h>
#include "search/base/rng.h"
#include "search/statistics.h"

enum { STEPS = 3, SEQUENCES = 2, TIME = 5, TOKENS = STEPS * SEQUENCES * TIME, MAX_MATRICES = 80 };

enum axis { ROWS_Q, ROWS_KV, CHANNELS_FFN, CHANNELS_STEM, CHANNELS_FIXED };

struct matrix {
    int layer, rows, cols, reads; /* reads: 0 nothing, 1 attention, 2 ffn, 3 + norm */
    enum axis row, col;
    bool embedding;
    double *w, *g[STEPS];
};

struct tiny {
    struct shape shape;
    int n;
    struct matrix m[MAX_MATRICES];
};

/* The units of an axis: (type, layer, unit) of entry i, or false. */
static bool unit_of_axis(const struct shape *s, enum head_unit unit, enum axis axis, int layer,
                         int i, enum group_type *type, int *j)
{
    int q = 0, r = 1;
    if (axis == ROWS_Q || axis == ROWS_KV) {
        q = i / s->head_dim;
        r = s->layer[layer].q_heads / s->layer[layer].kv_heads;
    }
    switch (axis) {
    case ROWS_Q:
        *type = GROUP_HEADS;
        *j = unit == HEAD_UNIT_QUERY ? q : q / r;
        return true;
    case ROWS_KV:
        *type = GROUP_HEADS;
        *j = q;
        return unit == HEAD_UNIT_KV_GROUP;
    case CHANNELS_FFN:
        *type = GROUP_FFN;
        *j = i;
        return true;
    case CHANNELS_STEM:
        *type = GROUP_STEM;
        *j = i;
        return true;
    default: return false;
    }
}

static void add_matrix(struct tiny *t, struct rng *rng, int layer, enum axis row, int rows,
                       enum axis col, int cols, int reads, bool embedding)
{
    struct matrix *m = &t->m[t->n++];
    size_t n = (size_t)(rows * cols);
    *m = (struct matrix){ layer, rows, cols, reads, row, col, embedding, NULL, { NULL } };
    m->w = malloc(n * sizeof *m->w);
    for (size_t i = 0; i < n; i++) m->w[i] = rng_normal(rng);
    for (int s = 0; s < STEPS; s++) {
        m->g[s] = malloc(n * sizeof *m->g[s]);
        for (size_t i = 0; i < n; i++) m->g[s][i] = rng_normal(rng);
    }
}

static void tiny_init(struct tiny *t, const struct shape *shape, struct rng *rng)
{
    int d = shape->hidden_size, h = shape->head_dim, L = shape->n_layers;
    *t = (struct tiny){ .shape = *shape };
    add_matrix(t, rng, 0, CHANNELS_FIXED, shape->vocab_size, CHANNELS_STEM, d, 3 + 2 * L, true);
    for (int l = 0; l < L; l++) {
        int q = shape->layer[l].q_heads * h, kv = shape->layer[l].kv_heads * h;
        int f = shape->layer[l].ffn;
        add_matrix(t, rng, l, ROWS_Q, q, CHANNELS_STEM, d, 3 + 2 * l, false);
        add_matrix(t, rng, l, ROWS_KV, kv, CHANNELS_STEM, d, 3 + 2 * l, false);
        add_matrix(t, rng, l, ROWS_KV, kv, CHANNELS_STEM, d, 3 + 2 * l, false);
        add_matrix(t, rng, l, CHANNELS_STEM, d, ROWS_Q, q, 1, false);
        add_matrix(t, rng, l, CHANNELS_FFN, f, CHANNELS_STEM, d, 3 + 2 * l + 1, false);
        add_matrix(t, rng, l, CHANNELS_FFN, f, CHANNELS_STEM, d, 3 + 2 * l + 1, false);
        add_matrix(t, rng, l, CHANNELS_STEM, d, CHANNELS_FFN, f, 2, false);
        add_matrix(t, rng, l, CHANNELS_FIXED, 1, CHANNELS_STEM, d, 0, false);
        add_matrix(t, rng, l, CHANNELS_FIXED, 1, CHANNELS_STEM, d, 0, false);
    }
    add_matrix(t, rng, L, CHANNELS_FIXED, 1, CHANNELS_STEM, d, 0, false);
}

static void tiny_release(struct tiny *t)
{
    for (int i = 0; i < t->n; i++) {
        free(t->m[i].w);
        for (int s = 0; s < STEPS; s++) free(t->m[i].g[s]);
    }
}

/* Input number c of place p (1 attention, 2 ffn, 3 + norm) of a layer at a token. */
static double input_at(int p, int layer, int token, int c)
{
    uint64_t x = rng_mix((uint64_t)(p * 1000 + layer), (uint64_t)(token * 10000 + c));
    return (double)(x >> 11) * 0x1p-53 * 3 - 1;
}

static double *table_entry(struct scores *s, enum group_type type, int l, int j)
{
    return type == GROUP_STEM ? &s->stem[j] : type == GROUP_FFN ? &s->ffn[l][j] : &s->heads[l][j];
}

/* The largest element of a unit in one step, by looking at all of them. */
static double unit_max(const struct tiny *t, enum head_unit unit, enum group_type type, int l,
                       int j, int step)
{
    double most = 0;
    for (int i = 0; i < t->n; i++) {
        const struct matrix *m = &t->m[i];
        for (int at = 0; at < m->rows * m->cols; at++) {
            enum group_type a = 0, b = 0;
            int ja = -1, jb = -1;
            bool in = unit_of_axis(&t->shape, unit, m->row, m->layer, at / m->cols, &a, &ja) &&
                      a == type && ja == j && (type == GROUP_STEM || m->layer == l);
            in |= unit_of_axis(&t->shape, unit, m->col, m->layer, at % m->cols, &b, &jb) &&
                  b == type && jb == j && (type == GROUP_STEM || m->layer == l);
            if (in) most = fmax(most, fabs(m->w[at] * m->g[step][at]));
        }
    }
    return most;
}

#endif
