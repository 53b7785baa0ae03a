#ifndef SEARCH_BASE_RNG_H
#define SEARCH_BASE_RNG_H

#include <stdint.h>

/*
 * Deterministic random numbers. Two kinds:
 *
 *   - rng_mix is a function of its arguments and keeps no state, for anything
 *     that must be addressable by number (the order of batches, the initial
 *     value of weight i). It is the finaliser of SplitMix64.
 *   - struct rng is a stream: xoshiro256** (Blackman, Vigna 2018), seeded
 *     through SplitMix64. Its four words are its whole state, so a checkpoint
 *     that holds them continues the stream exactly.
 */
uint64_t rng_mix(uint64_t key, uint64_t counter);

struct rng {
    uint64_t s[4];
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);

/* Uniform in [0, 1) with 53 bits. */
double rng_uniform(struct rng *rng);

/* Uniform in 0..n-1 without bias; n > 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);

/* Standard normal, by Box and Muller; uses two numbers and keeps none back. */
double rng_normal(struct rng *rng);

#endif
