#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <assert.h>
#include <omp.h>

/*
 * The matmuls. A result is cut into pieces whose size depends on the result alone, and
 * the members of the team take the next piece when they are done with one: a member
 * that the system has put aside for a while costs one piece, not its share.
 */

/* The most rows and columns of a piece: the first of these that gives enough pieces for a few
 * members. Each piece packs its columns of the right operand, once for all its rows, so pieces
 * are tall: weights come from memory, which is slower than any other part. */
struct cut {
    int rows, cols;
};

static const struct cut token_cuts[] = { { 1056, 320 }, { 528, 320 }, { 528, 160 },
                                         { 528, 96 },   { 528, 64 },  { 264, 64 } };
static const struct cut weight_cuts[] = { { 528, 320 }, { 264, 320 }, { 264, 160 },
                                          { 264, 64 },  { 264, 32 },  { 132, 32 } };

enum { N_CUTS = 6, ENOUGH_PIECES = 12, DEEP = 4096 };

/* A result of (rows, cols) in parts of nearly equal size, whole tiles but for the last. */
struct grid {
    int rows, cols, step_rows, step_cols, down, across;
};

static int parts(int n, int most) { return (n + most - 1) / most; }

static int step_of(int n, int most, int tile)
{
    return parts(parts(n, parts(n, most)), tile) * tile;
}

static struct grid grid_of(int rows, int cols, struct cut cut)
{
    int r = step_of(rows, cut.rows, GEMM_TILE_ROWS), c = step_of(cols, cut.cols, GEMM_TILE_COLS);
    return (struct grid){ rows, cols, r, c, parts(rows, r), parts(cols, c) };
}

static int n_pieces(struct grid grid) { return grid.down * grid.across; }

struct piece {
    int row, rows, col, cols;
};

static struct piece piece_of(int i, struct grid grid)
{
    int row = i / grid.across * grid.step_rows, col = i % grid.across * grid.step_cols;
    return (struct piece){ row, grid.rows - row < grid.step_rows ? grid.rows - row : grid.step_rows,
                           col,
                           grid.cols - col < grid.step_cols ? grid.cols - col : grid.step_cols };
}

/* The results of n maps, their pieces laid end to end. */
enum { MOST_MAPS = 3 };

struct plan {
    struct grid grid[MOST_MAPS];
    int n, total;
};

static struct plan plan_of(const struct projection *p, int n, struct view inp, bool weights)
{
    struct plan plan;
    for (int i = 0; i < N_CUTS; i++) {
        struct cut cut = weights ? weight_cuts[i] : token_cuts[i];
        plan.n = n, plan.total = 0;
        for (int k = 0; k < n; k++) {
            plan.grid[k] = weights ? grid_of(p[k].weight.rows, inp.cols, cut)
                                   : grid_of(inp.rows, p[k].weight.rows, cut);
            plan.total += n_pieces(plan.grid[k]);
        }
        if (plan.total >= ENOUGH_PIECES) break;
    }
    return plan;
}

/* The map that piece i of all belongs to; i becomes its number there. */
static int owner(const struct plan *plan, int *i)
{
    int k = 0;
    while (*i >= n_pieces(plan->grid[k])) *i -= n_pieces(plan->grid[k++]);
    return k;
}

/* Puts what the product is added to in place; false when there is nothing. */
static bool prepare(const struct projection *p, struct piece piece)
{
    size_t bytes = (size_t)piece.cols * sizeof(float);
    bool base = p->base.block, bias = p->bias.block;
    bool same = base && p->base.block == p->out.block && p->base.at == p->out.at;
    for (int n = piece.row; n < piece.row + piece.rows && (base || bias); n++) {
        float *to = host_row(p->out, n) + piece.col;
        if (base && !same) memcpy(to, host_row(p->base, n) + piece.col, bytes);
        if (!bias) continue;
        const float *b = host_row(p->bias, 0) + piece.col;
        if (!base)
            memcpy(to, b, bytes);
        else
            for (int m = 0; m < piece.cols; m++) to[m] += b[m];
    }
    return base || bias;
}

static void forward_piece(const struct gemm *gemm, const struct projection *p, struct view inp,
                          struct piece piece, float *scratch)
{
    bool add = prepare(p, piece);
    struct operand left = plain(host_row(inp, piece.row), inp.ld);
    struct operand right = transposed(host_row(p->weight, piece.col), p->weight.ld);
    float *out = host_row(p->out, piece.row) + piece.col;
    if (inp.rows == 1) /* one token: packing weights would cost more than the product */
        gemm_row(piece.cols, inp.cols, left, right, out, add);
    else
        gemm->product(piece.rows, piece.cols, inp.cols, left, right, out, p->out.ld, add, scratch);
}

static void weight_piece(const struct gemm *gemm, const struct projection *p, struct view inp,
                         struct piece piece, bool add, float *scratch)
{
    gemm->product(piece.rows, piece.cols, inp.rows,
                  transposed(host_row(p->out, 0) + piece.row, p->out.ld),
                  plain(host_row(inp, 0) + piece.col, inp.ld),
                  host_row(p->weight, piece.row) + piece.col, p->weight.ld, add, scratch);
}

static void bias_piece(const struct projection *p, struct piece piece, bool add)
{
    float *d_bias = host_row(p->bias, 0);
    for (int m = piece.row; m < piece.row + piece.rows && !add; m++) d_bias[m] = 0;
    for (int n = 0; n < p->out.rows; n++) {
        const float *d_out = host_row(p->out, n);
        for (int m = piece.row; m < piece.row + piece.rows; m++) d_bias[m] += d_out[m];
    }
}

static float *own_scratch(float *scratch)
{
    return scratch + (size_t)omp_get_thread_num() * GEMM_SCRATCH;
}

static void linear_forward(struct backend *be, const struct projection *p, int n, struct view inp)
{
    assert(n <= MOST_MAPS);
    const struct gemm *gemm = cpu_gemm(be);
    struct plan plan = plan_of(p, n, inp, false);
    float *scratch = cpu_scratch(be, GEMM_SCRATCH);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < plan.total; i++) {
        int at = i, k = owner(&plan, &at);
        forward_piece(gemm, &p[k], inp, piece_of(at, plan.grid[k]), own_scratch(scratch));
    }
}

/* Adds what outputs from..from+DEEP-1 of the maps give. */
static void input_piece(const struct gemm *gemm, struct view d_inp, const struct projection *p,
                        int n, int from, struct piece piece, float *scratch)
{
    for (int k = 0; k < n; k++) {
        int depth = p[k].weight.rows - from < DEEP ? p[k].weight.rows - from : DEEP;
        if (depth <= 0) continue;
        gemm->product(piece.rows, piece.cols, depth,
                      plain(host_row(p[k].out, piece.row) + from, p[k].out.ld),
                      plain(host_row(p[k].weight, from) + piece.col, p[k].weight.ld),
                      host_row(d_inp, piece.row) + piece.col, d_inp.ld, from || k, scratch);
    }
}

/* With very many outputs (the LM head) d_out is taken DEEP columns at a time: all pieces read
 * them again, and so many stay in the cache. */
static void linear_backward_input(struct backend *be, struct view d_inp, const struct projection *p,
                                  int n)
{
    const struct gemm *gemm = cpu_gemm(be);
    struct projection result = { .weight = { .rows = d_inp.cols } };
    struct plan plan = plan_of(&result, 1, d_inp, false);
    float *scratch = cpu_scratch(be, GEMM_SCRATCH);
    int deepest = 0;
    for (int k = 0; k < n; k++)
        if (p[k].weight.rows > deepest) deepest = p[k].weight.rows;
    for (int from = 0; from < deepest; from += DEEP)
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
        for (int i = 0; i < plan.total; i++)
            input_piece(gemm, d_inp, p, n, from, piece_of(i, plan.grid[0]), own_scratch(scratch));
}

static void linear_backward_weight(struct backend *be, const struct projection *p, int n,
                                   struct view inp, bool add)
{
    assert(n <= MOST_MAPS);
    const struct gemm *gemm = cpu_gemm(be);
    struct plan plan = plan_of(p, n, inp, true);
    float *scratch = cpu_scratch(be, GEMM_SCRATCH);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < plan.total; i++) {
        int at = i, k = owner(&plan, &at);
        struct piece piece = piece_of(at, plan.grid[k]);
        weight_piece(gemm, &p[k], inp, piece, add, own_scratch(scratch));
        if (p[k].bias.block && !piece.col) bias_piece(&p[k], piece, add);
    }
}

void cpu_linear_functions(struct backend *be)
{
    be->linear_forward = linear_forward;
    be->linear_backward_input = linear_backward_input;
    be->linear_backward_weight = linear_backward_weight;
}
