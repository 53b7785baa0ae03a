#include "trainer/backend_cpu_gemm_blocked.h"

#include <assert.h>

enum { OFTEN = 4 }; /* more right panels than these pay for packing the left operand */

/* An operand: panels that hold all of its K, or where it lies. */
struct side {
    const float *panels;
    int K;
    struct operand lying;
};

static int least(int a, int b) { return a < b ? a : b; }

/* n in the fewest parts of at most `most`, nearly equal, each but the last a multiple of `unit`. */
static int even_step(int n, int most, int unit)
{
    int parts = (n + most - 1) / most, step = (n + parts - 1) / parts;
    return least((step + unit - 1) / unit * unit, most);
}

/* The room of one line of k elements in a panel, in floats. */
static ptrdiff_t room(const struct tiles *t, int k)
{
    return (k + t->unit - 1) / t->unit * t->unit / t->share;
}

static struct operand part_of(struct operand x, int i, int j)
{
    return (struct operand){ x.at + i * x.row + j * x.col, x.row, x.col };
}

void blocked_pack_left(const struct tiles *t, float *to, int M, int K, struct operand a)
{
    if (a.col != 1)
        t->pack_standing(to, M, K, a.at, a.col);
    else
        for (int i = 0; i < M; i += t->rows)
            t->pack_lying(to + i * room(t, K), K, least(M - i, t->rows), a.at + i * a.row, a.row);
}

void blocked_pack_right(const struct tiles *t, float *to, int K, int N, struct operand b)
{
    for (int j = 0; j < N; j += t->cols) {
        float *panel = to + j * room(t, K);
        int n = least(N - j, t->cols);
        if (b.col == 1)
            t->pack_rows(panel, K, n, b.at + j, b.row);
        else
            t->pack_columns(panel, K, n, b.at + j * b.col, b.col);
    }
}

/* Right panels of depth k from (k0, j0) on, `stride` apart, with all rows of the left operand. */
static void one_block(const struct tiles *t, int M, int n, int k, struct side a, int k0,
                      const float *right, ptrdiff_t stride, float *c, int ldc, bool add,
                      float *panels)
{
    int step = even_step(M, t->block_rows, t->rows);
    bool pack = !a.panels && (t->unit > 1 || n > OFTEN * t->cols);
    for (int i = 0; i < M; i += step) {
        int m = least(M - i, step);
        struct operand left = { panels, 1, t->rows };
        ptrdiff_t next = t->rows * room(t, a.panels ? a.K : k);
        if (a.panels) {
            left.at = a.panels + i * room(t, a.K) + k0 * t->rows / t->share;
        } else {
            struct operand lying = part_of(a.lying, i, k0);
            if (pack)
                blocked_pack_left(t, panels, m, k, lying);
            else
                left = lying, next = t->rows * lying.row;
        }
        for (int j = 0; j < n; j += t->cols)
            t->panel(m, least(n - j, t->cols), k, left, next, right + j / t->cols * stride,
                     c + (ptrdiff_t)i * ldc + j, ldc, add);
    }
}

static void all_blocks(const struct tiles *t, int M, int N, int K, struct side a, struct side b,
                       float *c, int ldc, bool add, float *scratch)
{
    float *panels = scratch + room(t, t->depth) * t->block_cols;
    assert(room(t, t->depth) * (t->block_cols + t->block_rows) + 16 <= GEMM_SCRATCH);
    int across = b.panels ? N : even_step(N, t->block_cols, t->cols);
    int down = even_step(K, t->depth, t->unit < 8 ? 8 : t->unit);
    for (int j = 0; j < N; j += across)
        for (int k = 0; k < K; k += down) {
            int n = least(N - j, across), depth = least(K - k, down);
            const float *right = scratch;
            if (b.panels)
                right = b.panels + (ptrdiff_t)k * t->cols / t->share;
            else
                blocked_pack_right(t, scratch, depth, n, part_of(b.lying, k, j));
            one_block(t, M, n, depth, a, k, right, t->cols * room(t, b.panels ? b.K : depth), c + j,
                      ldc, add || k, panels);
        }
}

void blocked_product(const struct tiles *t, int M, int N, int K, struct operand a, struct operand b,
                     float *c, int ldc, bool add, float *scratch)
{
    all_blocks(t, M, N, K, (struct side){ .lying = a }, (struct side){ .lying = b }, c, ldc, add,
               scratch);
}

void blocked_left_product(const struct tiles *t, int M, int N, int K, const float *left,
                          struct operand b, float *c, int ldc, bool add, float *scratch)
{
    all_blocks(t, M, N, K, (struct side){ .panels = left, .K = K }, (struct side){ .lying = b }, c,
               ldc, add, scratch);
}

void blocked_right_product(const struct tiles *t, int M, int N, int k, struct operand a,
                           const float *right, int K, float *c, int ldc, bool add, float *scratch)
{
    all_blocks(t, M, N, k, (struct side){ .lying = a }, (struct side){ .panels = right, .K = K }, c,
               ldc, add, scratch);
}
