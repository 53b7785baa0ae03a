#include "server/api/export_sizes.h"

#include "search/padding.h"

const char *const export_formats[] = { "hf",          "hf_padded", "decilm", "gguf",
                                       "safetensors", "shape",     NULL };
const char *const export_dtypes[] = { "float32", "float16", "bfloat16", "q8_0", "q4_0", NULL };

enum { BLOCK = 32 }; /* elements that share a scale, of both quantized types */

void export_stored(const struct shape *shape, enum export_format format, struct shape *out)
{
    *out = *shape;
    if (format == EXPORT_HF_PADDED) pad_to_stock(shape, out);
    if (format == EXPORT_DECILM) pad_to_decilm(shape, out);
}

static int64_t matrix(int64_t rows, int64_t cols, enum export_dtype dtype)
{
    static const int block_bytes[] = { [DTYPE_Q8_0] = 34, [DTYPE_Q4_0] = 18 };
    if (dtype == DTYPE_FLOAT32) return 4 * rows * cols;
    if (dtype < DTYPE_Q8_0 || cols % BLOCK) return 2 * rows * cols;
    return rows * cols / BLOCK * block_bytes[dtype];
}

static int64_t layer_bytes(const struct shape *s, const struct layer_shape *l,
                           enum export_dtype dtype)
{
    int64_t q = (int64_t)l->q_heads * s->head_dim, kv = (int64_t)l->kv_heads * s->head_dim;
    int64_t d = s->hidden_size, vectors = 2 * d + (s->qkv_bias ? q + 2 * kv : 0);
    return matrix(q + 2 * kv + 2 * l->ffn, d, dtype) + matrix(d, q, dtype) +
           matrix(d, l->ffn, dtype) + 4 * vectors;
}

static int64_t gguf_bytes(const struct shape *s, enum export_dtype dtype)
{
    enum export_dtype head = dtype == DTYPE_Q4_0 ? DTYPE_Q8_0 : dtype;
    int64_t sum = 4 * (int64_t)s->hidden_size + matrix(s->vocab_size, s->hidden_size, head);
    for (int l = 0; l < s->n_layers; l++) sum += layer_bytes(s, &s->layer[l], dtype);
    return s->tie_word_embeddings ? sum : sum + matrix(s->vocab_size, s->hidden_size, dtype);
}

int64_t export_bytes(const struct shape *s, enum export_format format, enum export_dtype dtype)
{
    if (format == EXPORT_SHAPE) return 0;
    if (format == EXPORT_GGUF) return gguf_bytes(s, dtype);
    return shape_params(s) * (dtype == DTYPE_FLOAT32 ? 4 : 2);
}
