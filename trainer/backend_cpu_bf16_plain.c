#include "trainer/backend_cpu_bf16.h"

#include <omp.h>
#include <stdlib.h>
#include "trainer/backend_cpu_gemm.h"

enum { ROWS = 96, COLS = 320 };

static float *widened(struct brief x, int rows, int cols)
{
    float *to = malloc(((size_t)rows * (size_t)cols + 1) * sizeof *to);
    if (!to) abort();
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            to[(size_t)i * (size_t)cols + (size_t)j] = brief_wide(x.at[i * x.row + j * x.col]);
    return to;
}

static void piece(int rows, int cols, int K, struct brief a, struct brief b, float *c, int ldc,
                  bool add)
{
    static const size_t scratch_bytes = GEMM_SCRATCH * sizeof(float);
    float *left = widened(a, rows, K), *right = widened(b, K, cols);
    float *scratch = aligned_alloc(64, scratch_bytes);
    if (!scratch) abort();
    gemm_blas()->product(rows, cols, K, plain(left, K), plain(right, cols), c, ldc, add, scratch);
    free(left), free(right), free(scratch);
}

static void product(int threads, int M, int N, int K, struct brief a, struct brief b, float *c,
                    int ldc, bool add)
{
#pragma omp parallel for num_threads(threads) schedule(dynamic) collapse(2)
    for (int i = 0; i < M; i += ROWS)
        for (int j = 0; j < N; j += COLS) {
            struct brief left = { a.at + i * a.row, a.row, a.col };
            struct brief right = { b.at + j * b.col, b.row, b.col };
            piece(M - i < ROWS ? M - i : ROWS, N - j < COLS ? N - j : COLS, K, left, right,
                  c + (ptrdiff_t)i * ldc + j, ldc, add);
        }
}

const struct brief_gemm *brief_gemm_plain(void)
{
    static const struct brief_gemm plainly = { "plain", product };
    return &plainly;
}
