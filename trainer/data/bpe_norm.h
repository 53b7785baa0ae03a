#ifndef TRAINER_DATA_BPE_NORM_H
#define TRAINER_DATA_BPE_NORM_H

#include "search/base/buf.h"

/*
 * What happens to text before it is cut: Unicode normal forms by utf8proc, and
 * the two replacements of sentencepiece-like files. Steps are applied in order.
 *
 * Normal forms work on one ASCII character and what follows it up to the next:
 * an ASCII character never joins what stands before it, so memory stays small
 * and plain text is copied.
 */
enum { BPE_MAX_NORMS = 8, BPE_MAX_NORM_TEXT = 64 };

enum bpe_norm_kind { BPE_NFC, BPE_NFD, BPE_NFKC, BPE_NFKD, BPE_REPLACE, BPE_PREPEND };

struct bpe_norm {
    int n;
    struct bpe_norm_step {
        enum bpe_norm_kind kind;
        char from[BPE_MAX_NORM_TEXT], to[BPE_MAX_NORM_TEXT]; /* of REPLACE; `to` of PREPEND */
    } step[BPE_MAX_NORMS];
};

/* Appends a step; the texts may be NULL where the kind needs none. */
enum status bpe_norm_add(struct bpe_norm *norm, enum bpe_norm_kind kind, const char *from,
                         const char *to, struct error *err);

/* Replaces the contents of `out` by the normalised text, which is valid UTF-8 as the text is.
 * E_LIMIT when it passes the ceiling of `out` or of `scratch`. */
enum status bpe_norm_run(const struct bpe_norm *norm, const char *text, size_t len, struct buf *out,
                         struct buf *scratch, struct error *err);

#endif
