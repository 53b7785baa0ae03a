#ifndef TRAINER_EXPORT_EXPORT_H
#define TRAINER_EXPORT_EXPORT_H

#include "search/base/emit.h"
#include "trainer/formats/quant.h"
#include "trainer/formats/weights.h"

/*
 * A model in the form that somebody's runtime loads.
 *
 *   hf           a Hugging Face folder: stock LlamaForCausalLM or Qwen2ForCausalLM when all layers
 *                are alike (and the heads divide the hidden size, which transformers 5 demands);
 *                otherwise true widths with per_layer_config and modeling_lathe.py beside it
 *   hf_padded    the same model padded with zeros to a stock one (pad.h)
 *   decilm       DeciLMForCausalLM with block_configs: query heads alike, FFN a multiple of 256;
 *                padded as little as that takes
 *   gguf         llama or qwen2 when all layers are alike, deci otherwise
 *   safetensors  the weights, and what shape writes
 *   shape        shape.json and openelm.json (OpenELM's arrays); no weights
 *
 * All of them get a README.md; tokenizer and settings come along with the first three, inside
 * the file with gguf.
 *
 * Element types: F32, F16, BF16 for all with weights; Q8_0 and Q4_0 for gguf. In GGUF, vectors
 * stay F32, and matrices whose rows are no multiple of the block become F16.
 *
 * Tensors pass through memory one at a time. Files are written into an existing folder;
 * what it holds after a failure is rubbish.
 */
enum export_format {
    EXPORT_HF,
    EXPORT_HF_PADDED,
    EXPORT_DECILM,
    EXPORT_GGUF,
    EXPORT_SAFETENSORS,
    EXPORT_SHAPE,
};

extern const char *const export_formats[]; /* for field_choice */
extern const char
    *const export_types[]; /* "float32", "float16", "bfloat16", "q8_0", "q4_0", NULL */
const struct quant_type *export_type(int i);

/* What the model card says; any may be NULL. */
struct export_card {
    const char *name, *source, *data, *search, *ratio, *budget, *scores;
};

struct export_spec {
    enum export_format format;
    const struct quant_type *type;
    const char *tokenizer_dir; /* holds a tokenizer.json; NULL: none comes along */
    int max_position;
    struct export_card card;
};

enum { EXPORT_PATH = 64 };

/* What was written. */
struct export_result {
    struct shape shape;         /* of the tensors as written */
    bool has_weights, is_stock; /* stock: no code beside the weights is needed */
    char opens_at[EXPORT_PATH]; /* for weights_open, inside the folder: "" is the folder itself */
    char architecture[32];      /* "LlamaForCausalLM", "deci", ... */
};

/* E_INPUT when the format cannot hold the model (or the element type), and says why. */
enum status export_model(struct weights *w, const struct export_spec *spec, const char *dir,
                         struct export_result *out, struct error *err);

/* ---- the formats, for export_model ---- */

enum status export_hf(struct weights *w, const struct export_spec *spec, const char *dir,
                      struct export_result *out, struct error *err);
enum status export_decilm(struct weights *w, const struct export_spec *spec, const char *dir,
                          struct export_result *out, struct error *err);
enum status export_gguf(struct weights *w, const struct export_spec *spec, const char *dir,
                        struct export_result *out, struct error *err);
enum status export_shape(const struct shape *shape, const char *dir, struct error *err);

/* ---- pieces ---- */

/* model.safetensors in F32, F16 or BF16. */
enum status export_tensors(struct weights *w, const struct quant_type *type, const char *dir,
                           struct error *err);

/* What begins a text (else what ends one) and what ends it (data/ends.h); -1: none. */
struct export_ends {
    int bos, eos;
};

/* tokenizer.json, tokenizer_config.json, generation_config.json. Nothing when the spec has no
 * tokenizer. */
enum status export_tokenizer(const struct export_spec *spec, const char *dir,
                             struct export_ends *ends, struct error *err);

/* README.md */
enum status export_card(const struct weights *source, const struct export_spec *spec,
                        const struct export_result *result, const char *dir, struct error *err);

/* Can stock Llama classes of Hugging Face load the shape? */
bool export_is_stock(const struct shape *shape);

/* Writes what was emitted. */
enum status export_text(const char *dir, const char *name, const struct buf *text,
                        struct error *err);

/* The largest tensor of a shape, in elements. */
size_t export_largest(const struct shape *shape);

#endif
