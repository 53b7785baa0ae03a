/* The shape alone: ours, and OpenELM's arrays. */
#include "trainer/export/export.h"

static enum status write_ours(const struct shape *shape, const char *dir, struct error *err)
{
    struct buf text;
    struct emit e;
    buf_init(&text, SHAPE_MAX_JSON);
    emit_init(&e, &text);
    shape_emit(shape, &e);
    export_text(dir, "shape.json", &text, err);
    buf_release(&text);
    return err->status;
}

static void put_heads(struct emit *e, const char *key, const struct shape *s, bool kv)
{
    emit_key(e, key);
    emit_begin(e, '[');
    for (int l = 0; l < s->n_layers; l++)
        emit_int(e, kv ? s->layer[l].kv_heads : s->layer[l].q_heads);
    emit_end(e);
}

/* ffn = multiplier * model_dim, rounded to the divisor of 1: exact for every width. */
static enum status write_openelm(const struct shape *s, const char *dir, struct error *err)
{
    struct buf text;
    struct emit e;
    buf_init(&text, SHAPE_MAX_JSON);
    emit_init(&e, &text);
    emit_begin(&e, '{');
    emit_kv_int(&e, "model_dim", s->hidden_size);
    emit_kv_int(&e, "head_dim", s->head_dim);
    emit_kv_int(&e, "num_transformer_layers", s->n_layers);
    emit_kv_int(&e, "vocab_size", s->vocab_size);
    emit_kv_bool(&e, "share_input_output_layers", s->tie_word_embeddings);
    put_heads(&e, "num_query_heads", s, false);
    put_heads(&e, "num_kv_heads", s, true);
    emit_key(&e, "ffn_multipliers");
    emit_begin(&e, '[');
    for (int l = 0; l < s->n_layers; l++) emit_double(&e, (double)s->layer[l].ffn / s->hidden_size);
    emit_end(&e);
    emit_kv_int(&e, "ffn_dim_divisor", 1);
    emit_end(&e);
    export_text(dir, "openelm.json", &text, err);
    buf_release(&text);
    return err->status;
}

enum status export_shape(const struct shape *shape, const char *dir, struct error *err)
{
    TRY(write_ours(shape, dir, err));
    return write_openelm(shape, dir, err);
}
