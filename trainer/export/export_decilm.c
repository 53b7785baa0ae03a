/* DeciLM: block_configs with query heads alike and FFN channels a multiple of 256. */
#include <string.h>

#include "search/padding.h"
#include "trainer/export/export.h"
#include "trainer/export/modeling_lathe.h"
#include "trainer/export/pad.h"
#include "trainer/formats/file.h"
#include "search/hf_config.h"

/* ---- config.json --------------------------------------------------------------------------- */

/* ceil256(int(2 ffn_mult hidden / 3)) is ffn: aim at the middle of the bucket. */
static double multiplier(int ffn, int hidden)
{
    return 3.0 * (ffn - PAD_DECILM_FFN / 2) / (2.0 * hidden);
}

static void put_block(struct emit *e, const struct shape *s, const struct layer_shape *layer)
{
    emit_begin(e, '{');
    emit_key(e, "attention");
    emit_begin(e, '{');
    emit_kv_int(e, "n_heads_in_group", layer->q_heads / layer->kv_heads);
    emit_kv_bool(e, "no_op", false);
    emit_kv_bool(e, "replace_with_linear", false);
    emit_end(e);
    emit_key(e, "ffn");
    emit_begin(e, '{');
    emit_kv_double(e, "ffn_mult", multiplier(layer->ffn, s->hidden_size));
    emit_kv_bool(e, "no_op", false);
    emit_kv_bool(e, "replace_with_linear", false);
    emit_end(e);
    emit_end(e);
}

static void put_rope(struct emit *e, const struct shape *s)
{
    emit_kv_double(e, "rope_theta", s->rope_theta);
    emit_key(e, "rope_scaling");
    if (!s->rope_scaling.llama3) {
        emit_null(e);
        return;
    }
    emit_begin(e, '{');
    emit_kv_string(e, "rope_type", "llama3");
    emit_kv_double(e, "factor", s->rope_scaling.factor);
    emit_kv_double(e, "low_freq_factor", s->rope_scaling.low_freq_factor);
    emit_kv_double(e, "high_freq_factor", s->rope_scaling.high_freq_factor);
    emit_kv_int(e, "original_max_position_embeddings", s->rope_scaling.original_max_position);
    emit_end(e);
}

static void put_head(struct emit *e)
{
    emit_key(e, "architectures");
    emit_begin(e, '[');
    emit_string(e, "DeciLMForCausalLM");
    emit_end(e);
    emit_kv_string(e, "model_type", "nemotron-nas");
    emit_key(e, "auto_map");
    emit_begin(e, '{');
    emit_kv_string(e, "AutoConfig", "configuration_decilm.DeciLMConfig");
    emit_end(e);
}

static void put_id(struct emit *e, const char *key, int id)
{
    emit_key(e, key);
    if (id < 0)
        emit_null(e);
    else
        emit_int(e, id);
}

static void put_config(struct emit *e, const struct shape *s, const struct export_spec *spec,
                       struct export_ends ends)
{
    emit_begin(e, '{');
    put_head(e);
    emit_kv_int(e, "hidden_size", s->hidden_size);
    emit_kv_int(e, "head_dim", s->head_dim);
    emit_kv_int(e, "num_hidden_layers", s->n_layers);
    emit_kv_int(e, "num_attention_heads", s->layer[0].q_heads);
    put_id(e, "num_key_value_heads", -1);
    put_id(e, "intermediate_size", -1);
    emit_kv_int(e, "vocab_size", s->vocab_size);
    emit_kv_bool(e, "tie_word_embeddings", s->tie_word_embeddings);
    emit_kv_double(e, "rms_norm_eps", s->norm_eps);
    put_rope(e, s);
    emit_kv_string(e, "hidden_act", "silu");
    emit_kv_bool(e, "attention_bias", false);
    emit_kv_bool(e, "mlp_bias", false);
    emit_kv_int(e, "max_position_embeddings", spec->max_position);
    put_id(e, "bos_token_id", ends.bos);
    put_id(e, "eos_token_id", ends.eos);
    emit_kv_string(e, "torch_dtype",
                   spec->type->type == GGML_F16    ? "float16"
                   : spec->type->type == GGML_BF16 ? "bfloat16"
                                                   : "float32");
    emit_key(e, "block_configs");
    emit_begin(e, '[');
    for (int l = 0; l < s->n_layers; l++) put_block(e, s, &s->layer[l]);
    emit_end(e);
    emit_end(e);
}

static enum status write_config(const struct shape *s, const struct export_spec *spec,
                                struct export_ends ends, const char *dir, struct error *err)
{
    char path[PATH_ROOM];
    struct buf text;
    struct emit e;
    buf_init(&text, HF_CONFIG_MAX_BYTES);
    emit_init(&e, &text);
    put_config(&e, s, spec, ends);
    export_text(dir, "config.json", &text, err);
    buf_release(&text);
    TRY(err->status);
    TRY(path_join(path, dir, "configuration_decilm.py", err));
    return file_write(path, configuration_decilm, strlen(configuration_decilm), err);
}

enum status export_decilm(struct weights *w, const struct export_spec *spec, const char *dir,
                          struct export_result *out, struct error *err)
{
    struct export_ends ends;
    struct weights *padded;
    if (w->shape.qkv_bias || w->shape.output_bias)
        return fail(err, E_INPUT,
                    "DeciLM has no biases on q, k and v alone; this model goes into hf or gguf");
    pad_to_decilm(&w->shape, &out->shape);
    out->has_weights = true;
    strcpy(out->architecture, "DeciLMForCausalLM");
    TRY(export_tokenizer(spec, dir, &ends, err));
    TRY(write_config(&out->shape, spec, ends, dir, err));
    TRY(weights_pad(&padded, w, &out->shape, err));
    export_tensors(padded, spec->type, dir, err);
    weights_close(padded);
    return err->status;
}
