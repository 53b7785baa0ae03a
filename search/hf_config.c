#include "search/hf_config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/field.h"

static const char *const model_types[] = { "llama", "qwen2", "lathe", "nemotron-nas", NULL };
enum { LLAMA, QWEN2, LATHE, NEMOTRON_NAS };
static const char *const families[] = { "llama", "qwen2", NULL };

/* ---- what we refuse -------------------------------------------------------------- */

static void refuse_true(struct field *f, const char *key, const char *why)
{
    json_t *value = field_json(f, key);
    if (json_is_true(value)) field_fail(f, key, "is true; %s", why);
}

static void check_supported(struct field *f)
{
    const char *act = field_string_or(f, "hidden_act", 64, "silu");
    if (act && strcmp(act, "silu") && strcmp(act, "swish"))
        field_fail(f, "hidden_act", "is %s; only silu is supported", act);
    refuse_true(f, "mlp_bias", "biases in the feed-forward are not supported");
    refuse_true(f, "use_sliding_window", "attention windows are not supported");
    if (field_has(f, "quantization_config"))
        field_fail(f, "quantization_config",
                   "is given; quantised folders are not supported, save "
                   "the model in float32, float16 or bfloat16");
    if (field_double_or(f, "partial_rotary_factor", 0, 1, 1) < 1)
        field_fail(f, "partial_rotary_factor", "is below 1, which is not supported");
}

/* Shapes of OpenELM come in elsewhere (shape.h). */
static void refuse_openelm(struct field *f)
{
    const char *type = json_string_value(field_json(f, "model_type"));
    if (type && !strcmp(type, "openelm"))
        field_fail(
            f, "model_type",
            "is openelm, whose attention normalises every head's queries and keys, which our "
            "layers do not: its weights cannot be read; its shape can, as an architecture");
}

/* ---- rotary settings --------------------------------------------------------------- */

static void read_llama3(struct rope_scaling *out, struct field *f)
{
    out->llama3 = true;
    out->factor = field_double(f, "factor", 1, 1e6);
    out->low_freq_factor = field_double(f, "low_freq_factor", 0, 1e6);
    out->high_freq_factor = field_double(f, "high_freq_factor", 0, 1e6);
    out->original_max_position = (int)field_int(f, "original_max_position_embeddings", 1, INT_MAX);
}

/* rope_parameters (v5) or rope_scaling (v4): {"rope_type" or "type", ...}. */
static void read_rope_type(struct shape *shape, struct field *f)
{
    const char *type = field_string_or(f, "rope_type", 64, NULL);
    if (!type) type = field_string_or(f, "type", 64, "default");
    if (!type || !strcmp(type, "default")) return;
    if (strcmp(type, "llama3"))
        field_fail(f, "rope_type", "is %s; default and llama3 are supported", type);
    else
        read_llama3(&shape->rope_scaling, f);
}

/* As transformers does: rope_scaling, unless null or empty, counts alone, whatever rope_parameters
 * says, rope_theta included. */
static void read_rope(struct shape *shape, struct field *f)
{
    struct field rope;
    bool given = field_object(f, "rope_scaling", &rope) && json_object_size(rope.json);
    shape->rope_theta = field_double_or(f, "rope_theta", 0, 1e12, 10000);
    if (!given && !field_object(f, "rope_parameters", &rope)) return;
    shape->rope_theta = field_double_or(&rope, "rope_theta", 0, 1e12, shape->rope_theta);
    read_rope_type(shape, &rope);
}

/* ---- layers ---------------------------------------------------------------------------- */

static void read_one_layer(struct shape *shape, struct field *all, const char *key)
{
    char *end;
    long l = strtol(key, &end, 10);
    struct field f;
    if (*end || l < 0 || l >= shape->n_layers) {
        field_fail(all, key, "is not a layer; there are %d", shape->n_layers);
        return;
    }
    if (!field_object(all, key, &f)) return;
    struct layer_shape *layer = &shape->layer[l];
    layer->q_heads =
        (int)field_int_or(&f, "num_attention_heads", 1, SHAPE_MAX_HEADS, layer->q_heads);
    layer->kv_heads =
        (int)field_int_or(&f, "num_key_value_heads", 1, SHAPE_MAX_HEADS, layer->kv_heads);
    layer->ffn = (int)field_int_or(&f, "intermediate_size", 1, SHAPE_MAX_FFN, layer->ffn);
    field_end(&f);
}

static void read_layers(struct shape *shape, struct field *f)
{
    struct layer_shape all;
    int n = (int)field_int(f, "num_hidden_layers", 1, SHAPE_MAX_LAYERS);
    all.q_heads = (int)field_int(f, "num_attention_heads", 1, SHAPE_MAX_HEADS);
    all.kv_heads = (int)field_int_or(f, "num_key_value_heads", 1, SHAPE_MAX_HEADS, all.q_heads);
    all.ffn = (int)field_int(f, "intermediate_size", 1, SHAPE_MAX_FFN);
    if (f->err->status) return;
    shape_set_layers(shape, n, all);

    struct field per_layer;
    const char *key;
    json_t *value;
    if (field_object(f, "per_layer_config", &per_layer))
        json_object_foreach(per_layer.json, key, value) read_one_layer(shape, &per_layer, key);
}

static void read_head_dim(struct shape *shape, struct field *f)
{
    int heads = shape->n_layers ? (int)field_int(f, "num_attention_heads", 1, SHAPE_MAX_HEADS) : 1;
    int rule = heads && shape->hidden_size % heads == 0 ? shape->hidden_size / heads : 0;
    shape->head_dim = (int)field_int_or(f, "head_dim", 1, SHAPE_MAX_HEAD_DIM, rule);
    if (!shape->head_dim)
        field_fail(f, "head_dim",
                   "is missing, and num_attention_heads does not divide hidden_size");
}

/* ---- the whole --------------------------------------------------------------------------- */

/* Of our own exports attention_bias means q, k and v; of others it means the output too. */
static int read_family(struct shape *shape, struct field *f)
{
    struct field lathe;
    refuse_openelm(f);
    int type = field_choice(f, "model_type", model_types), family = type == QWEN2;
    shape->qkv_bias = type == LATHE ? field_bool_or(f, "attention_bias", false) : type == QWEN2;
    if (type != LATHE)
        refuse_true(f, "attention_bias", "a bias on the attention's output is not supported");
    if (field_object(f, "lathe", &lathe)) {
        family = field_choice(&lathe, "family", families);
        shape->output_bias = field_bool_or(&lathe, "output_bias", false);
        field_end(&lathe);
    }
    snprintf(shape->family, sizeof shape->family, "%s", families[family]);
    return type;
}

static enum status read_config(struct shape *shape, struct field *f)
{
    struct error impossible = { 0 };
    shape_init(shape);
    int type = read_family(shape, f);
    check_supported(f);
    shape->hidden_size = (int)field_int(f, "hidden_size", 1, SHAPE_MAX_HIDDEN);
    shape->vocab_size = (int)field_int(f, "vocab_size", 1, SHAPE_MAX_VOCAB);
    shape->tie_word_embeddings = field_bool_or(f, "tie_word_embeddings", false);
    shape->norm_eps = field_double_or(f, "rms_norm_eps", 0, 1, 1e-6);
    read_rope(shape, f);
    if (type == NEMOTRON_NAS)
        hf_config_read_blocks(shape, f);
    else
        read_layers(shape, f);
    read_head_dim(shape, f);
    if (!f->err->status && shape_check(shape, &impossible))
        field_fail(f, NULL, "%s", impossible.text);
    return f->err->status;
}

/* It may be a list; the first counts. */
static int token_id(struct field *f, const char *key)
{
    json_t *id = field_json(f, key);
    if (json_is_array(id)) id = json_array_get(id, 0);
    return json_is_integer(id) ? (int)json_integer_value(id) : -1;
}

static void read_extra(struct hf_config_extra *extra, struct field *f)
{
    extra->bos_id = token_id(f, "bos_token_id");
    extra->eos_id = token_id(f, "eos_token_id");
    extra->max_position = (int)field_int_or(f, "max_position_embeddings", 0, INT_MAX, 0);
}

enum status hf_config_parse(struct shape *shape, struct hf_config_extra *extra, const char *text,
                            size_t len, struct error *err)
{
    struct field root;
    struct hf_config_extra unused;
    *shape = (struct shape){ 0 };
    json_t *json = field_parse(text, len, err);
    if (!json) return err->status;
    field_root(&root, json, err);
    if (!err->status && !read_config(shape, &root)) read_extra(extra ? extra : &unused, &root);
    json_decref(json);
    return err->status;
}
