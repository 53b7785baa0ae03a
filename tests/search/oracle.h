#ifndef TESTS_SEARCH_ORACLE_H
#define TESTS_SEARCH_ORACLE_H

/*
 * The search again, slowly: sets of surviving source indices instead of maps and holes,
 * parameters counted weight by weight, and the schedule as a countdown of credits. Shares
 * no code with search/ but the plain structs.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "search/base/rng.h"
#include "search/search.h"

enum { ORACLE_LAYERS = 6, ORACLE_WIDTH = 64 };

struct oracle {
    struct search_options o;
    struct shape source;
    bool kv[ORACLE_LAYERS][ORACLE_WIDTH], query[ORACLE_LAYERS][ORACLE_WIDTH];
    bool ffn[ORACLE_LAYERS][ORACLE_WIDTH], stem[ORACLE_WIDTH];
    bool stopped; /* only rounding is left */
    long credit;  /* units still to wait, or (negative) choices still to make */
};

/* What the oracle says goes next: per layer the source indices. */
struct verdict {
    bool any;
    int type, layer;
    int n[ORACLE_LAYERS];
    int index[ORACLE_LAYERS][ORACLE_WIDTH];
    double min_score[3], runner_up;
};

static int alive(const bool *set)
{
    int n = 0;
    for (int i = 0; i < ORACLE_WIDTH; i++) n += set[i];
    return n;
}

static void oracle_init(struct oracle *o, const struct shape *source,
                        const struct search_options *options)
{
    memset(o, 0, sizeof *o);
    o->o = *options;
    o->source = *source;
    for (int l = 0; l < source->n_layers; l++) {
        for (int i = 0; i < source->layer[l].kv_heads; i++) o->kv[l][i] = true;
        for (int i = 0; i < source->layer[l].q_heads; i++) o->query[l][i] = true;
        for (int i = 0; i < source->layer[l].ffn; i++) o->ffn[l][i] = true;
    }
    for (int i = 0; i < source->hidden_size; i++) o->stem[i] = true;
}

/* A sum of the unit (step, type, layer, source index); coarse, so that there are ties. */
static double made_up(uint64_t seed, int type, int l, int index)
{
    uint64_t key = rng_mix(seed, (uint64_t)((type * 100 + l) * 1000 + index));
    return (double)(1 + key % 23);
}

/* Every weight of the model, one by one; slow on purpose. */
static long oracle_params(const struct oracle *o)
{
    long d = alive(o->stem), h = o->source.head_dim, n = 0;
    for (int copies = 0; copies < (o->source.tie_word_embeddings ? 1 : 2); copies++)
        for (int v = 0; v < o->source.vocab_size; v++) n += d;
    for (int l = 0; l < o->source.n_layers; l++) {
        long q = alive(o->query[l]) * h, kv = alive(o->kv[l]) * h;
        n += q * d + kv * d + kv * d + d * q;
        if (o->source.qkv_bias) n += q + kv + kv;
        if (o->source.output_bias) n += 2 * d;
        for (int j = 0; j < ORACLE_WIDTH; j++)
            if (o->ffn[l][j]) n += d + d + d;
        n += d + d;
    }
    return n + d;
}

/* Parameters that one entry of the table stands for: what the model loses without it. */
static double entry_params(const struct oracle *o, int type, int l)
{
    struct oracle less = *o;
    int first = 0;
    bool *set = type == 0 ? less.kv[l] : type == 1 ? less.ffn[l] : less.stem;
    bool query = type == 0 && o->o.space.head_unit == HEAD_UNIT_QUERY;
    if (query) set = less.query[l];
    while (!set[first]) first++;
    set[first] = false;
    if (type == 0 && !query) { /* its query heads go too */
        int r = o->source.layer[l].q_heads / o->source.layer[l].kv_heads;
        for (int i = first * r; i < first * r + r; i++) less.query[l][i] = false;
    }
    return (double)(oracle_params(o) - oracle_params(&less));
}

/* Least and second least of the survivors among set[from..to), as sums. */
static int least_of(const bool *set, int from, int to, uint64_t seed, int type, int l, double *best,
                    double *second)
{
    int at = -1;
    *best = *second = INFINITY;
    for (int i = from; i < to; i++) {
        if (!set[i]) continue;
        double x = made_up(seed, type, l, i);
        if (x < *best) {
            *second = *best;
            *best = x;
            at = i;
        } else if (x < *second) {
            *second = x;
        }
    }
    return at;
}

static bool may_lose(const struct oracle *o, int type, int l)
{
    const struct space *s = &o->o.space;
    if (!s->types[type] || (type != 2 && s->frozen[l])) return false;
    int now, was, floor;
    if (type == 2) {
        now = alive(o->stem);
        was = o->source.hidden_size;
    } else if (type == 1) {
        now = alive(o->ffn[l]);
        was = o->source.layer[l].ffn;
    } else if (s->head_unit == HEAD_UNIT_QUERY) {
        now = alive(o->query[l]) / alive(o->kv[l]);
        was = 1;
    } else {
        now = alive(o->kv[l]);
        was = 1;
    }
    floor = (was + 7) / 8;
    if (s->floors[type]) floor = s->floors[type];
    if (type != 2 && s->layer_floors[type][l]) floor = s->layer_floors[type][l];
    int m = o->o.stop.round_to;
    if (o->stopped && (!m || type == 0 || now % m == 0 || now / m * m < floor)) return false;
    return now > floor;
}

/* The best unit of layer l: score, what would be next, source indices. `params` are those of
 * the moment when the sums were taken. */
static void unit_of(const struct oracle *o, uint64_t seed, int type, int l, double params,
                    double weight, struct verdict *v, double *best, double *second)
{
    const bool *set = type == 0 ? o->kv[l] : type == 1 ? o->ffn[l] : o->stem;
    int groups = 1, span = ORACLE_WIDTH;
    bool query = type == 0 && o->o.space.head_unit == HEAD_UNIT_QUERY;
    if (query) {
        set = o->query[l];
        groups = o->source.layer[l].kv_heads;
        span = o->source.layer[l].q_heads / groups;
    }
    *best = *second = 0;
    v->n[l] = groups;
    for (int g = 0; g < groups; g++) {
        double b, s;
        v->index[l][g] = least_of(set, g * span, g * span + span, seed, type, l, &b, &s);
        *best += b / groups;
        *second += s / groups;
    }
    *best /= params * weight;
    *second /= params * weight;
}

static void offer(struct verdict *best, double *best_score, double *runner_up, struct verdict *mine,
                  double score, double second)
{
    if (score < *best_score) {
        *runner_up = fmin(*best_score, second);
        *best_score = score;
        memcpy(best->n, mine->n, sizeof best->n);
        memcpy(best->index, mine->index, sizeof best->index);
        best->type = mine->type;
        best->layer = mine->layer;
        best->any = true;
    } else {
        *runner_up = fmin(*runner_up, score);
    }
}

/* All candidates of the rule, one after the other. params[type][l] as unit_of wants them. */
static struct verdict oracle_choose(const struct oracle *o, uint64_t seed,
                                    double params[3][ORACLE_LAYERS], double weight)
{
    struct verdict best = { 0 };
    double best_score = INFINITY, runner_up = INFINITY;
    int L = o->source.n_layers;
    for (int type = 0; type < 3; type++) {
        double min = INFINITY;
        bool uniform = type != 2 && o->o.space.scope == SCOPE_UNIFORM, all = true;
        struct verdict mine = { .type = type, .layer = -1 };
        double sum = 0, seconds = 0;
        int n = 0;
        for (int l = 0; l < (type == 2 ? 1 : L); l++) {
            double b, s;
            if (uniform && type != 2 && o->o.space.frozen[l]) continue;
            if (!may_lose(o, type, l)) {
                all = false;
                continue;
            }
            struct verdict *into = &mine;
            struct verdict single = { .type = type, .layer = type == 2 ? -1 : l };
            if (!uniform) into = &single;
            unit_of(o, seed, type, l, params[type][l], weight, into, &b, &s);
            sum += b;
            seconds += s;
            n++;
            if (uniform) continue;
            min = fmin(min, b);
            offer(&best, &best_score, &runner_up, &single, b, s);
        }
        if (uniform && all && n) {
            min = sum / n;
            offer(&best, &best_score, &runner_up, &mine, sum / n, seconds / n);
        }
        best.min_score[type] = min;
    }
    best.runner_up = runner_up;
    return best;
}

/* Has the search been told to stop before this step? */
static bool oracle_stops(const struct oracle *o, long source_params, long step)
{
    const struct search_stop *stop = &o->o.stop;
    if (stop->kind == STOP_STEPS) return step - o->o.start_step > stop->count;
    return (double)oracle_params(o) <= (double)source_params * (1 - stop->ratio) + 1e-6;
}

static void oracle_remove(struct oracle *o, const struct verdict *v)
{
    for (int l = 0; l < o->source.n_layers; l++)
        for (int i = 0; i < v->n[l]; i++) {
            int index = v->index[l][i];
            if (v->type == 2) {
                o->stem[index] = false;
            } else if (v->type == 1) {
                o->ffn[l][index] = false;
            } else if (o->o.space.head_unit == HEAD_UNIT_QUERY) {
                o->query[l][index] = false;
            } else {
                int r = o->source.layer[l].q_heads / o->source.layer[l].kv_heads;
                o->kv[l][index] = false;
                for (int q = index * r; q < index * r + r; q++) o->query[l][q] = false;
            }
        }
}

static long oracle_credit(const struct oracle *o, int type)
{
    if (o->o.schedule.credits[type]) return (long)o->o.schedule.credits[type];
    if (type == 0) return o->source.head_dim;
    if (type == 1) return 1;
    return o->o.space.scope == SCOPE_PER_LAYER ? 2L * o->source.n_layers : 2;
}

#endif
