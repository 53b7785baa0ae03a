#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <cblas.h>
#include <omp.h>

/*
 * The matmuls. Each member of the team calls OpenBLAS on its own piece of the
 * result: a range of tokens or a range of columns, whichever leaves the larger
 * operand in one piece per member, for that operand is the one packed twice
 * otherwise.
 */
enum { GRAIN = 16 };

/* How a result of (rows, cols) is cut: by rows when there are more of them. */
struct piece {
    struct cpu_range rows, cols;
};

static struct piece piece_of(int rows, int cols, int i, int of)
{
    struct piece piece = { { 0, rows }, { 0, cols } };
    if (rows >= cols)
        piece.rows = cpu_share(rows, GRAIN, i, of);
    else
        piece.cols = cpu_share(cols, GRAIN, i, of);
    return piece;
}

static int total_outputs(const struct projection *p, int n)
{
    int total = 0;
    for (int i = 0; i < n; i++) total += p[i].weight.rows;
    return total;
}

/* The outputs of projection i that lie in `range` of all outputs laid end to end from `start`. */
static struct cpu_range within(struct cpu_range range, int start, int n)
{
    int from = range.from - start, to = range.to - start;
    return (struct cpu_range){ from < 0 ? 0 : from > n ? n : from, to < 0 ? 0 : to > n ? n : to };
}

/* Puts what the product is added to in place; false when there is nothing. */
static bool prepare(const struct projection *p, struct cpu_range rows, struct cpu_range outs)
{
    size_t bytes = (size_t)(outs.to - outs.from) * sizeof(float);
    bool base = p->base.block, bias = p->bias.block;
    bool same = base && p->base.block == p->out.block && p->base.at == p->out.at;
    for (int n = rows.from; n < rows.to && (base || bias); n++) {
        float *to = host_row(p->out, n) + outs.from;
        if (base && !same) memcpy(to, host_row(p->base, n) + outs.from, bytes);
        if (!bias) continue;
        const float *b = host_row(p->bias, 0) + outs.from;
        if (!base)
            memcpy(to, b, bytes);
        else
            for (int m = 0; m < outs.to - outs.from; m++) to[m] += b[m];
    }
    return base || bias;
}

static void forward_piece(const struct projection *p, struct view inp, struct cpu_range rows,
                          struct cpu_range outs)
{
    if (rows.from == rows.to || outs.from == outs.to) return;
    bool add = prepare(p, rows, outs);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows.to - rows.from, outs.to - outs.from,
                inp.cols, 1, host_row(inp, rows.from), inp.ld, host_row(p->weight, outs.from),
                p->weight.ld, add ? 1 : 0, host_row(p->out, rows.from) + outs.from, p->out.ld);
}

static void linear_forward(struct backend *be, const struct projection *p, int n, struct view inp)
{
    int outputs = total_outputs(p, n);
#pragma omp parallel num_threads(be->threads)
    {
        struct piece piece = piece_of(inp.rows, outputs, omp_get_thread_num(), be->threads);
        for (int i = 0, start = 0; i < n; start += p[i++].weight.rows)
            forward_piece(&p[i], inp, piece.rows, within(piece.cols, start, p[i].weight.rows));
    }
}

static void linear_backward_input(struct backend *be, struct view d_inp, const struct projection *p,
                                  int n)
{
#pragma omp parallel num_threads(be->threads)
    {
        struct piece piece = piece_of(d_inp.rows, d_inp.cols, omp_get_thread_num(), be->threads);
        int rows = piece.rows.to - piece.rows.from, cols = piece.cols.to - piece.cols.from;
        for (int i = 0; i < n && rows && cols; i++)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, cols, p[i].weight.rows, 1,
                        host_row(p[i].out, piece.rows.from), p[i].out.ld,
                        host_row(p[i].weight, 0) + piece.cols.from, p[i].weight.ld, i > 0,
                        host_row(d_inp, piece.rows.from) + piece.cols.from, d_inp.ld);
    }
}

static void bias_backward(const struct projection *p, struct cpu_range outs, bool add)
{
    float *d_bias = host_row(p->bias, 0);
    if (!add) memset(d_bias + outs.from, 0, (size_t)(outs.to - outs.from) * sizeof(float));
    for (int n = 0; n < p->out.rows; n++) {
        const float *d_out = host_row(p->out, n);
        for (int m = outs.from; m < outs.to; m++) d_bias[m] += d_out[m];
    }
}

static void weight_piece(const struct projection *p, struct view inp, struct cpu_range outs,
                         struct cpu_range cols, bool add)
{
    if (outs.from == outs.to || cols.from == cols.to) return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, outs.to - outs.from, cols.to - cols.from,
                inp.rows, 1, host_row(p->out, 0) + outs.from, p->out.ld,
                host_row(inp, 0) + cols.from, inp.ld, add ? 1 : 0,
                host_row(p->weight, outs.from) + cols.from, p->weight.ld);
    if (p->bias.block && !cols.from) bias_backward(p, outs, add);
}

static void linear_backward_weight(struct backend *be, const struct projection *p, int n,
                                   struct view inp, bool add)
{
    int outputs = total_outputs(p, n);
#pragma omp parallel num_threads(be->threads)
    {
        struct piece piece = piece_of(outputs, inp.cols, omp_get_thread_num(), be->threads);
        for (int i = 0, start = 0; i < n; start += p[i++].weight.rows)
            weight_piece(&p[i], inp, within(piece.rows, start, p[i].weight.rows), piece.cols, add);
    }
}

void cpu_linear_functions(struct backend *be)
{
    be->linear_forward = linear_forward;
    be->linear_backward_input = linear_backward_input;
    be->linear_backward_weight = linear_backward_weight;
}
