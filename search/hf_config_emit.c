#include <stdio.h>
#include <string.h>
#include "search/hf_config.h"

static void emit_llama3(const struct rope_scaling *r, struct emit *e)
{
    emit_kv_string(e, "rope_type", "llama3");
    emit_kv_double(e, "factor", r->factor);
    emit_kv_double(e, "low_freq_factor", r->low_freq_factor);
    emit_kv_double(e, "high_freq_factor", r->high_freq_factor);
    emit_kv_int(e, "original_max_position_embeddings", r->original_max_position);
}

/* Twice: transformers 4 reads rope_theta and rope_scaling, 5 reads rope_parameters. */
static void emit_rope(const struct shape *s, struct emit *e)
{
    bool scaled = s->rope_scaling.llama3;
    emit_kv_double(e, "rope_theta", s->rope_theta);
    emit_key(e, "rope_scaling");
    if (scaled) {
        emit_begin(e, '{');
        emit_llama3(&s->rope_scaling, e);
        emit_end(e);
    } else {
        emit_null(e);
    }
    emit_key(e, "rope_parameters");
    emit_begin(e, '{');
    emit_kv_double(e, "rope_theta", s->rope_theta);
    if (scaled)
        emit_llama3(&s->rope_scaling, e);
    else
        emit_kv_string(e, "rope_type", "default");
    emit_end(e);
}

static void emit_widths(const struct layer_shape *layer, struct emit *e)
{
    emit_kv_int(e, "intermediate_size", layer->ffn);
    emit_kv_int(e, "num_attention_heads", layer->q_heads);
    emit_kv_int(e, "num_key_value_heads", layer->kv_heads);
}

static int larger(int a, int b) { return a > b ? a : b; }

static struct layer_shape largest_layer(const struct shape *s)
{
    struct layer_shape most = s->layer[0];
    for (int l = 1; l < s->n_layers; l++) {
        most.q_heads = larger(most.q_heads, s->layer[l].q_heads);
        most.kv_heads = larger(most.kv_heads, s->layer[l].kv_heads);
        most.ffn = larger(most.ffn, s->layer[l].ffn);
    }
    return most;
}

static void emit_layers(const struct shape *s, struct emit *e)
{
    struct layer_shape most = largest_layer(s);
    emit_kv_int(e, "num_hidden_layers", s->n_layers);
    emit_widths(&most, e);
    if (shape_is_uniform(s)) return;
    emit_key(e, "per_layer_config");
    emit_begin(e, '{');
    for (int l = 0; l < s->n_layers; l++) {
        char key[16];
        snprintf(key, sizeof key, "%d", l);
        emit_key(e, key);
        emit_begin(e, '{');
        emit_widths(&s->layer[l], e);
        emit_end(e);
    }
    emit_end(e);
}

/* A bias on Wo and Wdown alone is in no class of others: an export brings its own (export_hf.c). */
static void emit_kind(const struct shape *s, struct emit *e)
{
    const char *type = s->output_bias ? "lathe" : s->qkv_bias ? "qwen2" : "llama";
    emit_key(e, "architectures");
    emit_begin(e, '[');
    emit_string(e, s->output_bias ? "LatheForCausalLM"
                   : s->qkv_bias  ? "Qwen2ForCausalLM"
                                  : "LlamaForCausalLM");
    emit_end(e);
    emit_kv_string(e, "model_type", type);
    if (!strcmp(type, s->family)) return;
    emit_key(e, "lathe");
    emit_begin(e, '{');
    emit_kv_string(e, "family", s->family);
    if (s->output_bias) emit_kv_bool(e, "output_bias", true);
    emit_end(e);
}

static void emit_token_id(struct emit *e, const char *key, int id)
{
    emit_key(e, key);
    if (id >= 0)
        emit_int(e, id);
    else
        emit_null(e);
}

void hf_config_emit(const struct shape *shape, const struct hf_config_extra *extra, struct emit *e)
{
    emit_begin(e, '{');
    emit_kind(shape, e);
    emit_kv_string(e, "hidden_act", "silu");
    emit_kv_int(e, "hidden_size", shape->hidden_size);
    emit_kv_int(e, "head_dim", shape->head_dim);
    emit_layers(shape, e);
    emit_kv_int(e, "vocab_size", shape->vocab_size);
    emit_kv_bool(e, "tie_word_embeddings", shape->tie_word_embeddings);
    emit_kv_double(e, "rms_norm_eps", shape->norm_eps);
    emit_rope(shape, e);
    emit_kv_int(e, "max_position_embeddings", extra->max_position);
    if (!shape->qkv_bias || shape->output_bias) {
        emit_kv_bool(e, "attention_bias", shape->qkv_bias);
        emit_kv_bool(e, "mlp_bias", false);
    }
    emit_token_id(e, "bos_token_id", extra->bos_id);
    emit_token_id(e, "eos_token_id", extra->eos_id);
    emit_kv_string(e, "torch_dtype", "float32");
    emit_end(e);
}
