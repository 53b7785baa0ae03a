#ifndef TRAINER_DATA_BPE_PAIRS_H
#define TRAINER_DATA_BPE_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Pairs of neighbouring tokens while a byte-pair encoding is trained: how often each
 * occurs, in which words, and which is the most frequent.
 *
 * Pairs are numbered in the order in which they were first seen. The heap is lazy: a
 * pair whose count fell since it was put there is put back with its count of now.
 */
struct bpe_pair {
    int32_t left, right;
    int64_t count;
    uint32_t *word; /* indices of words that hold it, or held it once */
    uint32_t n_words, room;
    uint32_t stamp; /* the caller's, 0 at first */
};

struct bpe_candidate {
    int64_t count;
    uint32_t pair;
};

struct bpe_pairs {
    struct bpe_pair *pair;
    uint32_t n, room;
    uint32_t *slot; /* open addressing: index + 1, or 0 */
    size_t mask;
    struct bpe_candidate *heap;
    size_t n_heap, heap_room;
};

void bpe_pairs_init(struct bpe_pairs *p);
void bpe_pairs_release(struct bpe_pairs *p);

/* Adds `by` (may be negative) to the count of a pair; notes that `word` holds it when by > 0.
 * Returns the pair's number. */
uint32_t bpe_pairs_count(struct bpe_pairs *p, int32_t left, int32_t right, int64_t by,
                         uint32_t word);

/* Makes pair number i a candidate. */
void bpe_pairs_push(struct bpe_pairs *p, uint32_t i);

/* Takes the most frequent candidate; of equal ones that with the lowest ids. False when the best
 * occurs fewer than `least` times. */
bool bpe_pairs_pop(struct bpe_pairs *p, int64_t least, uint32_t *i);

#endif
