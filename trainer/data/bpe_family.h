#ifndef TRAINER_DATA_BPE_FAMILY_H
#define TRAINER_DATA_BPE_FAMILY_H

#include "trainer/data/bpe.h"

/*
 * The families of byte-level encodings: how text is cut and normalised before the
 * rules apply (bpe_split.h). Llama-3's also lets whole words win over rules.
 */
enum bpe_family { BPE_GPT2, BPE_SMOLLM, BPE_QWEN2, BPE_LLAMA3 };

extern const char *const bpe_family_names[]; /* "gpt2", "smollm", "qwen2", "llama3", NULL */

/* Sets the steps of an initialised struct bpe that has none yet. */
enum status bpe_set_family(struct bpe *bpe, enum bpe_family family, struct error *err);

#endif
