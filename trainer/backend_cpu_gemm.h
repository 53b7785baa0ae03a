#ifndef TRAINER_BACKEND_CPU_GEMM_H
#define TRAINER_BACKEND_CPU_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Matrix products on one thread, for the cpu backend. Three implementations:
 *
 *     avx512  our own kernel, for processors that have AVX-512: tiles of 12 x 32 whose
 *             sums stay in registers, the right operand packed, the left one read
 *             where it lies
 *     avx2    the same with tiles of 6 x 16, the left operand repacked where many columns
 *             share it
 *     blas    OpenBLAS, everywhere
 *
 * Either gives the same bits for an element of the result however the result is cut
 * into pieces of whole tiles (avx512, avx2) or for the same pieces (blas); the backend
 * always cuts in the same way, whatever the number of threads.
 */

/* Element (i, j) is at[i * row + j * col]; row or col is 1. */
struct operand {
    const float *at;
    ptrdiff_t row, col;
};

static inline struct operand plain(const float *at, int ld)
{
    return (struct operand){ at, ld, 1 };
}
static inline struct operand transposed(const float *at, int ld)
{
    return (struct operand){ at, 1, ld };
}

enum { GEMM_TILE_ROWS = 12, GEMM_TILE_COLS = 32, GEMM_SCRATCH = 384 * 320 };

struct gemm {
    const char *name;

    /* c (M, N) = a (M, K) @ b (K, N), added to c when `add`; rows of c are ldc apart. `scratch` has
     * room for GEMM_SCRATCH floats on a 64-byte boundary. */
    void (*product)(int M, int N, int K, struct operand a, struct operand b, float *c, int ldc,
                    bool add, float *scratch);

    /* For an operand used many times: b (K, N) rearranged into gemm_packed(K, N) floats on a
     * 64-byte boundary, and products with its first n columns and k rows. */
    void (*pack)(float *to, int K, int N, struct operand b);
    void (*packed_product)(int m, int n, int k, struct operand a, const float *packed, int K, int N,
                           float *c, int ldc, bool add);
};

/* The product of a single row (1, K), for every implementation: b is read once, where it lies. */
void gemm_row(int N, int K, struct operand a, struct operand b, float *c, bool add);

static inline size_t gemm_packed(int K, int N)
{
    return (size_t)K * (size_t)((N + GEMM_TILE_COLS - 1) / GEMM_TILE_COLS * GEMM_TILE_COLS);
}

const struct gemm *gemm_blas(void);
const struct gemm *gemm_avx2(void);   /* NULL where the processor lacks it */
const struct gemm *gemm_avx512(void); /* the same */

#endif
