#ifndef TRAINER_DATA_BPE_SPLIT_H
#define TRAINER_DATA_BPE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include "search/base/error.h"

/*
 * Cuts text into the words that a byte-pair encoding never joins across.
 *
 * A splitter is a list of steps; each step cuts every piece that the one before
 * left. Four families are made of them:
 *
 *     gpt2      ByteLevel(regex)
 *     smollm    Digits(one by one), ByteLevel(regex)
 *     qwen2     Split(its regex)         (with NFC before, see bpe.h)
 *     llama3    Split(its regex)         (\p{N}{1,3} instead of \p{N})
 *
 * Expressions are those of tokenizer.json (Oniguruma) run by PCRE2 with UTF and
 * UCP and its JIT. \s is rewritten to Unicode's White_Space, since PCRE2's own \s
 * counts U+180E too. Expressions of the four families are also recognised and run
 * by hand-written scanners (bpe_scan.h), which tests hold against PCRE2.
 *
 * Text is valid UTF-8. Running changes nothing in a splitter: threads may share one.
 */
enum {
    BPE_MAX_STEPS = 8,
    BPE_MAX_PATTERN = 4096,             /* bytes of an expression */
    BPE_MATCH_LIMIT = 10 * 1000 * 1000, /* PCRE2's, against catastrophic expressions */
};

enum bpe_step_kind {
    BPE_STEP_REGEX,   /* pieces are the matches and what lies between them */
    BPE_STEP_MATCHES, /* pieces are the matches; what lies between is dropped */
    BPE_STEP_GAPS,    /* the other way round */
    BPE_STEP_DIGIT,   /* each numeric character alone */
    BPE_STEP_DIGITS,  /* each run of numeric characters alone */
    BPE_STEP_PREFIX,  /* puts a space before a piece that does not start with one */
    BPE_STEP_META,    /* cuts before each run of U+2581, sentencepiece's space */
};

struct bpe_step {
    enum bpe_step_kind kind;
    void *code;  /* PCRE2's, of the first three */
    char *regex; /* their text, owned */
    int scanner; /* enum bpe_scanner, 0 for none */
};

struct bpe_split {
    int n;
    struct bpe_step step[BPE_MAX_STEPS];
    bool no_scanners; /* for tests: PCRE2 does everything */
};

/* The expressions of the families. */
extern const char bpe_regex_gpt2[], bpe_regex_qwen2[], bpe_regex_llama3[];

/* Appends a step. E_INPUT with PCRE2's words for an expression that does not compile. */
enum status bpe_split_add(struct bpe_split *split, enum bpe_step_kind kind, const char *regex,
                          struct error *err);

void bpe_split_release(struct bpe_split *split);

/* Calls `word` for every piece of the text, in order. The bytes handed over live as
 * long as the call. E_LIMIT when an expression gives up on a text. */
typedef void bpe_word_seen(void *data, const char *word, size_t len);
enum status bpe_split_run(const struct bpe_split *split, const char *text, size_t len,
                          bpe_word_seen *word, void *data, struct error *err);

/* How many steps a tokenizer's file says: BPE_STEP_META is ours, and then the only one. */
static inline int bpe_split_said(const struct bpe_split *split)
{
    return split->n && split->step[0].kind == BPE_STEP_META ? 0 : split->n;
}

#endif
