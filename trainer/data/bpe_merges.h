#ifndef TRAINER_DATA_BPE_MERGES_H
#define TRAINER_DATA_BPE_MERGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The merge rules of a byte-pair encoding and their application to one word.
 *
 * A rule joins two neighbouring tokens into a third; rules have ranks, and the
 * smallest rank in the word is applied first, the leftmost of equal ones first,
 * until none applies (Sennrich, Haddow, Birch 2016). Words of up to a few dozen
 * tokens are scanned for the minimum each time, O(n^2) but in one cache line or
 * two; longer ones use a heap over a linked list, O(n log n), with the same result.
 */
struct bpe_rule {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank;
    int32_t joined; /* the token they become; -1: a free slot */
};

struct bpe_merges {
    struct bpe_rule *slot; /* open addressing; NULL when empty */
    size_t mask, n;        /* slots - 1; rules */
};

void bpe_merges_release(struct bpe_merges *m);

/* A pair given twice has the rank and the result given last. */
void bpe_merges_add(struct bpe_merges *m, int left, int right, uint32_t rank, int joined);

/* The rule of a pair, or NULL. */
const struct bpe_rule *bpe_merges_find(const struct bpe_merges *m, int left, int right);

/* Scratch of bpe_merges_apply for long words; zeroed at first, freed by bpe_work_release. */
struct bpe_work {
    struct bpe_link *link;
    struct bpe_event *heap;
    size_t room, heap_room, n_heap;
};

void bpe_work_release(struct bpe_work *work);

/* Applies the rules to `ids` in place and returns how many tokens are left (n < 2^31). */
size_t bpe_merges_apply(const struct bpe_merges *m, struct bpe_work *work, int32_t *ids, size_t n);

#endif
