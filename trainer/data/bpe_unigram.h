#ifndef TRAINER_DATA_BPE_UNIGRAM_H
#define TRAINER_DATA_BPE_UNIGRAM_H

#include "trainer/data/bpe_vocab.h"

/*
 * The other way from a word to tokens (Kudo 2018): of all ways to write it as tokens, the
 * one whose scores add up to most. Scores are logarithms of probabilities, added as Hugging
 * Face's tokenizers adds them, in float64 from the left (sentencepiece has float32: of ways
 * that are equally good but for rounding it may take another); of equals the first found
 * stays, which is the one that starts earliest. Where no token is exactly the next character,
 * that character may be unknown, for ten less than the least score.
 */
struct bpe_unigram {
    double *score; /* of each id; NAN: never made from text. NULL: not a unigram model */
    int n;
    double least;
    size_t longest; /* bytes of a token */
};

struct bpe_lattice {
    size_t room;
    struct bpe_node {
        double best;
        uint32_t from; /* where the token that ends here starts */
        int32_t id;    /* -1: an unknown character */
        uint32_t next; /* where the one behind it ends; set on the way back */
    } * node;
};

void bpe_unigram_set(struct bpe_unigram *u, int id, double score);

/* Call once when the vocabulary is complete. */
void bpe_unigram_finish(struct bpe_unigram *u, const struct bpe_vocab *vocab);
void bpe_unigram_release(struct bpe_unigram *u);
void bpe_lattice_release(struct bpe_lattice *lattice);

/* The best tokens of a word: start at 0; node[next] of a start has the token that begins there.
 * Returns the nodes, which the next call overwrites. */
const struct bpe_node *bpe_unigram_run(const struct bpe_unigram *u, const struct bpe_vocab *vocab,
                                       struct bpe_lattice *lattice, const char *word, size_t len);

#endif
