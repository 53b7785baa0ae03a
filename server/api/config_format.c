#include "server/api/config_format.h"

#include <stdio.h>
#include <string.h>

const char *const config_formats[] = { "hf", "per_layer_config", "decilm", "gguf", NULL };

enum { DECI_FFN_STEP = 256 };

static void emit_strings(struct emit *e, const char *key, const char *value)
{
    emit_key(e, key);
    emit_begin(e, '[');
    emit_string(e, value);
    emit_end(e);
}

static void emit_rope(const struct shape *shape, struct emit *e)
{
    const struct rope_scaling *s = &shape->rope_scaling;
    emit_kv_double(e, "rope_theta", shape->rope_theta);
    emit_key(e, "rope_parameters");
    emit_begin(e, '{');
    emit_kv_string(e, "rope_type", s->llama3 ? "llama3" : "default");
    emit_kv_double(e, "rope_theta", shape->rope_theta);
    if (s->llama3) {
        emit_kv_double(e, "factor", s->factor);
        emit_kv_double(e, "low_freq_factor", s->low_freq_factor);
        emit_kv_double(e, "high_freq_factor", s->high_freq_factor);
        emit_kv_int(e, "original_max_position_embeddings", s->original_max_position);
    }
    emit_end(e);
}

/* All that does not differ by layer. */
static void emit_common(const struct shape *shape, int context, struct emit *e)
{
    emit_kv_string(e, "hidden_act", "silu");
    emit_kv_int(e, "hidden_size", shape->hidden_size);
    emit_kv_int(e, "head_dim", shape->head_dim);
    emit_kv_int(e, "num_hidden_layers", shape->n_layers);
    emit_kv_int(e, "vocab_size", shape->vocab_size);
    emit_kv_bool(e, "tie_word_embeddings", shape->tie_word_embeddings);
    emit_kv_double(e, "rms_norm_eps", shape->norm_eps);
    emit_rope(shape, e);
    emit_kv_int(e, "max_position_embeddings", context);
    if (shape->output_bias) {
        emit_key(e, "lathe"), emit_begin(e, '{');
        emit_kv_string(e, "family", shape->family);
        emit_kv_bool(e, "output_bias", true);
        emit_end(e);
    }
    emit_kv_bool(e, "attention_bias", shape->qkv_bias && strcmp(shape->family, "qwen2"));
    emit_kv_bool(e, "mlp_bias", false);
    emit_kv_string(e, "torch_dtype", "float32");
}

static void emit_widths(const struct layer_shape *layer, struct emit *e)
{
    emit_kv_int(e, "num_attention_heads", layer->q_heads);
    emit_kv_int(e, "num_key_value_heads", layer->kv_heads);
    emit_kv_int(e, "intermediate_size", layer->ffn);
}

static void emit_hf(const struct shape *shape, int context, bool per_layer, struct emit *e)
{
    bool qwen = !strcmp(shape->family, "qwen2");
    emit_begin(e, '{');
    emit_strings(e, "architectures", qwen ? "Qwen2ForCausalLM" : "LlamaForCausalLM");
    emit_kv_string(e, "model_type", qwen ? "qwen2" : "llama");
    emit_widths(&shape->layer[0], e);
    emit_common(shape, context, e);
    if (per_layer) {
        emit_key(e, "per_layer_config");
        emit_begin(e, '{');
        for (int l = 0; l < shape->n_layers; l++) {
            char name[16];
            snprintf(name, sizeof name, "%d", l);
            emit_key(e, name);
            emit_begin(e, '{');
            emit_widths(&shape->layer[l], e);
            emit_end(e);
        }
        emit_end(e);
    }
    emit_end(e);
}

/* ffn_mult is read as a multiplier of hidden_size, then scaled by 2/3 and rounded up to 256: this
 * one lands in the middle of the wanted bucket. */
static double ffn_mult(const struct shape *shape, int ffn)
{
    int wanted = (ffn + DECI_FFN_STEP - 1) / DECI_FFN_STEP * DECI_FFN_STEP;
    return 3.0 * (wanted - DECI_FFN_STEP / 2) / (2.0 * shape->hidden_size);
}

static void emit_no_op(struct emit *e)
{
    emit_kv_bool(e, "no_op", false);
    emit_kv_bool(e, "replace_with_linear", false);
}

static void emit_decilm(const struct shape *shape, int context, struct emit *e)
{
    emit_begin(e, '{');
    emit_strings(e, "architectures", "DeciLMForCausalLM");
    emit_kv_string(e, "model_type", "nemotron-nas");
    emit_kv_int(e, "num_attention_heads", shape->layer[0].q_heads);
    emit_common(shape, context, e);
    emit_key(e, "block_configs");
    emit_begin(e, '[');
    for (int l = 0; l < shape->n_layers; l++) {
        const struct layer_shape *layer = &shape->layer[l];
        emit_begin(e, '{');
        emit_key(e, "attention"), emit_begin(e, '{');
        emit_kv_int(e, "n_heads_in_group", layer->q_heads / layer->kv_heads);
        emit_no_op(e);
        emit_end(e);
        emit_key(e, "ffn"), emit_begin(e, '{');
        emit_kv_double(e, "ffn_mult", ffn_mult(shape, layer->ffn));
        emit_no_op(e);
        emit_end(e);
        emit_end(e);
    }
    emit_end(e);
    emit_end(e);
}

static void gguf_key(struct emit *e, const char *arch, const char *name)
{
    char key[80];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    emit_key(e, key);
}

static void gguf_widths(const struct shape *shape, const char *arch, const char *name,
                        size_t member, struct emit *e)
{
    bool array = !shape_is_uniform(shape);
    gguf_key(e, arch, name);
    if (array) emit_begin(e, '[');
    for (int l = 0; l < (array ? shape->n_layers : 1); l++)
        emit_int(e, *(const int *)((const char *)&shape->layer[l] + member));
    if (array) emit_end(e);
}

static void emit_gguf(const struct shape *shape, int context, struct emit *e)
{
    const char *arch = !shape_is_uniform(shape)          ? "deci"
                       : !strcmp(shape->family, "qwen2") ? "qwen2"
                                                         : "llama";
    emit_begin(e, '{');
    emit_kv_string(e, "general.architecture", arch);
    gguf_key(e, arch, "block_count"), emit_int(e, shape->n_layers);
    gguf_key(e, arch, "context_length"), emit_int(e, context);
    gguf_key(e, arch, "embedding_length"), emit_int(e, shape->hidden_size);
    gguf_key(e, arch, "vocab_size"), emit_int(e, shape->vocab_size);
    gguf_widths(shape, arch, "feed_forward_length", offsetof(struct layer_shape, ffn), e);
    gguf_widths(shape, arch, "attention.head_count", offsetof(struct layer_shape, q_heads), e);
    gguf_widths(shape, arch, "attention.head_count_kv", offsetof(struct layer_shape, kv_heads), e);
    gguf_key(e, arch, "attention.key_length"), emit_int(e, shape->head_dim);
    gguf_key(e, arch, "attention.value_length"), emit_int(e, shape->head_dim);
    gguf_key(e, arch, "attention.layer_norm_rms_epsilon"), emit_double(e, shape->norm_eps);
    gguf_key(e, arch, "rope.dimension_count"), emit_int(e, shape->head_dim);
    gguf_key(e, arch, "rope.freq_base"), emit_double(e, shape->rope_theta);
    emit_end(e);
}

static bool same_q_heads(const struct shape *shape)
{
    for (int l = 1; l < shape->n_layers; l++)
        if (shape->layer[l].q_heads != shape->layer[0].q_heads) return false;
    return true;
}

enum status config_emit(enum config_format format, const struct shape *shape, int context,
                        struct emit *e, struct error *err)
{
    if (format == CONFIG_HF && !shape_is_uniform(shape))
        return fail(err, E_CONFLICT,
                    "its layers differ, which hf cannot say; take per_layer_config or gguf");
    if (shape->output_bias && (format == CONFIG_HF || format == CONFIG_DECILM))
        return fail(err, E_CONFLICT,
                    "it has biases on Wo and Wdown, which %s cannot say; take per_layer_config or "
                    "gguf",
                    config_formats[format]);
    if (format == CONFIG_DECILM && !same_q_heads(shape))
        return fail(err, E_CONFLICT,
                    "its layers have different numbers of query heads, which decilm "
                    "cannot say; take per_layer_config or gguf");
    switch (format) {
    case CONFIG_HF: emit_hf(shape, context, false, e); break;
    case CONFIG_PER_LAYER: emit_hf(shape, context, true, e); break;
    case CONFIG_DECILM: emit_decilm(shape, context, e); break;
    case CONFIG_GGUF: emit_gguf(shape, context, e); break;
    }
    return OK;
}
