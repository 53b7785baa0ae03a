#include "search/openelm_config.h"

static int divisible(double wanted, int divisor)
{
    int rounded = (int)(wanted + divisor / 2.0) / divisor * divisor;
    if (rounded < divisor) rounded = divisor;
    return rounded < 0.9 * wanted ? rounded + divisor : rounded;
}

static void check_length(struct field *f, const char *key, size_t n, int n_layers)
{
    if (!f->err->status && n != (size_t)n_layers)
        field_fail(f, key, "has %zu values for %d layers", n, n_layers);
}

static void read_layers(struct shape *shape, struct field *f)
{
    struct field q, kv, ffn;
    int n = (int)field_int(f, "num_transformer_layers", 1, SHAPE_MAX_LAYERS);
    int divisor = (int)field_int_or(f, "ffn_dim_divisor", 1, SHAPE_MAX_FFN, 256);
    check_length(f, "num_query_heads", field_array(f, "num_query_heads", SHAPE_MAX_LAYERS, &q), n);
    check_length(f, "num_kv_heads", field_array(f, "num_kv_heads", SHAPE_MAX_LAYERS, &kv), n);
    check_length(f, "ffn_multipliers", field_array(f, "ffn_multipliers", SHAPE_MAX_LAYERS, &ffn),
                 n);
    for (size_t l = 0; l < (size_t)n && !f->err->status; l++) {
        double multiplier = field_item_double(&ffn, l, 0, 64);
        shape->layer[l] = (struct layer_shape){
            .q_heads = (int)field_item_int(&q, l, 1, SHAPE_MAX_HEADS),
            .kv_heads = (int)field_item_int(&kv, l, 1, SHAPE_MAX_HEADS),
            .ffn = divisible(multiplier * shape->hidden_size, divisor),
        };
    }
    shape->n_layers = n;
}

enum status openelm_config_read(struct shape *shape, struct field *f)
{
    struct error impossible = { 0 };
    shape_init(shape);
    shape->hidden_size = (int)field_int(f, "model_dim", 1, SHAPE_MAX_HIDDEN);
    shape->head_dim = (int)field_int(f, "head_dim", 1, SHAPE_MAX_HEAD_DIM);
    shape->vocab_size = (int)field_int(f, "vocab_size", 1, SHAPE_MAX_VOCAB);
    shape->tie_word_embeddings = field_bool_or(f, "share_input_output_layers", true);
    shape->rope_theta = field_double_or(f, "rope_freq_constant", 0, 1e12, 10000);
    if (!field_bool_or(f, "ffn_with_glu", true))
        field_fail(f, "ffn_with_glu", "is false; only a gated feed-forward is supported");
    read_layers(shape, f);
    if (!f->err->status && shape_check(shape, &impossible))
        field_fail(f, NULL, "%s", impossible.text);
    return f->err->status;
}
