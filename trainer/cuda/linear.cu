/*
 * Linear maps on top of gemm.h: which products to ask for, and how wide.
 */
#include "trainer/cuda/gemm.h"

/* The width that a GEMM runs at: rounded up, but inside the row. */
static int wide(int cols, int ld)
{
    int n = round_up(cols, WIDTH);
    return n < ld ? n : ld;
}

static void *at(const struct device *d, struct view v)
{
    return d->half ? (void *)acts_at<bf16>(v) : (void *)floats_at(v);
}
static const void *weights_at(const struct device *d, struct view v)
{
    return d->half ? (const void *)brief_at<bf16>(v) : (const void *)floats_at(v);
}

/* Neighbours in storage (Q, K and V; gate and up; layout.h) are one matrix, unless a bias lies between:
 * then one product does them all. */
static bool adjoin(const struct projection *a, const struct projection *b)
{
    size_t rows = (size_t)round_up(a->weight.rows, WIDTH);
    return !a->base.block && !b->base.block && a->out.block == b->out.block &&
           a->weight.block == b->weight.block && a->out.ld == b->out.ld &&
           a->weight.ld == b->weight.ld && b->out.at == a->out.at + rows &&
           b->weight.at == a->weight.at + rows * (size_t)a->weight.ld;
}

/* Merges p[0..n) into `out` where they adjoin; returns how many are left. Biases are not looked at.
 */
static int merge(struct projection *out, const struct projection *p, int n)
{
    int m = 0;
    for (int i = 0; i < n; i++) {
        if (i && adjoin(&p[i - 1], &p[i])) {
            struct projection *last = &out[m - 1];
            last->weight.rows =
                (int)((p[i].weight.at - last->weight.at) / (size_t)last->weight.ld) +
                p[i].weight.rows;
            last->out.cols = last->weight.rows;
        } else {
            out[m++] = p[i];
        }
    }
    return m;
}

/* How many of p[0..n) are alike and evenly spaced, so that one batched product does them. */
static int alike(const struct projection *p, int n)
{
    if (n < 2 || p[0].base.block || p[1].base.block) return 1;
    if (p[0].weight.rows != p[1].weight.rows || p[0].weight.ld != p[1].weight.ld ||
        p[0].out.ld != p[1].out.ld)
        return 1;
    if (p[0].out.block != p[1].out.block || p[0].weight.block != p[1].weight.block) return 1;
    return p[1].out.at > p[0].out.at && p[1].weight.at > p[0].weight.at ? 2 : 1;
}

static void spread(struct gemm *g, const struct projection *p, int batch)
{
    g->batch = batch;
    if (batch < 2) return;
    g->stride_d = (int64_t)(p[1].out.at - p[0].out.at);
    g->stride_b = (int64_t)(p[1].weight.at - p[0].weight.at);
}

template <typename T>
__global__ void add_bias_kernel(T *out, int ld, const float *bias, int rows, int cols)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)rows * cols) return;
    T *p = out + i / cols * ld + i % cols;
    put(p, to_float(*p) + bias[i % cols]);
}

static void add_bias(struct device *d, struct view out, struct view bias)
{
    size_t n = (size_t)out.rows * out.cols;
    if (!bias.block || !n) return;
    if (d->half)
        add_bias_kernel<<<blocks_for(n, 256), 256, 0, d->stream>>>(
            acts_at<bf16>(out), out.ld, floats_at(bias), out.rows, out.cols);
    else
        add_bias_kernel<<<blocks_for(n, 256), 256, 0, d->stream>>>(
            floats_at(out), out.ld, floats_at(bias), out.rows, out.cols);
    LAUNCHED();
}

enum { MOST_PROJECTIONS = 8 };

static void linear_forward(struct backend *be, const struct projection *all, int n_all,
                           struct view inp)
{
    struct device *d = device_of(be);
    struct projection p[MOST_PROJECTIONS];
    int n = merge(p, all, n_all);
    for (int i = 0; i < n;) {
        int batch = alike(p + i, n - i);
        struct view w = p[i].weight, out = p[i].out, base = p[i].base;
        struct gemm g = {};
        g.M = inp.rows, g.N = wide(w.rows, out.ld),
        g.K = wide(inp.cols, inp.ld < w.ld ? inp.ld : w.ld);
        g.tb = 1;
        g.a = at(d, inp), g.lda = inp.ld;
        g.b = weights_at(d, w), g.ldb = w.ld;
        g.c = base.block ? at(d, base) : NULL, g.ldc = base.ld;
        g.d = at(d, out), g.ldd = out.ld;
        spread(&g, p + i, batch);
        gemm_run(d, &g);
        i += batch;
    }
    for (int i = 0; i < n_all; i++) add_bias(d, all[i].out, all[i].bias);
}

static void linear_backward_input(struct backend *be, struct view d_inp,
                                  const struct projection *all, int n_all)
{
    struct device *d = device_of(be);
    struct projection p[MOST_PROJECTIONS];
    int n = merge(p, all, n_all);
    for (int i = 0; i < n; i++) {
        struct view w = p[i].weight, d_out = p[i].out;
        struct gemm g = {};
        g.M = d_out.rows, g.K = wide(w.rows, d_out.ld),
        g.N = wide(d_inp.cols, d_inp.ld < w.ld ? d_inp.ld : w.ld);
        g.a = at(d, d_out), g.lda = d_out.ld;
        g.b = weights_at(d, w), g.ldb = w.ld;
        g.c = i ? at(d, d_inp) : NULL, g.ldc = d_inp.ld;
        g.d = at(d, d_inp), g.ldd = d_inp.ld;
        g.batch = 1;
        gemm_run(d, &g);
    }
}

static void bias_gradient(struct device *d, struct view bias, struct view d_out, bool add)
{
    if (!bias.block || !d_out.cols) return;
    if (d->half)
        column_sums(d, floats_at(bias), acts_at<bf16>(d_out), d_out.ld, d_out.rows, d_out.cols,
                    add);
    else
        column_sums(d, floats_at(bias), acts_at<float>(d_out), d_out.ld, d_out.rows, d_out.cols,
                    add);
}

static void linear_backward_weight(struct backend *be, const struct projection *all, int n_all,
                                   struct view inp, bool add)
{
    struct device *d = device_of(be);
    struct projection p[MOST_PROJECTIONS];
    int n = merge(p, all, n_all);
    for (int i = 0; i < n;) {
        int batch = alike(p + i, n - i);
        struct view dw = p[i].weight, d_out = p[i].out;
        struct gemm g = {};
        g.M = wide(dw.rows, d_out.ld), g.N = wide(inp.cols, inp.ld < dw.ld ? inp.ld : dw.ld),
        g.K = inp.rows;
        g.ta = 1;
        g.a = at(d, d_out), g.lda = d_out.ld;
        g.b = at(d, inp), g.ldb = inp.ld;
        g.d = floats_at(dw), g.ldd = dw.ld;
        g.c = add ? g.d : NULL, g.ldc = dw.ld;
        g.d_float = 1;
        g.batch = batch;
        if (batch > 1) {
            g.stride_a = (int64_t)(p[i + 1].out.at - p[i].out.at);
            g.stride_d = (int64_t)(p[i + 1].weight.at - p[i].weight.at);
        }
        gemm_run(d, &g);
        i += batch;
    }
    for (int i = 0; i < n_all; i++) bias_gradient(d, all[i].bias, all[i].out, add);
}

void linear_install(struct backend *be)
{
    be->linear_forward = linear_forward;
    be->linear_backward_input = linear_backward_input;
    be->linear_backward_weight = linear_backward_weight;
}
