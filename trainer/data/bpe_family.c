#include "trainer/data/bpe_family.h"

const char *const bpe_family_names[] = { "gpt2", "smollm", "qwen2", "llama3", NULL };

enum status bpe_set_family(struct bpe *bpe, enum bpe_family family, struct error *err)
{
    struct bpe_split *split = &bpe->split;
    bpe->alphabet = BPE_BYTES;
    switch (family) {
    case BPE_SMOLLM:
        TRY(bpe_split_add(split, BPE_STEP_DIGIT, NULL, err));
        return bpe_split_add(split, BPE_STEP_REGEX, bpe_regex_gpt2, err);
    case BPE_QWEN2:
        TRY(bpe_norm_add(&bpe->norm, BPE_NFC, NULL, NULL, err));
        return bpe_split_add(split, BPE_STEP_REGEX, bpe_regex_qwen2, err);
    case BPE_LLAMA3:
        bpe->ignore_merges = true;
        return bpe_split_add(split, BPE_STEP_REGEX, bpe_regex_llama3, err);
    case BPE_GPT2: break;
    }
    return bpe_split_add(split, BPE_STEP_REGEX, bpe_regex_gpt2, err);
}
