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

/* OpenBLAS packs for itself; ours are dense copies, rows of the left operand and columns of the
 * right one. */
static void pack_left(float *to, int M, int K, struct operand a)
{
    for (int i = 0; i < M; i++)
        for (int k = 0; k < K; k++, to++) *to = a.at[i * a.row + k * a.col];
}

static void pack_right(float *to, int K, int N, struct operand b)
{
    pack_left(to, N, K, (struct operand){ b.at, b.col, b.row });
}

static void left_product(int M, int N, int K, const float *left, struct operand b, float *c,
                         int ldc, bool add, float *scratch)
{
    product(M, N, K, plain(left, K), b, c, ldc, add, scratch);
}

static void right_product(int M, int N, int k, struct operand a, const float *right, int K,
                          float *c, int ldc, bool add, float *scratch)
{
    struct operand b = K == 1 ? plain(right, N) : transposed(right, K); /* one of row, col is 1 */
    product(M, N, k, a, b, c, ldc, add, scratch);
}

const struct gemm *gemm_blas(void)
{
    static const struct gemm blas = {
        "blas", 12, 32, 1, 1, product, pack_left, pack_right, left_product, right_product
    };
    return &blas;
}
