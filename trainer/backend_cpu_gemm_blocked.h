#ifndef TRAINER_BACKEND_CPU_GEMM_BLOCKED_H
#define TRAINER_BACKEND_CPU_GEMM_BLOCKED_H

#include "trainer/backend_cpu_gemm.h"

/*
 * Blocked products over a processor's tile kernel, after Goto and van de Geijn (ACM TOMS
 * 34(3), 2008). A tile is rows x cols sums that stay in registers. The right operand is
 * packed into panels [panel][k][cols], the left one into panels [panel][k][rows], zeros
 * beyond the last column or row. `depth` steps of one right panel stay in the first-level
 * cache while the left panels of block_rows rows stream by from the second-level one:
 *
 *     for block_cols columns, for depth of k:     pack the right operand
 *         for block_rows rows:                    pack the left operand
 *             for each right panel, for each left panel: a tile
 *
 * An operand that comes packed is not packed again, and a left one that few panels see is
 * read where it lies, where `unit` is 1. What is added up in which order depends on K alone.
 */
struct tiles {
    int rows, cols, depth, block_rows, block_cols;
    /* Panels hold k up to a multiple of `unit`, what is beyond the last counting for nothing, and
     * `share` elements in the room of a float. */
    int unit, share;

    /* The tiles of one right panel (depth, cols): c (m, n <= cols) = left @ right, or += when
     * `add`. `next` is the way from a tile's rows of the left operand to the next tile's. */
    void (*panel)(int m, int n, int depth, struct operand left, ptrdiff_t next, const float *right,
                  float *c, int ldc, bool add);

    /* The left operand: m <= rows of its rows, which lie along memory, into one panel; or all
     * panels of one whose columns do. */
    void (*pack_lying)(float *to, int K, int m, const float *a, ptrdiff_t row);
    void (*pack_standing)(float *to, int M, int K, const float *a, ptrdiff_t col);
    /* n <= cols columns of the right operand into one panel: its rows lie along memory, or its
     * columns do. */
    void (*pack_rows)(float *to, int K, int n, const float *b, ptrdiff_t row);
    void (*pack_columns)(float *to, int K, int n, const float *b, ptrdiff_t col);
};

/* Packing and the products of struct gemm. */
void blocked_pack_left(const struct tiles *t, float *to, int M, int K, struct operand a);
void blocked_pack_right(const struct tiles *t, float *to, int K, int N, struct operand b);
void blocked_product(const struct tiles *t, int M, int N, int K, struct operand a, struct operand b,
                     float *c, int ldc, bool add, float *scratch);
void blocked_left_product(const struct tiles *t, int M, int N, int K, const float *left,
                          struct operand b, float *c, int ldc, bool add, float *scratch);
void blocked_right_product(const struct tiles *t, int M, int N, int k, struct operand a,
                           const float *right, int K, float *c, int ldc, bool add, float *scratch);

/* Defines struct gemm `name` over struct tiles `t`, of MR x NR, unit and share as given. */
#define BLOCKED_GEMM(name, t, unit, share)                                                         \
    static void name##_pack_left(float *to, int M, int K, struct operand a)                        \
    {                                                                                              \
        blocked_pack_left(&t, to, M, K, a);                                                        \
    }                                                                                              \
    static void name##_pack_right(float *to, int K, int N, struct operand b)                       \
    {                                                                                              \
        blocked_pack_right(&t, to, K, N, b);                                                       \
    }                                                                                              \
    static void name##_product(int M, int N, int K, struct operand a, struct operand b, float *c,  \
                               int ldc, bool add, float *scratch)                                  \
    {                                                                                              \
        blocked_product(&t, M, N, K, a, b, c, ldc, add, scratch);                                  \
    }                                                                                              \
    static void name##_left_product(int M, int N, int K, const float *left, struct operand b,      \
                                    float *c, int ldc, bool add, float *scratch)                   \
    {                                                                                              \
        blocked_left_product(&t, M, N, K, left, b, c, ldc, add, scratch);                          \
    }                                                                                              \
    static void name##_right_product(int M, int N, int k, struct operand a, const float *right,    \
                                     int K, float *c, int ldc, bool add, float *scratch)           \
    {                                                                                              \
        blocked_right_product(&t, M, N, k, a, right, K, c, ldc, add, scratch);                     \
    }                                                                                              \
    static const struct gemm name = { #name,                                                       \
                                      MR,                                                          \
                                      NR,                                                          \
                                      unit,                                                        \
                                      share,                                                       \
                                      name##_product,                                              \
                                      name##_pack_left,                                            \
                                      name##_pack_right,                                           \
                                      name##_left_product,                                         \
                                      name##_right_product };

#endif
