#include "trainer/backend_cpu_bf16.h"

#include <cblas.h>
#include <omp.h>

/* OpenBLAS runs on one thread (backend_cpu.h); the team takes pieces of the result. */
enum { ROWS = 512, COLS = 320 };

static void product(int threads, int M, int N, int K, struct brief a, struct brief b, float *c,
                    int ldc, bool add)
{
#pragma omp parallel for num_threads(threads) schedule(dynamic) collapse(2)
    for (int i = 0; i < M; i += ROWS)
        for (int j = 0; j < N; j += COLS)
            cblas_sbgemm(CblasRowMajor, a.col == 1 ? CblasNoTrans : CblasTrans,
                         b.col == 1 ? CblasNoTrans : CblasTrans, M - i < ROWS ? M - i : ROWS,
                         N - j < COLS ? N - j : COLS, K, 1, a.at + i * a.row,
                         (int)(a.col == 1 ? a.row : a.col), b.at + j * b.col,
                         (int)(b.col == 1 ? b.row : b.col), add ? 1 : 0, c + (ptrdiff_t)i * ldc + j,
                         ldc);
}

const struct brief_gemm *brief_gemm_sbgemm(void)
{
    static const struct brief_gemm sbgemm = { "sbgemm", product };
    return __builtin_cpu_supports("avx512bf16") ? &sbgemm : NULL;
}
