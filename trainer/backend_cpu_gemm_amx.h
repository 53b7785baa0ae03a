#ifndef TRAINER_BACKEND_CPU_GEMM_AMX_H
#define TRAINER_BACKEND_CPU_GEMM_AMX_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Products on the matrix unit of Intel's processors (AMX), for cpu-bf16: operands rounded to
 * bfloat16, and for cpu-bf16x3: float32 by three such products, x = hi + lo, each rounded to
 * nearest, and a b ~ hi hi + hi lo + lo hi, all summed in float32 (Henry, Tang and Heinecke,
 * arXiv 1904.06376). What is left out is about 2^-17 of a product.
 *
 * A register holds 16 x 16 sums, 16 rows by 32 k of the left operand, or 16 pairs of k by
 * 16 columns of the right one: 1 KB each. The tile is 32 x 32: four registers of sums, two
 * for each operand. A panel of either operand is made of blocks of 32 k: hi of its first
 * and second 16 lines, then lo of both when there are three products. Zeros fill the last
 * block. Subnormal numbers count as zero.
 */
#define AMX __attribute__((target("avx512f,avx512bw,avx512bf16,amx-tile,amx-bf16")))

enum { AMX_TILE = 32, AMX_DEPTH = 32 /* k in a block */, AMX_REGISTER = 512 /* elements */ };

/* Elements of a block, for one product or for three. */
static inline int amx_block(bool three) { return (three ? 4 : 2) * AMX_REGISTER; }

/* Packing, as struct tiles has it (backend_cpu_gemm_blocked.h), for one product and for three. */
void amx_lying_1(float *to, int K, int m, const float *a, ptrdiff_t row);
void amx_lying_3(float *to, int K, int m, const float *a, ptrdiff_t row);
void amx_standing_1(float *to, int M, int K, const float *a, ptrdiff_t col);
void amx_standing_3(float *to, int M, int K, const float *a, ptrdiff_t col);
void amx_rows_1(float *to, int K, int n, const float *b, ptrdiff_t row);
void amx_rows_3(float *to, int K, int n, const float *b, ptrdiff_t row);
void amx_columns_1(float *to, int K, int n, const float *b, ptrdiff_t col);
void amx_columns_3(float *to, int K, int n, const float *b, ptrdiff_t col);

#endif
