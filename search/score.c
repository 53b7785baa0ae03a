#include "search/score.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ----------------------------------------------------------------------------------- */

static int heads_entries(const struct layer_shape *layer, enum head_unit unit)
{
    return unit == HEAD_UNIT_QUERY ? layer->q_heads : layer->kv_heads;
}

static void take_params(struct scores *s, const struct shape *shape)
{
    for (int l = 0; l < s->n_layers; l++) {
        int64_t unit = group_params(shape, GROUP_HEADS, s->unit, l);
        s->heads_params[l] = s->unit == HEAD_UNIT_QUERY ? unit / shape->layer[l].kv_heads : unit;
        s->ffn_params[l] = group_params(shape, GROUP_FFN, s->unit, l);
    }
    s->stem_params = s->without_embedding
                         ? group_params_non_embedding(shape, GROUP_STEM, s->unit, 0)
                         : group_params(shape, GROUP_STEM, s->unit, 0);
}

static void take_counts(struct scores *s, const struct shape *shape)
{
    s->n_stem = shape->hidden_size;
    for (int l = 0; l < s->n_layers; l++) {
        s->n_heads[l] = heads_entries(&shape->layer[l], s->unit);
        s->n_ffn[l] = shape->layer[l].ffn;
        s->queries_per_kv[l] = shape->layer[l].q_heads / shape->layer[l].kv_heads;
    }
}

int64_t scores_count(const struct scores *s)
{
    int64_t n = s->n_stem;
    for (int l = 0; l < s->n_layers; l++) n += s->n_heads[l] + s->n_ffn[l];
    return n;
}

void scores_init(struct scores *s, const struct shape *shape, enum head_unit unit)
{
    *s = (struct scores){ .unit = unit, .n_layers = shape->n_layers };
    take_counts(s, shape);
    take_params(s, shape);
    s->block = calloc((size_t)scores_count(s), sizeof *s->block);
    if (!s->block) abort();
    double *next = s->block;
    for (int l = 0; l < s->n_layers; l++) {
        s->heads[l] = next;
        s->ffn[l] = next += s->n_heads[l];
        next += s->n_ffn[l];
    }
    s->stem = next;
}

void scores_set_embedding(struct scores *s, const struct shape *shape, bool in_stem)
{
    s->without_embedding = !in_stem;
    take_params(s, shape);
}

void scores_release(struct scores *s)
{
    free(s->block);
    *s = (struct scores){ 0 };
}

/* ---- every array, in the order of a checkpoint --------------------------------------------- */

int scores_arrays(const struct scores *s) { return 2 * s->n_layers + 1; }

double *scores_array(const struct scores *s, int k, int *n)
{
    int l = k / 2;
    if (l == s->n_layers) {
        *n = s->n_stem;
        return s->stem;
    }
    *n = k % 2 ? s->n_ffn[l] : s->n_heads[l];
    return k % 2 ? s->ffn[l] : s->heads[l];
}

void scores_fade(struct scores *s, const struct shape *shape, double keep)
{
    for (int k = 0; k < scores_arrays(s); k++) {
        int n;
        double *sums = scores_array(s, k, &n);
        for (int j = 0; j < n; j++) sums[j] = keep == 0 ? 0 : sums[j] * keep;
    }
    s->weight *= keep;
    take_params(s, shape);
}

void scores_get(const struct scores *s, double *out)
{
    for (int k = 0; k < scores_arrays(s); k++) {
        int n;
        const double *sums = scores_array(s, k, &n);
        memcpy(out, sums, (size_t)n * sizeof *out);
        out += n;
    }
}

void scores_set(struct scores *s, const double *in)
{
    for (int k = 0; k < scores_arrays(s); k++) {
        int n;
        double *sums = scores_array(s, k, &n);
        memcpy(sums, in, (size_t)n * sizeof *in);
        in += n;
    }
}

/* ---- removal ------------------------------------------------------------------------------- */

static void remove_in_layer(struct scores *s, const struct removal *r, int l, const int *position)
{
    if (r->type == GROUP_FFN) {
        group_move_last(s->ffn[l], sizeof(double), s->n_ffn[l]--, *position);
    } else if (s->unit == HEAD_UNIT_QUERY) {
        int kv = s->n_heads[l] / s->queries_per_kv[l];
        group_move_queries(s->heads[l], sizeof(double), kv, s->queries_per_kv[l]--, position);
        s->n_heads[l] -= kv;
    } else {
        group_move_last(s->heads[l], sizeof(double), s->n_heads[l]--, *position);
    }
}

void scores_remove(struct scores *s, const struct shape *before, const struct removal *r)
{
    if (r->type == GROUP_STEM) {
        group_move_last(s->stem, sizeof(double), s->n_stem--, r->position[0]);
        return;
    }
    for (int l = 0; l < s->n_layers; l++) {
        int first;
        if (removal_of_layer(r, before, l, &first)) remove_in_layer(s, r, l, r->position + first);
    }
}
