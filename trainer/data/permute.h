#ifndef TRAINER_DATA_PERMUTE_H
#define TRAINER_DATA_PERMUTE_H

#include <stdint.h>

/*
 * A shuffle without a list: where `i` goes in the permutation of 0..n-1 that
 * belongs to `key`. A keyed bijection (a Feistel network of four rounds over the
 * next even power of two, walked until it lands below n), so element i of any
 * epoch is found without visiting the others and nothing need be remembered.
 * i < n, n > 0.
 */
uint64_t permute(uint64_t key, uint64_t n, uint64_t i);

#endif
