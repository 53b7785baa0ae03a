#ifndef TRAINER_DATA_BPE_SCAN_H
#define TRAINER_DATA_BPE_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The expressions of the pre-tokenizer families by hand: five to ten times as
 * fast as PCRE2's JIT, and held against it by tests. Classes of characters are
 * utf8proc's categories behind a table for ASCII.
 */
enum bpe_scanner {
    BPE_SCAN_NONE,
    BPE_SCAN_GPT2,
    BPE_SCAN_QWEN2,
    BPE_SCAN_LLAMA3,
};

/* The scanner that does what an expression of tokenizer.json says, or BPE_SCAN_NONE. */
enum bpe_scanner bpe_scanner_of(const char *regex);

/* The length of the word at the start of the text (len >= 1, valid UTF-8); at least 1. */
size_t bpe_scan(enum bpe_scanner scanner, const char *text, size_t len);

/* Is the character at `text` in Nd, Nl or No? Its length goes to *n. */
bool bpe_is_numeric(const char *text, size_t left, size_t *n);

/* White_Space of Unicode; the length goes to *n. */
bool bpe_is_space(const char *text, size_t left, size_t *n);

/* What a regular expression calls \w: letters, marks, decimal digits, connectors, joiners. */
bool bpe_is_word(const char *text, size_t left, size_t *n);

#endif
