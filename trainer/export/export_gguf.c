/* model.gguf: llama or qwen2 when all layers are alike, deci otherwise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/export/export.h"
#include "trainer/data/bpe_gguf.h"
#include "trainer/formats/gguf_shape.h"
#include "trainer/formats/gguf_write.h"

struct writing {
    struct weights *w;
    const struct export_spec *spec;
    bool paired;
    struct gguf_out out;
    float *floats, *rows; /* a tensor as we have it, and with the rows of GGUF */
    unsigned char *bytes;
};

static const char *arch_of(const struct shape *shape)
{
    if (!shape_is_uniform(shape)) return "deci";
    return shape->qkv_bias && !shape->output_bias ? "qwen2" : "llama"; /* llama takes any bias */
}

/* ---- keys ---------------------------------------------------------------------------------- */

static const char *key_of(const struct shape *shape, const char *what)
{
    static _Thread_local char key[96];
    snprintf(key, sizeof key, "%s.%s", arch_of(shape), what);
    return key;
}

/* One number when layers are alike, an array otherwise. */
static void put_widths(struct gguf_out *out, const struct shape *s, const char *what, size_t offset)
{
    int32_t widths[SHAPE_MAX_LAYERS];
    for (int l = 0; l < s->n_layers; l++)
        memcpy(&widths[l], (const char *)&s->layer[l] + offset, sizeof widths[l]);
    if (shape_is_uniform(s))
        gguf_put_u32(out, key_of(s, what), (uint32_t)widths[0]);
    else
        gguf_put_i32s(out, key_of(s, what), widths, (size_t)s->n_layers);
}

static uint32_t file_type(const struct quant_type *type)
{
    switch (type->type) {
    case GGML_F16: return 1;
    case GGML_Q4_0: return 2;
    case GGML_Q8_0: return 7;
    case GGML_BF16: return 32;
    default: return 0;
    }
}

/* What rope_freqs.weight was made of (gguf_shape.h): its divisors do not tell. */
static void put_scaling(struct gguf_out *out, const struct shape *s)
{
    const struct rope_scaling *r = &s->rope_scaling;
    gguf_put_u32(out, key_of(s, "rope.scaling.original_context_length"),
                 (uint32_t)r->original_max_position);
    gguf_put_f32(out, key_of(s, "rope.llama3.factor"), r->factor);
    gguf_put_f32(out, key_of(s, "rope.llama3.low_freq_factor"), r->low_freq_factor);
    gguf_put_f32(out, key_of(s, "rope.llama3.high_freq_factor"), r->high_freq_factor);
}

static void put_shape(struct gguf_out *out, const struct shape *s, int max_position)
{
    gguf_put_u32(out, key_of(s, "block_count"), (uint32_t)s->n_layers);
    gguf_put_u32(out, key_of(s, "context_length"), (uint32_t)max_position);
    gguf_put_u32(out, key_of(s, "embedding_length"), (uint32_t)s->hidden_size);
    gguf_put_u32(out, key_of(s, "vocab_size"), (uint32_t)s->vocab_size);
    put_widths(out, s, "feed_forward_length", offsetof(struct layer_shape, ffn));
    put_widths(out, s, "attention.head_count", offsetof(struct layer_shape, q_heads));
    put_widths(out, s, "attention.head_count_kv", offsetof(struct layer_shape, kv_heads));
    gguf_put_u32(out, key_of(s, "attention.key_length"), (uint32_t)s->head_dim);
    gguf_put_u32(out, key_of(s, "attention.value_length"), (uint32_t)s->head_dim);
    gguf_put_f32(out, key_of(s, "attention.layer_norm_rms_epsilon"), s->norm_eps);
    gguf_put_u32(out, key_of(s, "rope.dimension_count"), (uint32_t)s->head_dim);
    gguf_put_f32(out, key_of(s, "rope.freq_base"), s->rope_theta);
    if (s->rope_scaling.llama3) put_scaling(out, s);
}

static enum status put_keys(struct writing *wr, struct error *err)
{
    const struct shape *s = &wr->w->shape;
    gguf_put_string(&wr->out, "general.architecture", arch_of(s));
    gguf_put_string(&wr->out, "general.name", wr->spec->card.name ? wr->spec->card.name : "model");
    gguf_put_u32(&wr->out, "general.file_type", file_type(wr->spec->type));
    if (wr->spec->type->block > 1) gguf_put_u32(&wr->out, "general.quantization_version", 2);
    put_shape(&wr->out, s, wr->spec->max_position);
    if (wr->spec->tokenizer_dir)
        return bpe_gguf_put(&wr->out, wr->spec->tokenizer_dir, s->vocab_size, err);
    gguf_put_string(&wr->out, "tokenizer.ggml.model", "no_vocab"); /* llama.cpp wants it said */
    return OK;
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* Vectors stay as they are; rows that are no multiple of the block become F16. The head keeps 8
 * bits where the rest has 4: it is what is compared with everything. */
static const struct quant_type *type_for(const struct writing *wr, const char *name, int rows,
                                         int cols)
{
    const struct quant_type *type = wr->spec->type;
    bool head = !strcmp(name, "lm_head.weight") ||
                (wr->w->shape.tie_word_embeddings && !strcmp(name, "model.embed_tokens.weight"));
    if (!rows) return quant_type_of(GGML_F32);
    if (cols % type->block) return quant_type_of(GGML_F16);
    return head && type->type == GGML_Q4_0 ? quant_type_of(GGML_Q8_0) : type;
}

static enum status put_info(void *user, const char *name, int rows, int cols, struct error *err)
{
    (void)err;
    struct writing *wr = user;
    char stored[GGUF_NAME_ROOM];
    gguf_name_of(name, stored);
    gguf_put_tensor(&wr->out, stored, type_for(wr, name, rows, cols), cols, rows);
    return OK;
}

/* Our row j d / 2 + i of a head becomes row 2 i + j. */
static const float *paired(struct writing *wr, int rows, size_t cols)
{
    int d = wr->w->shape.head_dim;
    for (int row = 0; row < rows; row++) {
        int to = row / d * d + row % (d / 2) * 2 + row % d / (d / 2);
        memcpy(wr->rows + (size_t)to * cols, wr->floats + (size_t)row * cols, cols * sizeof(float));
    }
    return wr->rows;
}

static enum status put_data(void *user, const char *name, int rows, int cols, struct error *err)
{
    struct writing *wr = user;
    const struct quant_type *type = type_for(wr, name, rows, cols);
    size_t n = (size_t)(rows ? rows : 1) * (size_t)cols;
    const float *x = wr->floats;
    TRY(wr->w->read(wr->w, name, rows, cols, wr->floats, err));
    if (wr->paired && (strstr(name, ".q_proj.") || strstr(name, ".k_proj.")))
        x = rows ? paired(wr, rows, (size_t)cols) : paired(wr, cols, 1);
    quant_encode(type, x, n, wr->bytes);
    gguf_out_data(&wr->out, wr->bytes, n / (size_t)type->block * (size_t)type->bytes);
    return OK;
}

static const char ROPE[] = "rope_freqs.weight";

static void put_rope_data(struct writing *wr)
{
    const struct shape *s = &wr->w->shape;
    for (int i = 0; i < s->head_dim / 2; i++)
        wr->floats[i] = (float)rope_divisor(&s->rope_scaling, s->rope_theta, s->head_dim, i);
    gguf_out_data(&wr->out, wr->floats, (size_t)s->head_dim / 2 * sizeof(float));
}

static enum status write_all(struct writing *wr, const char *path, struct error *err)
{
    const struct shape *s = &wr->w->shape;
    TRY(put_keys(wr, err));
    if (s->rope_scaling.llama3)
        gguf_put_tensor(&wr->out, ROPE, quant_type_of(GGML_F32), s->head_dim / 2, 0);
    TRY(weights_each(s, &(struct weights_visit){ wr, put_info }, err));
    TRY(gguf_out_start(&wr->out, path, err));
    if (s->rope_scaling.llama3) put_rope_data(wr);
    return weights_each(s, &(struct weights_visit){ wr, put_data }, err);
}

enum status export_gguf(struct weights *w, const struct export_spec *spec, const char *dir,
                        struct export_result *out, struct error *err)
{
    char path[PATH_ROOM];
    size_t most = export_largest(&w->shape) + SHAPE_MAX_HEAD_DIM;
    struct writing wr = { .w = w,
                          .spec = spec,
                          .paired = strcmp(arch_of(&w->shape), "qwen2") != 0 };
    TRY(path_join(path, dir, "model.gguf", err));
    out->shape = w->shape;
    out->has_weights = out->is_stock = true;
    strcpy(out->opens_at, "model.gguf");
    strcpy(out->architecture, arch_of(&w->shape));

    gguf_out_init(&wr.out);
    wr.floats = malloc(most * sizeof(float));
    wr.rows = malloc(most * sizeof(float));
    wr.bytes = malloc(most * sizeof(float));
    if (!wr.floats || !wr.rows || !wr.bytes)
        fail(err, E_MEMORY, "no memory to convert the largest tensor");
    else
        write_all(&wr, path, err);
    gguf_out_finish(&wr.out, NULL, err);
    free(wr.floats);
    free(wr.rows);
    free(wr.bytes);
    return err->status;
}
