/* Shapes as text: read, write, and the canonical form that is hashed (shape.h). */
#include "search/shape.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const families[] = { "llama", "qwen2", NULL };
static const char *const schemas[] = { "lathe.shape/1", NULL };
static const char *const rope_types[] = { "llama3", NULL };

/* What qkv_bias is when nobody says. */
static bool family_has_bias(const char *family) { return !strcmp(family, "qwen2"); }

/* ---- read ------------------------------------------------------------------------------ */

static void read_rope_scaling(struct rope_scaling *out, struct field *f)
{
    struct field r;
    if (!field_object(f, "rope_scaling", &r)) return;
    field_choice(&r, "rope_type", rope_types);
    out->llama3 = true;
    out->factor = field_double(&r, "factor", 1, 1e6);
    out->low_freq_factor = field_double(&r, "low_freq_factor", 0, 1e6);
    out->high_freq_factor = field_double(&r, "high_freq_factor", 0, 1e6);
    out->original_max_position = (int)field_int(&r, "original_max_position_embeddings", 1, INT_MAX);
    field_end(&r);
}

static struct layer_shape read_layer(struct field *layers, size_t i)
{
    struct layer_shape layer = { 0 };
    struct field f;
    if (!field_item_object(layers, i, &f)) return layer;
    layer.q_heads = (int)field_int(&f, "q_heads", 1, SHAPE_MAX_HEADS);
    layer.kv_heads = (int)field_int_or(&f, "kv_heads", 1, SHAPE_MAX_HEADS, layer.q_heads);
    layer.ffn = (int)field_int(&f, "ffn", 1, SHAPE_MAX_FFN);
    field_end(&f);
    return layer;
}

static void read_layers(struct shape *shape, struct field *f)
{
    struct field layers;
    int n = (int)field_int_or(f, "n_layers", 1, SHAPE_MAX_LAYERS, 0);
    int given = (int)field_array(f, "layers", SHAPE_MAX_LAYERS, &layers);
    if (given < 1) field_fail(f, "layers", "needs at least one layer");
    if (given > 1 && n && n != given)
        field_fail(f, "n_layers", "is %d, but layers has %d elements", n, given);
    for (int i = 0; i < given; i++) shape->layer[i] = read_layer(&layers, (size_t)i);
    shape->n_layers = given;
    if (given == 1 && n > 1) shape_set_layers(shape, n, shape->layer[0]);
}

static enum status check(const struct shape *shape, struct field *f)
{
    struct error err = { 0 };
    if (!f->err->status && shape_check(shape, &err)) field_fail(f, NULL, "%s", err.text);
    return f->err->status;
}

enum status shape_read(struct shape *shape, struct field *f)
{
    shape_init(shape);
    if (field_has(f, "model_dim")) {
        shape_read_openelm(shape, f);
        return check(shape, f);
    }
    field_choice_or(f, "schema", schemas, 0);
    const char *family = families[field_choice_or(f, "family", families, 0)];
    snprintf(shape->family, sizeof shape->family, "%s", family);
    shape->hidden_size = (int)field_int(f, "hidden_size", 1, SHAPE_MAX_HIDDEN);
    shape->head_dim = (int)field_int(f, "head_dim", 1, SHAPE_MAX_HEAD_DIM);
    shape->vocab_size = (int)field_int(f, "vocab_size", 1, SHAPE_MAX_VOCAB);
    shape->tie_word_embeddings = field_bool_or(f, "tie_word_embeddings", false);
    shape->qkv_bias = field_bool_or(f, "qkv_bias", family_has_bias(family));
    shape->output_bias = field_bool_or(f, "output_bias", false);
    shape->rope_theta = field_double_or(f, "rope_theta", 0, 1e12, shape->rope_theta);
    shape->norm_eps = field_double_or(f, "norm_eps", 0, 1, shape->norm_eps);
    read_rope_scaling(&shape->rope_scaling, f);
    read_layers(shape, f);
    check(shape, f);
    return field_end(f);
}

enum status shape_parse(struct shape *shape, const char *text, size_t len, struct error *err)
{
    json_t *json = field_parse(text, len, err);
    if (!json) return err->status;
    struct field root;
    field_root(&root, json, err);
    if (!err->status) shape_read(shape, &root);
    json_decref(json);
    return err->status;
}

/* ---- write -------------------------------------------------------------------------------- */

static void emit_rope_scaling(const struct rope_scaling *r, struct emit *e)
{
    emit_key(e, "rope_scaling");
    emit_begin(e, '{');
    emit_kv_double(e, "factor", r->factor);
    emit_kv_double(e, "high_freq_factor", r->high_freq_factor);
    emit_kv_double(e, "low_freq_factor", r->low_freq_factor);
    emit_kv_int(e, "original_max_position_embeddings", r->original_max_position);
    emit_kv_string(e, "rope_type", "llama3");
    emit_end(e);
}

void shape_emit(const struct shape *shape, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "schema", schemas[0]);
    emit_kv_string(e, "family", shape->family);
    emit_kv_int(e, "hidden_size", shape->hidden_size);
    emit_kv_int(e, "head_dim", shape->head_dim);
    emit_kv_int(e, "vocab_size", shape->vocab_size);
    emit_kv_bool(e, "tie_word_embeddings", shape->tie_word_embeddings);
    if (shape->qkv_bias != family_has_bias(shape->family))
        emit_kv_bool(e, "qkv_bias", shape->qkv_bias);
    if (shape->output_bias) emit_kv_bool(e, "output_bias", true);
    emit_kv_double(e, "rope_theta", shape->rope_theta);
    emit_kv_double(e, "norm_eps", shape->norm_eps);
    if (shape->rope_scaling.llama3) emit_rope_scaling(&shape->rope_scaling, e);
    emit_key(e, "layers");
    emit_begin(e, '[');
    for (int l = 0; l < shape->n_layers; l++) {
        emit_begin(e, '{');
        emit_kv_int(e, "q_heads", shape->layer[l].q_heads);
        emit_kv_int(e, "kv_heads", shape->layer[l].kv_heads);
        emit_kv_int(e, "ffn", shape->layer[l].ffn);
        emit_end(e);
    }
    emit_end(e);
    emit_end(e);
}

/* RFC 8785: the same members, sorted by name. */
static void emit_canonical(const struct shape *shape, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "family", shape->family);
    emit_kv_int(e, "head_dim", shape->head_dim);
    emit_kv_int(e, "hidden_size", shape->hidden_size);
    emit_key(e, "layers");
    emit_begin(e, '[');
    for (int l = 0; l < shape->n_layers; l++) {
        emit_begin(e, '{');
        emit_kv_int(e, "ffn", shape->layer[l].ffn);
        emit_kv_int(e, "kv_heads", shape->layer[l].kv_heads);
        emit_kv_int(e, "q_heads", shape->layer[l].q_heads);
        emit_end(e);
    }
    emit_end(e);
    emit_kv_double(e, "norm_eps", shape->norm_eps);
    if (shape->output_bias) emit_kv_bool(e, "output_bias", true);
    if (shape->qkv_bias != family_has_bias(shape->family))
        emit_kv_bool(e, "qkv_bias", shape->qkv_bias);
    if (shape->rope_scaling.llama3) emit_rope_scaling(&shape->rope_scaling, e);
    emit_kv_double(e, "rope_theta", shape->rope_theta);
    emit_kv_string(e, "schema", schemas[0]);
    emit_kv_bool(e, "tie_word_embeddings", shape->tie_word_embeddings);
    emit_kv_int(e, "vocab_size", shape->vocab_size);
    emit_end(e);
}

void shape_hash(const struct shape *shape, char out[HASH_HEX])
{
    struct buf buf;
    struct emit e;
    buf_init(&buf, SHAPE_MAX_JSON);
    emit_init(&e, &buf);
    emit_canonical(shape, &e);
    hash_hex(buf.bytes, buf.len, out);
    buf_release(&buf);
}
