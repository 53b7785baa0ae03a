#include "trainer/backend_cpu_desk.h"

#include <assert.h>
#include <omp.h>

enum { PACK_ROWS = 48, PACK_COLS = 64 }; /* about so many at a time, in whole tiles */

static int least(int a, int b) { return a < b ? a : b; }

/* Cutting changes no bits of ours; OpenBLAS's pieces must not depend on the number of threads. */
static int shares(const struct backend *be)
{
    return cpu_gemm(be) == gemm_blas() ? 4 : be->threads;
}

void desk_cut(struct backend *be, struct strips *strips, int size, int unit)
{
    strips_cut(strips, &size, 1, unit, shares(be));
}

void desk_cut_maps(struct backend *be, struct strips *strips, const struct projection *p, int n,
                   int unit)
{
    int size[STRIP_MAPS];
    assert(n <= STRIP_MAPS);
    for (int k = 0; k < n; k++) size[k] = p[k].weight.rows;
    strips_cut(strips, size, n, unit, shares(be));
}

struct desk desk_of(struct backend *be, size_t shared)
{
    size_t each = GEMM_SCRATCH + (shared / (size_t)be->threads + 16) / 16 * 16;
    float *own = cpu_scratch(be, each);
    return (struct desk){ own + (size_t)be->threads * GEMM_SCRATCH, own };
}

float *desk_own(struct desk desk) { return desk.own + (size_t)omp_get_thread_num() * GEMM_SCRATCH; }

static struct operand part_of(struct operand x, int i, int j)
{
    return (struct operand){ x.at + i * x.row + j * x.col, x.row, x.col };
}

void desk_pack_left(struct backend *be, float *to, int M, int K, struct operand a)
{
    const struct gemm *gemm = cpu_gemm(be);
    int step = (int)gemm_up(PACK_ROWS, gemm->tile_rows);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < M; i += step)
        gemm->pack_left(to + (size_t)i * gemm_depth(gemm, K), least(M - i, step), K,
                        part_of(a, i, 0));
}

void desk_pack_right(struct backend *be, float *to, int K, int N, struct operand b)
{
    const struct gemm *gemm = cpu_gemm(be);
    int step = (int)gemm_up(PACK_COLS, gemm->tile_cols);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int j = 0; j < N; j += step)
        gemm->pack_right(to + (size_t)j * gemm_depth(gemm, K), K, least(N - j, step),
                         part_of(b, 0, j));
}
