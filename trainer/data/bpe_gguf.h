#ifndef TRAINER_DATA_BPE_GGUF_H
#define TRAINER_DATA_BPE_GGUF_H

#include "trainer/data/bpe.h"
#include "trainer/formats/gguf_write.h"

/*
 * Tokenizers inside GGUF files.
 *
 *   tokenizer.ggml.model   "gpt2": byte-level with merges; "llama": of characters with scores
 *                          "no_vocab", "none": there is none
 *   tokenizer.ggml.pre     "gpt-2", "smollm", "qwen2", "llama-bpe": how text is cut
 *   .tokens .token_type .merges .scores .bos_token_id .eos_token_id
 *   .add_bos_token         when it is missing, true for "llama" and "llama-bpe", as in llama.cpp
 *
 * Tokens of type control, user-defined and unknown are looked for before anything else.
 * (bpe_scores.h says how scores become rules)
 */

/* Into an initialised struct, finished on success and released on failure. */
enum status bpe_gguf_read(struct bpe *bpe, const struct gguf *g, struct error *err);

/* The keys of the tokenizer in a folder. Ids up to vocab_size that it lacks become unused
 * tokens. E_INPUT when its pre-tokenizer is none that GGUF has a name for, or when it is a unigram
 * model: the scores of "llama" are those of a byte-pair encoding. */
enum status bpe_gguf_put(struct gguf_out *out, const char *dir, int vocab_size, struct error *err);

#endif
