/* Products of every implementation that this processor runs, over odd sizes, both ways that
 * operands can lie, packed and not. Small whole numbers: sums in any order are exact. And how close
 * products of other numbers are. */
#include "trainer/backend_cpu_gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/rng.h"
#include "tests/support/check.h"

enum { ROUNDS = 120, MOST = 450 };

struct sizes {
    int M, N, K, lda, ldb, ldc;
    bool a_turned, b_turned, add;
};

static struct rng rng;

static int below(int n) { return (int)rng_below(&rng, (uint64_t)n); }

static struct sizes any_sizes(void)
{
    struct sizes s = { .M = 1 + below(below(3) ? 50 : MOST),
                       .N = 1 + below(below(3) ? 90 : MOST),
                       .K = 1 + below(below(3) ? 60 : MOST),
                       .a_turned = below(2),
                       .b_turned = below(2),
                       .add = below(2) };
    s.lda = (s.a_turned ? s.M : s.K) + 1 + below(20);
    s.ldb = (s.b_turned ? s.K : s.N) + 1 + below(20);
    s.ldc = s.N + below(20);
    return s;
}

static float *numbers(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
    for (size_t i = 0; i < n; i++) x[i] = (float)(below(9) - 4);
    return x;
}

/* Rows from.. and columns col.. of the result, over the first k of K. */
struct part {
    int from, col, k;
};

static float expected(const struct sizes *s, struct operand a, struct operand b, float c, int i,
                      int j, const struct part *part)
{
    float sum = s->add ? c : 0;
    for (int k = 0; k < part->k; k++)
        sum += a.at[i * a.row + k * a.col] * b.at[k * b.row + j * b.col];
    return sum;
}

static void compare(const char *what, const struct sizes *s, struct operand a, struct operand b,
                    const float *c, const float *was, struct part part)
{
    for (int i = 0; i < s->M; i++)
        for (int j = 0; j < s->ldc; j++) {
            size_t at = (size_t)i * (size_t)s->ldc + (size_t)j;
            bool in = i >= part.from && j >= part.col && j < s->N;
            float want = in ? expected(s, a, b, was[at], i, j, &part) : was[at];
            CHECK(c[at] == want, "%s, M %d N %d K %d turned %d %d add %d: (%d, %d) is %g, not %g",
                  what, s->M, s->N, s->K, s->a_turned, s->b_turned, s->add, i, j, c[at], want);
        }
}

/* A multiple of `tile` below n. */
static int some_tile(int n, int tile) { return below((n + tile - 1) / tile) * tile; }

static void test_products(const struct gemm *g, const struct sizes *s)
{
    size_t size = (size_t)s->M * (size_t)s->ldc;
    float *a_at = numbers((size_t)(s->a_turned ? s->K : s->M) * (size_t)s->lda);
    float *b_at = numbers((size_t)(s->b_turned ? s->N : s->K) * (size_t)s->ldb);
    float *c = numbers(size), *was = numbers(size), *scratch = numbers(GEMM_SCRATCH);
    float *left = numbers(gemm_packed_left(g, s->M, s->K)),
          *right = numbers(gemm_packed(g, s->K, s->N));
    struct operand a = s->a_turned ? transposed(a_at, s->lda) : plain(a_at, s->lda);
    struct operand b = s->b_turned ? transposed(b_at, s->ldb) : plain(b_at, s->ldb);
    int from = some_tile(s->M, g->tile_rows), col = some_tile(s->N, g->tile_cols);
    int k = 1 + below(s->K);
    memcpy(c, was, size * sizeof *c);
    g->product(s->M, s->N, s->K, a, b, c, s->ldc, s->add, scratch);
    compare("plain", s, a, b, c, was, (struct part){ 0, 0, s->K });
    memcpy(c, was, size * sizeof *c);
    g->pack_left(left, s->M, s->K, a);
    g->left_product(s->M - from, s->N, s->K, left + (size_t)from * gemm_depth(g, s->K), b,
                    c + (size_t)from * (size_t)s->ldc, s->ldc, s->add, scratch);
    compare("left packed", s, a, b, c, was, (struct part){ from, 0, s->K });
    memcpy(c, was, size * sizeof *c);
    g->pack_right(right, s->K, s->N, b);
    g->right_product(s->M, s->N - col, k, a, right + (size_t)col * gemm_depth(g, s->K), s->K,
                     c + col, s->ldc, s->add, scratch);
    compare("right packed", s, a, b, c, was, (struct part){ 0, col, k });
    free(a_at), free(b_at), free(c), free(was), free(scratch), free(left), free(right);
}

/* Of sums of K products of normal numbers, in parts of the result's norm. */
static void test_accuracy(const struct gemm *g, double most)
{
    enum { M = 70, N = 50, K = 700 };
    static float a[M * K], b[K * N], c[M * N];
    float *scratch = numbers(GEMM_SCRATCH);
    double apart = 0, norm = 0;
    for (int i = 0; i < M * K; i++) a[i] = (float)rng_normal(&rng);
    for (int i = 0; i < K * N; i++) b[i] = (float)rng_normal(&rng);
    g->product(M, N, K, plain(a, K), plain(b, N), c, N, false, scratch);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double want = 0;
            for (int k = 0; k < K; k++) want += (double)a[i * K + k] * b[k * N + j];
            apart += (c[i * N + j] - want) * (c[i * N + j] - want), norm += want * want;
        }
    double error = sqrt(apart / norm);
    CHECK(error < most, "%s: %g", g->name, error);
    printf("%s: %.2g of a product's norm from float64\n", g->name, error);
    free(scratch);
}

int main(void)
{
    const struct gemm *all[] = { gemm_blas(), gemm_avx2(), gemm_avx512(), gemm_amx_x3(),
                                 gemm_amx() };
    static const double accuracy[] = { 1e-6, 1e-6, 1e-6, 8e-6, 4e-3 };
    for (int i = 0; i < 5; i++) {
        if (!all[i]) continue;
        rng_init(&rng, 7);
        for (int round = 0; round < ROUNDS; round++) {
            struct sizes s = any_sizes();
            test_products(all[i], &s);
        }
        test_accuracy(all[i], accuracy[i]);
    }
    return 0;
}
