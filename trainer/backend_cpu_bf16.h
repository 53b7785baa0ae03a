#ifndef TRAINER_BACKEND_CPU_BF16_H
#define TRAINER_BACKEND_CPU_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "search/base/error.h"

/*
 * Matrix products of bfloat16 operands with float32 sums and float32 results, for the
 * backend cpu-bf16. A product uses all threads; it is called outside of parallel regions.
 * Three ways to come by one:
 *
 *     onednn  libdnnl, when it was there at configure time and knows the processor
 *             (AVX-512 with bf16, or AMX)
 *     sbgemm  cblas_sbgemm, when the OpenBLAS found has it and the processor computes in bf16
 *     plain   widened to float32 and multiplied there: the same operands and sums on any
 *             processor, and slower than float32. For checks (cpu-bf16-plain)
 */

/* Element (i, j) is at[i * row + j * col]; row or col is 1. */
struct brief {
    const uint16_t *at;
    ptrdiff_t row, col;
};

struct brief_gemm {
    const char *name;
    /* c (M, N) = a (M, K) @ b (K, N), added to c when `add`; rows of c are ldc apart. */
    void (*product)(int threads, int M, int N, int K, struct brief a, struct brief b, float *c,
                    int ldc, bool add);
};

/* NULL where there is none. */
const struct brief_gemm *brief_gemm_onednn(int threads);
const struct brief_gemm *brief_gemm_sbgemm(void);
const struct brief_gemm *brief_gemm_plain(void);

/* To nearest, ties to even; a NaN stays one. */
static inline uint16_t brief_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

static inline float brief_wide(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

#endif
