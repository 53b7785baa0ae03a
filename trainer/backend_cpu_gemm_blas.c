#include "trainer/backend_cpu_gemm.h"

#include <cblas.h>
#include <string.h>

void gemm_row(int N, int K, struct operand a, struct operand b, float *c, bool add)
{
    bool plain_b = b.col == 1;
    cblas_sgemv(CblasRowMajor, plain_b ? CblasTrans : CblasNoTrans, plain_b ? K : N,
                plain_b ? N : K, 1, b.at, (int)(plain_b ? b.row : b.col), a.at, (int)a.col,
                add ? 1 : 0, c, 1);
}

static void product(int M, int N, int K, struct operand a, struct operand b, float *c, int ldc,
                    bool add, float *scratch)
{
    (void)scratch;
    cblas_sgemm(CblasRowMajor, a.col == 1 ? CblasNoTrans : CblasTrans,
                b.col == 1 ? CblasNoTrans : CblasTrans, M, N, K, 1, a.at,
                (int)(a.col == 1 ? a.row : a.col), b.at, (int)(b.col == 1 ? b.row : b.col),
                add ? 1 : 0, c, ldc);
}

/* OpenBLAS packs for itself; ours is a dense copy. */
static int packed_ld(int N) { return (int)gemm_packed(1, N); }

static void pack(float *to, int K, int N, struct operand b)
{
    for (int k = 0; k < K; k++)
        for (int j = 0; j < N; j++)
            to[(size_t)k * (size_t)packed_ld(N) + (size_t)j] = b.at[k * b.row + j * b.col];
}

static void packed_product(int m, int n, int k, struct operand a, const float *packed, int K, int N,
                           float *c, int ldc, bool add)
{
    (void)K;
    product(m, n, k, a, plain(packed, packed_ld(N)), c, ldc, add, NULL);
}

const struct gemm *gemm_blas(void)
{
    static const struct gemm blas = { "blas", product, pack, packed_product };
    return &blas;
}
