/* The matmuls of cpu-bf16: operands rounded to bfloat16, sums and results in float32. */
#include "trainer/backend_cpu_bf16.h"

#include <assert.h>
#include <stdlib.h>
#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

/* A matrix in bfloat16, rows `cols` rounded up to 32 apart. */
struct rounded {
    uint16_t *at;
    int ld;
};

static void round_row(uint16_t *restrict to, const float *restrict from, int n)
{
#pragma omp simd
    for (int c = 0; c < n; c++) to[c] = brief_of(from[c]);
}

/* A copy of a matrix in place `at` of the scratch; *at moves behind it. */
static struct rounded activations(struct backend *be, struct view x, uint16_t **at)
{
    int ld = (x.cols + 31) / 32 * 32;
    struct rounded to = { *at, ld };
#pragma omp parallel for num_threads(be->threads)
    for (int r = 0; r < x.rows; r++)
        round_row(to.at + (size_t)r * (size_t)ld, host_row(x, r), x.cols);
    *at += (size_t)x.rows * (size_t)ld;
    return to;
}

static size_t room(struct view x) { return (size_t)x.rows * (size_t)((x.cols + 31) / 32 * 32); }

static uint16_t *scratch(struct backend *be, size_t n)
{
    return (uint16_t *)cpu_scratch(be, (n / 2 / (size_t)be->threads + 32) / 16 * 16);
}

static enum status reserve_copy(struct backend *be, struct block *weights, size_t n,
                                struct error *err)
{
    (void)be;
    size_t bytes = (n * sizeof(uint16_t) + 63) / 64 * 64;
    if (bytes > host_bytes_available() || !(weights->brief = aligned_alloc(64, bytes)))
        return fail(err, E_MEMORY, "%.2f GB asked for a bfloat16 copy of weights",
                    (double)bytes / 1e9);
    weights->n_brief = n;
    weights->stale = true;
    return OK;
}

/* The copy, of elements at..at+n, or of the whole block where there is room for that. */
static void copy_weights(struct backend *be, struct block *block, size_t at, size_t n)
{
    enum { STEP = 1 << 14, SPARE = 16 /* elements that a block ends with at most */ };
    if (block->n_brief + SPARE >= block->n_bytes / sizeof(float)) at = 0, n = block->n_brief;
    assert(n <= block->n_brief);
    if (!block->stale && at == block->brief_at && n == block->brief_n) return;
    const float *from = (const float *)block->bytes + at;
#pragma omp parallel for num_threads(be->threads)
    for (size_t i = 0; i < n; i += STEP)
        round_row(block->brief + i, from + i, (int)(n - i < STEP ? n - i : STEP));
    block->brief_at = at, block->brief_n = n;
    block->stale = false;
}

/* Weights keep their copy beside them until they change or others take its place; a matrix
 * elsewhere has none. */
static struct rounded weights(struct backend *be, struct view w, uint16_t **at)
{
    struct block *block = w.block;
    if (!block->brief) return activations(be, w, at);
    copy_weights(be, block, w.at, (size_t)w.rows * (size_t)w.ld);
    return (struct rounded){ block->brief + (w.at - block->brief_at), w.ld };
}

/* What the weights and outputs of maps take at most in the scratch. */
static size_t most_room(const struct projection *p, int n, bool outputs)
{
    size_t most = 0;
    for (int k = 0; k < n; k++) {
        size_t need = p[k].weight.block->brief ? 0 : room(p[k].weight);
        if (outputs) need += room(p[k].out);
        most = need > most ? need : most;
    }
    return most;
}

static struct brief upright(struct rounded x) { return (struct brief){ x.at, x.ld, 1 }; }
static struct brief turned(struct rounded x) { return (struct brief){ x.at, 1, x.ld }; }

static const struct brief_gemm *gemm_of(const struct backend *be)
{
    return ((const struct cpu *)be->state)->brief;
}

/* base and bias into `out`, for the product to be added to; false when there is neither. */
static bool prepare(struct backend *be, const struct projection *p)
{
    bool base = p->base.block, bias = p->bias.block;
    bool same = base && p->base.block == p->out.block && p->base.at == p->out.at;
    if (!base && !bias) return false;
#pragma omp parallel for num_threads(be->threads)
    for (int n = 0; n < p->out.rows; n++) {
        float *to = host_row(p->out, n);
        if (base && !same) memcpy(to, host_row(p->base, n), (size_t)p->out.cols * sizeof *to);
        if (!base) memset(to, 0, (size_t)p->out.cols * sizeof *to);
        for (int m = 0; bias && m < p->out.cols; m++) to[m] += host_row(p->bias, 0)[m];
    }
    return true;
}

/* Maps whose weights, biases aside, lie under one another and whose outputs lie side by side are
 * one map: its product is larger, and dense, which oneDNN has its best kernels for. */
static bool joins(const struct projection *p, const struct projection *next)
{
    const struct view *w = &p->weight, *x = &next->weight, *o = &p->out, *q = &next->out;
    bool plain_maps = !p->bias.block && !p->base.block && !next->bias.block && !next->base.block;
    return plain_maps && w->block == x->block && w->ld == x->ld && w->cols == x->cols &&
           x->at == w->at + (size_t)w->rows * (size_t)w->ld && o->block == q->block &&
           o->ld == q->ld && q->at == o->at + (size_t)o->cols;
}

enum { MOST_MAPS = 6 }; /* three of one input, each with an adapter */

static int join(const struct projection *p, int n, struct projection *joined)
{
    int m = 0;
    for (int k = 0; k < n; k++) {
        if (m && joins(&joined[m - 1], &p[k])) {
            joined[m - 1].weight.rows += p[k].weight.rows;
            joined[m - 1].out.cols += p[k].out.cols;
        } else {
            joined[m++] = p[k];
        }
    }
    return m;
}

static void linear_forward(struct backend *be, const struct projection *maps, int n,
                           struct view inp)
{
    struct projection p[MOST_MAPS];
    n = join(maps, n, p);
    uint16_t *at = scratch(be, room(inp) + most_room(p, n, false));
    struct rounded x = activations(be, inp, &at);
    for (int k = 0; k < n; k++) {
        uint16_t *after = at;
        struct rounded w = weights(be, p[k].weight, &after);
        bool add = prepare(be, &p[k]);
        gemm_of(be)->product(be->threads, inp.rows, p[k].weight.rows, inp.cols, upright(x),
                             turned(w), host_row(p[k].out, 0), p[k].out.ld, add);
    }
}

static void linear_backward_input(struct backend *be, struct view d_inp,
                                  const struct projection *maps, int n)
{
    struct projection p[MOST_MAPS];
    n = join(maps, n, p);
    for (int k = 0; k < n; k++) {
        uint16_t *at = scratch(be, most_room(&p[k], 1, true));
        struct rounded w = weights(be, p[k].weight, &at);
        struct rounded d_out = activations(be, p[k].out, &at);
        gemm_of(be)->product(be->threads, d_inp.rows, d_inp.cols, p[k].weight.rows, upright(d_out),
                             upright(w), host_row(d_inp, 0), d_inp.ld, k > 0);
    }
}

static void bias_gradient(struct backend *be, const struct projection *p, bool add)
{
    float *d_bias = host_row(p->bias, 0);
#pragma omp parallel for num_threads(be->threads)
    for (int m = 0; m < p->out.cols; m++) {
        float sum = add ? d_bias[m] : 0;
        for (int n = 0; n < p->out.rows; n++) sum += host_row(p->out, n)[m];
        d_bias[m] = sum;
    }
}

static void linear_backward_weight(struct backend *be, const struct projection *maps, int n,
                                   struct view inp, bool add)
{
    struct projection p[MOST_MAPS];
    n = join(maps, n, p);
    uint16_t *at = scratch(be, room(inp) + most_room(p, n, true));
    struct rounded x = activations(be, inp, &at);
    for (int k = 0; k < n; k++) {
        uint16_t *after = at;
        struct rounded d_out = activations(be, p[k].out, &after);
        gemm_of(be)->product(be->threads, p[k].weight.rows, inp.cols, inp.rows, turned(d_out),
                             upright(x), host_row(p[k].weight, 0), p[k].weight.ld, add);
        if (p[k].bias.block) bias_gradient(be, &p[k], add);
    }
}

void cpu_bf16_functions(struct backend *be)
{
    be->linear_forward = linear_forward;
    be->linear_backward_input = linear_backward_input;
    be->linear_backward_weight = linear_backward_weight;
    be->reserve_copy = reserve_copy;
    be->copy_bytes = sizeof(uint16_t);
}
