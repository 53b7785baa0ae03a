#include "search/nearest_shape.h"

#include <math.h>
#include <stdlib.h>

static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : a; }

static int64_t lcm(int64_t a, int64_t b) { return a / gcd(a, b) * b; }

struct width_rules width_rules_of(const struct feasibility_rules *rules)
{
    struct width_rules w = { 1, 1, 1 };
    int block = rules->block > 1 ? rules->block : 1;
    if (rules->gpu) block = (int)lcm(block, 8);
    w.hidden = w.attention = w.ffn = block;
    if (rules->decilm) w.ffn = (int)lcm(w.ffn, 256);
    if (rules->tensor_parallel > 1) w.ffn = (int)lcm(w.ffn, rules->tensor_parallel);
    return w;
}

bool heads_divide(int q_heads, int kv_heads, int n)
{
    return n < 2 || (q_heads % n == 0 && (kv_heads % n == 0 || n % kv_heads == 0));
}

static int64_t nearest_multiple(int64_t width, int64_t m)
{
    int64_t down = width / m * m;
    return down && width - down <= down + m - width ? down : down + m;
}

static double change(int64_t now, int64_t then) { return fabs((double)now / (double)then - 1); }

/* May a layer have kv KV heads, each with r query heads? */
static bool heads_fit(const struct shape *s, const struct feasibility_rules *rules, int kv, int r)
{
    return heads_divide(kv * r, kv, rules->tensor_parallel) &&
           kv * r * s->head_dim % width_rules_of(rules).attention == 0;
}

/* The KV heads nearest those of the layer; 0 when none fit. */
static int nearest_heads(const struct shape *s, const struct feasibility_rules *rules, int l)
{
    int was = s->layer[l].kv_heads, r = s->layer[l].q_heads / was, best = 0;
    for (int kv = 1; kv * r <= SHAPE_MAX_HEADS; kv++)
        if (heads_fit(s, rules, kv, r) && (!best || abs(kv - was) < abs(best - was))) best = kv;
    return best;
}

static void set_heads(struct shape *s, int l, int kv)
{
    int r = s->layer[l].q_heads / s->layer[l].kv_heads;
    s->layer[l].kv_heads = kv;
    s->layer[l].q_heads = kv * r;
}

static int most_heads(const struct shape *s)
{
    int most = 0;
    for (int l = 0; l < s->n_layers; l++)
        if (s->layer[l].q_heads > most) most = s->layer[l].q_heads;
    return most;
}

static int64_t hidden_for(const struct shape *s, const struct feasibility_rules *rules, int heads)
{
    int64_t m = width_rules_of(rules).hidden;
    return nearest_multiple(s->hidden_size, rules->hf ? lcm(m, heads) : m);
}

static bool set_ffn(struct shape *s, const struct feasibility_rules *rules)
{
    for (int l = 0; l < s->n_layers; l++) {
        int64_t ffn = nearest_multiple(s->layer[l].ffn, width_rules_of(rules).ffn);
        if (ffn > SHAPE_MAX_FFN) return false;
        s->layer[l].ffn = (int)ffn;
    }
    return true;
}

/* Layers alike, in heads at least: heads and hidden size are weighed against each other. */
static bool set_heads_and_hidden(struct shape *s, const struct feasibility_rules *rules)
{
    int was = s->layer[0].kv_heads, r = s->layer[0].q_heads / was, best = 0;
    int64_t hidden = 0;
    double least = INFINITY;
    for (int kv = 1; kv * r <= SHAPE_MAX_HEADS; kv++) {
        if (!heads_fit(s, rules, kv, r)) continue;
        int64_t d = hidden_for(s, rules, kv * r);
        double cost = change(kv, was) + change(d, s->hidden_size);
        if (d > SHAPE_MAX_HIDDEN || cost >= least) continue;
        least = cost;
        best = kv;
        hidden = d;
    }
    if (!best) return false;
    for (int l = 0; l < s->n_layers; l++) set_heads(s, l, best);
    s->hidden_size = (int)hidden;
    return true;
}

/* Layers with heads of their own: each to its nearest, then the hidden size. */
static bool set_each(struct shape *s, const struct feasibility_rules *rules)
{
    for (int l = 0; l < s->n_layers; l++) {
        int kv = nearest_heads(s, rules, l);
        if (!kv) return false;
        set_heads(s, l, kv);
    }
    int64_t hidden = hidden_for(s, rules, most_heads(s));
    s->hidden_size = hidden <= SHAPE_MAX_HIDDEN ? (int)hidden : s->hidden_size;
    return hidden <= SHAPE_MAX_HIDDEN;
}

/* DeciLM wants one number of query heads: layers with fewer take those of the layer with the
 * most. */
static void level_heads(struct shape *s)
{
    struct layer_shape most = s->layer[0];
    for (int l = 1; l < s->n_layers; l++)
        if (s->layer[l].q_heads > most.q_heads) most = s->layer[l];
    for (int l = 0; l < s->n_layers; l++) {
        if (s->layer[l].q_heads == most.q_heads) continue;
        s->layer[l].q_heads = most.q_heads;
        s->layer[l].kv_heads = most.kv_heads;
    }
}

static bool heads_alike(const struct shape *s)
{
    for (int l = 1; l < s->n_layers; l++)
        if (s->layer[l].q_heads != s->layer[0].q_heads ||
            s->layer[l].kv_heads != s->layer[0].kv_heads)
            return false;
    return true;
}

static bool query_heads_alike(const struct shape *s)
{
    for (int l = 1; l < s->n_layers; l++)
        if (s->layer[l].q_heads != s->layer[0].q_heads) return false;
    return true;
}

bool nearest_shape(const struct shape *shape, const struct feasibility_rules *rules,
                   struct shape *out)
{
    *out = *shape;
    if (rules->decilm && !query_heads_alike(out)) level_heads(out);
    if (!set_ffn(out, rules)) return false;
    bool alike = heads_alike(out);
    if (alike ? !set_heads_and_hidden(out, rules) : !set_each(out, rules)) return false;
    return !rules->decilm || query_heads_alike(out);
}
