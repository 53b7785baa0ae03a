/* OpenELM's way to say that layers differ: arrays of heads and of multipliers. */
#include "search/shape.h"

#include <math.h>

enum { MAX_DIVISOR = 65536 };

static int array_of_layers(struct field *f, const char *key, int n, struct field *out)
{
    size_t given = field_array(f, key, SHAPE_MAX_LAYERS, out);
    if (!f->err->status && (int)given != n)
        field_fail(f, key, "has %zu elements for %d layers", given, n);
    return f->err->status ? 0 : n;
}

static void read_heads(struct shape *shape, struct field *f, const char *key, bool kv)
{
    struct field list;
    int n = array_of_layers(f, key, shape->n_layers, &list);
    for (int l = 0; l < n; l++) {
        int heads = (int)field_item_int(&list, (size_t)l, 1, SHAPE_MAX_HEADS);
        *(kv ? &shape->layer[l].kv_heads : &shape->layer[l].q_heads) = heads;
    }
}

/* The multiple of the divisor nearest to v, at least one of it and not below 0.9 v. */
static int divisible(double v, int divisor)
{
    double nearest = floor((v + divisor / 2) / divisor) * divisor;
    if (nearest < divisor) nearest = divisor;
    if (nearest < 0.9 * v) nearest += divisor;
    return nearest <= SHAPE_MAX_FFN ? (int)nearest : SHAPE_MAX_FFN + 1;
}

static void read_ffn(struct shape *shape, struct field *f)
{
    struct field list;
    int divisor = (int)field_int_or(f, "ffn_dim_divisor", 1, MAX_DIVISOR, 256);
    int n = array_of_layers(f, "ffn_multipliers", shape->n_layers, &list);
    for (int l = 0; l < n; l++) {
        double multiplier = field_item_double(&list, (size_t)l, 0, 1e6);
        shape->layer[l].ffn = divisible(multiplier * shape->hidden_size, divisor);
    }
}

void shape_read_openelm(struct shape *shape, struct field *f)
{
    shape->hidden_size = (int)field_int(f, "model_dim", 1, SHAPE_MAX_HIDDEN);
    shape->head_dim = (int)field_int(f, "head_dim", 1, SHAPE_MAX_HEAD_DIM);
    shape->vocab_size = (int)field_int(f, "vocab_size", 1, SHAPE_MAX_VOCAB);
    shape->n_layers = (int)field_int(f, "num_transformer_layers", 1, SHAPE_MAX_LAYERS);
    shape->tie_word_embeddings = field_bool_or(f, "share_input_output_layers", true);
    shape->rope_theta = field_double_or(f, "rope_freq_constant", 0, 1e12, shape->rope_theta);
    shape->norm_eps = 1e-6; /* OpenELM's own, which its configuration does not say */
    if (!field_bool_or(f, "ffn_with_glu", true))
        field_fail(f, "ffn_with_glu", "is false; the feed-forward here is gated");
    read_heads(shape, f, "num_query_heads", false);
    read_heads(shape, f, "num_kv_heads", true);
    read_ffn(shape, f);
}
