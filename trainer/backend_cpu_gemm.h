#ifndef TRAINER_BACKEND_CPU_GEMM_H
#define TRAINER_BACKEND_CPU_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Matrix products on one thread, for the cpu backend. Implementations:
 *
 *     avx512  our own kernel, for processors that have AVX-512: tiles of 12 x 32 whose
 *             sums stay in registers
 *     avx2    the same with tiles of 6 x 16
 *     blas    OpenBLAS, everywhere
 *     amx     for cpu-bf16: operands rounded to bfloat16, on the matrix unit
 *     amx_x3  for cpu-bf16x3: three such products for one of float32
 *
 * All but blas share their blocking (backend_cpu_gemm_blocked.h) and give the same bits
 * for an element of the result however the result is cut into pieces of whole tiles; blas
 * does for the same pieces, which the backend therefore cuts by size alone.
 *
 * An operand that several pieces of a result share can be packed once before them. A packed
 * left operand (M, K) is a row of panels, so that `left + i * gemm_depth(K)` are its rows from i
 * on where i is a multiple of tile_rows; `right + j * gemm_depth(K)` are the columns from j on of a
 * packed right operand (K, N) where j is a multiple of tile_cols. Both start on 64-byte boundaries.
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

enum { GEMM_SCRATCH = 256 * 1024 };

struct gemm {
    const char *name;
    int tile_rows, tile_cols;
    int unit, share; /* of packed operands: K up to a multiple of `unit`, `share` to a float */

    /* c (M, N) = a (M, K) @ b (K, N), added to c when `add`; rows of c are ldc apart. `scratch` has
     * room for GEMM_SCRATCH floats on a 64-byte boundary. */
    void (*product)(int M, int N, int K, struct operand a, struct operand b, float *c, int ldc,
                    bool add, float *scratch);

    /* Into gemm_packed_left(gemm, M, K) and gemm_packed(gemm, K, N) floats. */
    void (*pack_left)(float *to, int M, int K, struct operand a);
    void (*pack_right)(float *to, int K, int N, struct operand b);

    /* Products with one of them. That with a right operand takes the first k <= K of its rows. */
    void (*left_product)(int M, int N, int K, const float *left, struct operand b, float *c,
                         int ldc, bool add, float *scratch);
    void (*right_product)(int M, int N, int k, struct operand a, const float *right, int K,
                          float *c, int ldc, bool add, float *scratch);
};

/* The product of a single row (1, K), for every implementation: b is read once, where it lies. */
void gemm_row(int N, int K, struct operand a, struct operand b, float *c, bool add);

static inline size_t gemm_up(int n, int unit) { return (size_t)((n + unit - 1) / unit * unit); }

/* How far apart the rows of a packed left operand and the columns of a packed right one are, in
 * floats. */
static inline size_t gemm_depth(const struct gemm *gemm, int K)
{
    return gemm_up(K, gemm->unit) / (size_t)gemm->share;
}

static inline size_t gemm_packed(const struct gemm *gemm, int K, int N)
{
    return gemm_depth(gemm, K) * gemm_up(N, gemm->tile_cols);
}

static inline size_t gemm_packed_left(const struct gemm *gemm, int M, int K)
{
    return gemm_depth(gemm, K) * gemm_up(M, gemm->tile_rows);
}

const struct gemm *gemm_blas(void);
const struct gemm *gemm_avx2(void);   /* NULL where the processor lacks it */
const struct gemm *gemm_avx512(void); /* the same */
const struct gemm *gemm_amx(void);    /* the same, or where the system does not let us */
const struct gemm *gemm_amx_x3(void);

#endif
