/* DeciLM's block_configs. */
#include "search/hf_config.h"

static void refuse_true(struct field *f, const char *key)
{
    if (field_bool_or(f, key, false))
        field_fail(f, key, "is true; a layer needs attention and a feed-forward");
}

static int read_kv_heads(struct field *block, int q_heads)
{
    struct field f;
    if (!field_object(block, "attention", &f)) field_fail(block, "attention", "is missing");
    if (f.err->status) return 0;
    refuse_true(&f, "no_op");
    refuse_true(&f, "replace_with_linear");
    int group = (int)field_int(&f, "n_heads_in_group", 1, SHAPE_MAX_HEADS);
    if (group && q_heads % group)
        field_fail(&f, "n_heads_in_group", "is %d, which does not divide %d heads", group, q_heads);
    return group ? q_heads / group : 0;
}

static int read_ffn(struct field *block, int hidden)
{
    struct field f;
    if (!field_object(block, "ffn", &f)) field_fail(block, "ffn", "is missing");
    if (f.err->status) return 0;
    refuse_true(&f, "no_op");
    refuse_true(&f, "replace_with_linear");
    if (field_has(&f, "intermediate_size"))
        return (int)field_int(&f, "intermediate_size", 1, SHAPE_MAX_FFN);
    double multiplier = field_double(&f, "ffn_mult", 0, 64);
    return ((int)(2 * multiplier * hidden / 3) + 255) / 256 * 256;
}

void hf_config_read_blocks(struct shape *shape, struct field *f)
{
    struct field blocks, block;
    struct layer_shape layer = { 0 };
    layer.q_heads = (int)field_int(f, "num_attention_heads", 1, SHAPE_MAX_HEADS);
    size_t n = field_array(f, "block_configs", SHAPE_MAX_LAYERS, &blocks);
    if (!f->err->status && !n) field_fail(f, "block_configs", "is missing or empty");
    for (size_t i = 0; i < n && field_item_object(&blocks, i, &block); i++) {
        layer.kv_heads = read_kv_heads(&block, layer.q_heads);
        layer.ffn = read_ffn(&block, shape->hidden_size);
        shape->layer[i] = layer;
        shape->n_layers = (int)i + 1;
    }
}
