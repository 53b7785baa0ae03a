#ifndef TRAINER_DATA_BPE_SCORES_H
#define TRAINER_DATA_BPE_SCORES_H

#include "trainer/data/bpe.h"

/*
 * sentencepiece's byte-pair encodings have no rules but a score per token: of all
 * neighbours whose joined text is a token, those that make the token with the highest score
 * are joined first. As rules: every way to make a token of two others, ranked by the
 * token's score.
 */
struct bpe_scored {
    float score;
    int id;
};

/* Sorts the list. All tokens are in the vocabulary already; those not in the list are not made. */
void bpe_rules_from_scores(struct bpe *bpe, struct bpe_scored *list, size_t n);

/* Makes the token (text without NUL) one that is looked for before anything else. */
enum status bpe_add_whole(struct bpe *bpe, int id, const char *text, size_t len, bool special,
                          struct error *err);

/* The normal form of sentencepiece: spaces become U+2581, one is put in front if `prefix`. */
enum status bpe_use_meta_spaces(struct bpe *bpe, bool prefix, struct error *err);

#endif
