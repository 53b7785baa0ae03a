#include "trainer/formats/gguf_shape.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys begin with the architecture's name. */
struct reading {
    const struct gguf *g;
    char arch[16], key[GGUF_MAX_NAME];
    struct error *err;
};

static const char *key_of(struct reading *r, const char *what)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, what);
    return r->key;
}

static int int_of(struct reading *r, const char *what, int max)
{
    return (int)gguf_int(r->g, key_of(r, what), 1, max, r->err);
}

static int int_or(struct reading *r, const char *what, int max, int otherwise)
{
    return (int)gguf_int_or(r->g, key_of(r, what), 1, max, otherwise, r->err);
}

/* Stored as 32-bit floats: 1e-5 would come back as 9.99999975e-06. The shortest text that is the
 * same float is what was meant. */
static double double_or(struct reading *r, const char *what, double max, double otherwise)
{
    char text[32];
    double x = gguf_double_or(r->g, key_of(r, what), 0, max, otherwise, r->err);
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtof(text, NULL) == (float)x) return strtod(text, NULL);
    }
    return x;
}

static enum status read_arch(struct reading *r)
{
    static const char *const known[] = { "llama", "qwen2", "deci" };
    char name[64];
    gguf_string(r->g, "general.architecture", name, sizeof name, r->err);
    TRY(r->err->status);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i])) {
            strcpy(r->arch, known[i]);
            return OK;
        }
    return fail(r->err, E_INPUT,
                "key general.architecture is '%s'; llama, qwen2 and deci can be read", name);
}

/* Without a type llama.cpp scales linearly, by the factor's old name too; 0 is no factor. */
static enum status refuse_scaling(struct reading *r)
{
    char type[64];
    gguf_string(r->g, key_of(r, "rope.scaling.type"), type, sizeof type, r->err);
    bool old = !gguf_key(r->g, key_of(r, "rope.scaling.factor"));
    double factor = double_or(r, old ? "rope.scale_linear" : "rope.scaling.factor", 1e6, 1);
    TRY(r->err->status);
    if (factor == 0 || factor == 1 || !strcmp(type, "none")) return OK;
    if (*type)
        return fail(r->err, E_INPUT, "key %s.rope.scaling.type is '%s', which we do not compute",
                    r->arch, type);
    return fail(r->err, E_INPUT,
                "key %s is %g: positions are scaled linearly, which we do not compute", r->key,
                factor);
}

/* Things that our models lack. */
static enum status refuse_others(struct reading *r)
{
    if (gguf_int_or(r->g, key_of(r, "expert_count"), 0, 1 << 20, 0, r->err) > 0)
        return fail(r->err, E_INPUT, "key %s is not 0; mixtures of experts cannot be read", r->key);
    return refuse_scaling(r);
}

/* ---- widths, one for all or one per layer -------------------------------------------------- */

static enum status width_at(struct reading *r, const char *what, const struct shape *shape,
                            int layer, int max, int *out)
{
    const struct gguf_key *key = gguf_key(r->g, key_of(r, what));
    if (!key) return fail(r->err, E_INPUT, "key %s is missing", r->key);
    if (!gguf_is_whole(key))
        return fail(r->err, E_INPUT, "key %s is not a whole number or an array of them", r->key);
    size_t i = key->is_array ? (size_t)layer : 0;
    if (key->is_array && key->n != (size_t)shape->n_layers)
        return fail(r->err, E_INPUT, "key %s has %zu elements for %d layers", r->key, key->n,
                    shape->n_layers);
    int64_t n = gguf_int_at(key, i);
    if (n < 1 || n > max)
        return fail(r->err, E_INPUT, "key %s is %lld in layer %d, outside 1..%d", r->key,
                    (long long)n, layer, max);
    *out = (int)n;
    return OK;
}

static enum status read_layers(struct reading *r, struct shape *shape)
{
    shape->n_layers = int_of(r, "block_count", SHAPE_MAX_LAYERS);
    bool has_kv = gguf_key(r->g, key_of(r, "attention.head_count_kv")) != NULL;
    for (int l = 0; l < shape->n_layers && !r->err->status; l++) {
        struct layer_shape *layer = &shape->layer[l];
        TRY(width_at(r, "attention.head_count", shape, l, SHAPE_MAX_HEADS, &layer->q_heads));
        layer->kv_heads = layer->q_heads;
        if (has_kv)
            TRY(width_at(r, "attention.head_count_kv", shape, l, SHAPE_MAX_HEADS,
                         &layer->kv_heads));
        TRY(width_at(r, "feed_forward_length", shape, l, SHAPE_MAX_FFN, &layer->ffn));
    }
    return r->err->status;
}

static enum status read_head_dim(struct reading *r, struct shape *shape)
{
    int usual = shape->hidden_size / shape->layer[0].q_heads;
    shape->head_dim = int_or(r, "attention.key_length", SHAPE_MAX_HEAD_DIM, usual);
    int value = int_or(r, "attention.value_length", SHAPE_MAX_HEAD_DIM, shape->head_dim);
    int rotary = int_or(r, "rope.dimension_count", SHAPE_MAX_HEAD_DIM, shape->head_dim);
    TRY(r->err->status);
    if (value != shape->head_dim || rotary != shape->head_dim)
        return fail(r->err, E_INPUT,
                    "keys of %d, values of %d and %d rotated dimensions: we need them equal",
                    shape->head_dim, value, rotary);
    return OK;
}

static enum status read_vocab(struct reading *r, struct shape *shape)
{
    const struct gguf_tensor *embed = gguf_tensor(r->g, "token_embd.weight");
    if (!embed) return fail(r->err, E_INPUT, "tensor token_embd.weight is missing");
    if (embed->dim[1] > SHAPE_MAX_VOCAB)
        return fail(r->err, E_INPUT, "tensor token_embd.weight has too many rows");
    shape->vocab_size = (int)embed->dim[1];
    shape->tie_word_embeddings = !gguf_tensor(r->g, "output.weight");
    shape->qkv_bias = gguf_tensor(r->g, "blk.0.attn_q.bias") != NULL;
    shape->output_bias = gguf_tensor(r->g, "blk.0.ffn_down.bias") != NULL;
    return OK;
}

/* ---- llama3's rope scaling ----------------------------------------------------------------- */

double rope_divisor(const struct rope_scaling *s, double theta, int head_dim, int i)
{
    const double turn = 6.283185307179586;
    double wavelength = turn * pow(theta, 2.0 * i / head_dim);
    double turns = s->original_max_position / wavelength;
    if (turns < s->low_freq_factor) return s->factor;
    if (turns > s->high_freq_factor) return 1;
    double smooth = (turns - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
    return 1 / ((1 - smooth) / s->factor + smooth);
}

static bool fits(const struct shape *shape, const float *divisor)
{
    for (int i = 0; i < shape->head_dim / 2; i++) {
        double want = rope_divisor(&shape->rope_scaling, shape->rope_theta, shape->head_dim, i);
        if (fabs((double)divisor[i] - want) > 1e-4 * want) return false;
    }
    return true;
}

/* Files of others keep divisors only; all published models have factors 1 and 4 on 8192
 * positions. */
static enum status read_scaling(struct reading *r, struct shape *shape)
{
    struct rope_scaling *s = &shape->rope_scaling;
    const struct gguf_tensor *t = gguf_tensor(r->g, "rope_freqs.weight");
    float divisor[SHAPE_MAX_HEAD_DIM], most = 1;
    if (!t) return OK;
    int n = shape->head_dim / 2;
    if (t->type->type != GGML_F32 || t->dim[0] != n || t->n_bytes != (size_t)n * sizeof(float))
        return fail(r->err, E_INPUT, "tensor rope_freqs.weight is not %d numbers in F32", n);
    memcpy(divisor, t->bytes, t->n_bytes);
    bool all_one = true;
    for (int i = 0; i < n; i++) {
        most = divisor[i] > most ? divisor[i] : most;
        all_one = all_one && divisor[i] == 1;
    }
    if (all_one && !gguf_key(r->g, key_of(r, "rope.llama3.factor"))) return OK;
    s->llama3 = true;
    s->factor = double_or(r, "rope.llama3.factor", 1e6, (double)most);
    s->low_freq_factor = double_or(r, "rope.llama3.low_freq_factor", 1e6, 1);
    s->high_freq_factor = double_or(r, "rope.llama3.high_freq_factor", 1e6, 4);
    s->original_max_position = int_or(r, "rope.scaling.original_context_length", INT_MAX, 8192);
    TRY(r->err->status);
    if (fits(shape, divisor)) return OK;
    return fail(r->err, E_INPUT,
                "tensor rope_freqs.weight holds a rope scaling other than llama3's with factors "
                "%g and %g on %d positions",
                s->low_freq_factor, s->high_freq_factor, s->original_max_position);
}

/* ---- the whole ----------------------------------------------------------------------------- */

enum status gguf_shape(const struct gguf *g, struct shape *shape, int *max_position,
                       struct error *err)
{
    struct reading r = { .g = g, .err = err };
    shape_init(shape);
    TRY(read_arch(&r));
    TRY(refuse_others(&r));
    shape->hidden_size = int_of(&r, "embedding_length", SHAPE_MAX_HIDDEN);
    *max_position = int_or(&r, "context_length", 1 << 30, 0);
    shape->norm_eps = double_or(&r, "attention.layer_norm_rms_epsilon", 1, 1e-5);
    shape->rope_theta = double_or(&r, "rope.freq_base", 1e12, 10000);
    TRY(err->status);
    TRY(read_layers(&r, shape));
    TRY(read_head_dim(&r, shape));
    TRY(read_vocab(&r, shape));
    TRY(read_scaling(&r, shape));
    strcpy(shape->family, shape->qkv_bias ? "qwen2" : "llama");
    return shape_check(shape, err);
}

bool gguf_is_paired(const struct gguf *g)
{
    char arch[16];
    struct error ignored = { 0 };
    gguf_string(g, "general.architecture", arch, sizeof arch, &ignored);
    return strcmp(arch, "qwen2") != 0;
}

bool gguf_name_of(const char *hf, char out[GGUF_NAME_ROOM])
{
    static const char *const table[][2] = {
        { "input_layernorm.weight", "attn_norm.weight" },
        { "self_attn.q_proj.weight", "attn_q.weight" },
        { "self_attn.q_proj.bias", "attn_q.bias" },
        { "self_attn.k_proj.weight", "attn_k.weight" },
        { "self_attn.k_proj.bias", "attn_k.bias" },
        { "self_attn.v_proj.weight", "attn_v.weight" },
        { "self_attn.v_proj.bias", "attn_v.bias" },
        { "self_attn.o_proj.weight", "attn_output.weight" },
        { "self_attn.o_proj.bias", "attn_output.bias" },
        { "post_attention_layernorm.weight", "ffn_norm.weight" },
        { "mlp.gate_proj.weight", "ffn_gate.weight" },
        { "mlp.up_proj.weight", "ffn_up.weight" },
        { "mlp.down_proj.weight", "ffn_down.weight" },
        { "mlp.down_proj.bias", "ffn_down.bias" },
        { "model.embed_tokens.weight", "token_embd.weight" },
        { "model.norm.weight", "output_norm.weight" },
        { "lm_head.weight", "output.weight" },
    };
    int layer = -1, n = 0;
    if (sscanf(hf, "model.layers.%4d.%n", &layer, &n) != 1 || !n) layer = -1, n = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(hf + n, table[i][0])) continue;
        if (layer >= 0)
            snprintf(out, GGUF_NAME_ROOM, "blk.%d.%s", layer, table[i][1]);
        else
            snprintf(out, GGUF_NAME_ROOM, "%s", table[i][1]);
        return true;
    }
    return false;
}
