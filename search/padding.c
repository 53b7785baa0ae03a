#include "search/padding.h"

/* ---- to layers that are all alike ------------------------------------------------------- */

static int larger(int a, int b) { return a > b ? a : b; }

/* The most of each in any layer: KV heads, queries per KV head (in q_heads), channels. */
static struct layer_shape most_of(const struct shape *s)
{
    struct layer_shape most = { 0, 0, 0 };
    for (int l = 0; l < s->n_layers; l++) {
        most.kv_heads = larger(most.kv_heads, s->layer[l].kv_heads);
        most.q_heads = larger(most.q_heads, s->layer[l].q_heads / s->layer[l].kv_heads);
        most.ffn = larger(most.ffn, s->layer[l].ffn);
    }
    return most;
}

static int up_to(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Parameters of one layer's attention, over head_dim: q and o, k and v, all as wide as the stem. */
static int64_t attention_cost(int hidden, int kv, int group)
{
    return (int64_t)hidden * (2 * kv * group + 2 * kv);
}

void pad_to_stock(const struct shape *shape, struct shape *out)
{
    struct layer_shape most = most_of(shape), best = { 0, 0, 0 };
    int ffn = up_to(most.ffn, PAD_STOCK_FFN);
    int64_t best_cost = 0;
    int best_hidden = 0;
    for (int kv = most.kv_heads; kv <= 2 * most.kv_heads + 8; kv++)
        for (int group = most.q_heads; group <= 2 * most.q_heads + 8; group++) {
            int hidden = up_to(shape->hidden_size, kv * group);
            int64_t stem =
                (int64_t)hidden * 3 * ffn + (int64_t)hidden * shape->vocab_size / shape->n_layers;
            int64_t cost = attention_cost(hidden, kv, group) * shape->head_dim + stem;
            if (best_cost && cost >= best_cost) continue;
            best_cost = cost;
            best_hidden = hidden;
            best = (struct layer_shape){ kv * group, kv, ffn };
        }
    *out = *shape;
    out->hidden_size = best_hidden;
    shape_set_layers(out, shape->n_layers, best);
}

/* ---- to DeciLM ---------------------------------------------------------------------------- */

/* The fewest KV heads that divide `heads` and leave room for the layer; 0 when none do. */
static int kv_heads_for(const struct layer_shape *layer, int heads)
{
    int group = layer->q_heads / layer->kv_heads;
    for (int kv = layer->kv_heads; kv <= heads; kv++)
        if (heads % kv == 0 && heads / kv >= group) return kv;
    return 0;
}

static bool all_fit(const struct shape *shape, int heads)
{
    for (int l = 0; l < shape->n_layers; l++)
        if (!kv_heads_for(&shape->layer[l], heads)) return false;
    return true;
}

/* heads * head_dim = hidden_size is what mlx needs; next best is the fewest. */
static int heads_for(const struct shape *shape)
{
    int natural = shape->hidden_size % shape->head_dim ? 0 : shape->hidden_size / shape->head_dim,
        heads = 1;
    if (natural && all_fit(shape, natural)) return natural;
    while (!all_fit(shape, heads)) heads++;
    return heads;
}

void pad_to_decilm(const struct shape *shape, struct shape *out)
{
    int heads = heads_for(shape);
    *out = *shape;
    for (int l = 0; l < shape->n_layers; l++) {
        int ffn = up_to(shape->layer[l].ffn, PAD_DECILM_FFN);
        out->layer[l] = (struct layer_shape){ heads, kv_heads_for(&shape->layer[l], heads), ffn };
    }
}
