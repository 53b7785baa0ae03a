#include "trainer/data/permute.h"

#include "search/base/rng.h"

/* One pass over 2 * bits bits: (left, right) -> (right, left ^ f(right)), four times. */
static uint64_t feistel(uint64_t key, int bits, uint64_t x)
{
    uint64_t mask = (UINT64_C(1) << bits) - 1, left = x >> bits, right = x & mask;
    for (uint64_t round = 0; round < 4; round++) {
        uint64_t mixed = left ^ (rng_mix(key + round, right) & mask);
        left = right;
        right = mixed;
    }
    return left << bits | right;
}

uint64_t permute(uint64_t key, uint64_t n, uint64_t i)
{
    int bits = 1;
    while (bits < 31 && UINT64_C(1) << (2 * bits) < n) bits++;
    do i = feistel(key, bits, i);
    while (i >= n);
    return i;
}
