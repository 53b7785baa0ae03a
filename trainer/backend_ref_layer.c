#include "trainer/backend_ref.h"
#include "trainer/backend_host.h"

#include <math.h>
#include <string.h>

static void embed_forward(struct backend *be, struct view out, struct view table, struct view ids)
{
    (void)be;
    for (int n = 0; n < out.rows; n++)
        memcpy(host_row(out, n), host_row(table, host_ids(ids)[n]),
               (size_t)out.cols * sizeof(float));
}

static void embed_backward(struct backend *be, struct view d_table, struct view d_out,
                           struct view ids)
{
    (void)be;
    for (int n = 0; n < d_out.rows; n++) {
        float *to = host_row(d_table, host_ids(ids)[n]);
        const float *from = host_row(d_out, n);
        for (int c = 0; c < d_out.cols; c++) to[c] += from[c];
    }
}

static void rmsnorm_forward(struct backend *be, struct view out, struct view rstd, struct view inp,
                            struct view gain, double epsilon)
{
    (void)be;
    const float *w = host_row(gain, 0);
    for (int n = 0; n < inp.rows; n++) {
        const float *x = host_row(inp, n);
        double square = 0;
        for (int c = 0; c < inp.cols; c++) square += (double)x[c] * x[c];
        float r = (float)(1 / sqrt(square / inp.cols + epsilon));
        for (int c = 0; c < inp.cols; c++) host_row(out, n)[c] = x[c] * r * w[c];
        host_row(rstd, 0)[n] = r;
    }
}

static void rmsnorm_backward(struct backend *be, struct view d_inp, struct view d_gain,
                             struct view out, struct view d_out, struct view inp, struct view gain,
                             struct view rstd, bool add)
{
    (void)be;
    const float *w = host_row(gain, 0);
    for (int n = 0; n < inp.rows; n++) {
        const float *x = host_row(inp, n), *dy = host_row(d_out, n);
        double r = host_row(rstd, 0)[n];

        /* the part of dy*w that points along x only changes its length, which the norm removes */
        double along = 0;
        for (int c = 0; c < inp.cols; c++) along += (double)dy[c] * w[c] * x[c];
        double shrink = along / inp.cols * r * r * r;

        for (int c = 0; c < inp.cols; c++)
            host_row(d_inp, n)[c] += (float)(dy[c] * w[c] * r - x[c] * shrink);
        for (int c = 0; out.block && c < inp.cols; c++)
            host_row(out, n)[c] = x[c] * (float)r * w[c];
    }
    for (int c = 0; c < inp.cols; c++) {
        double sum = add ? host_row(d_gain, 0)[c] : 0;
        for (int n = 0; n < inp.rows; n++)
            sum += (double)host_row(d_out, n)[c] * host_row(inp, n)[c] * host_row(rstd, 0)[n];
        host_row(d_gain, 0)[c] = (float)sum;
    }
}

static void project(const struct projection *p, struct view inp)
{
    for (int n = 0; n < inp.rows; n++)
        for (int m = 0; m < p->weight.rows; m++) {
            double sum = p->base.block ? host_row(p->base, n)[m] : 0;
            if (p->bias.block) sum += host_row(p->bias, 0)[m];
            for (int k = 0; k < inp.cols; k++)
                sum += (double)host_row(inp, n)[k] * host_row(p->weight, m)[k];
            host_row(p->out, n)[m] = (float)sum;
        }
}

static void linear_forward(struct backend *be, const struct projection *p, int n, struct view inp)
{
    (void)be;
    for (int i = 0; i < n; i++) project(&p[i], inp);
}

static void linear_backward_input(struct backend *be, struct view d_inp, const struct projection *p,
                                  int n)
{
    (void)be;
    for (int r = 0; r < d_inp.rows; r++)
        for (int k = 0; k < d_inp.cols; k++) {
            double sum = 0;
            for (int i = 0; i < n; i++)
                for (int m = 0; m < p[i].weight.rows; m++)
                    sum += (double)host_row(p[i].out, r)[m] * host_row(p[i].weight, m)[k];
            host_row(d_inp, r)[k] = (float)sum;
        }
}

static void project_backward(const struct projection *p, struct view inp, bool add)
{
    for (int m = 0; m < p->weight.rows; m++) {
        float *d_w = host_row(p->weight, m);
        for (int k = 0; k < inp.cols; k++) {
            double sum = add ? d_w[k] : 0;
            for (int n = 0; n < inp.rows; n++)
                sum += (double)host_row(p->out, n)[m] * host_row(inp, n)[k];
            d_w[k] = (float)sum;
        }
        if (!p->bias.block) continue;
        double sum = add ? host_row(p->bias, 0)[m] : 0;
        for (int n = 0; n < inp.rows; n++) sum += host_row(p->out, n)[m];
        host_row(p->bias, 0)[m] = (float)sum;
    }
}

static void linear_backward_weight(struct backend *be, const struct projection *p, int n,
                                   struct view inp, bool add)
{
    (void)be;
    for (int i = 0; i < n; i++) project_backward(&p[i], inp, add);
}

static void rope(struct backend *be, struct view x, struct view table, int head_dim, int direction)
{
    (void)be;
    int half = head_dim / 2;
    for (int n = 0; n < x.rows; n++) {
        const float *cosine = host_row(table, n % table.rows), *sine = cosine + half;
        for (int h = 0; h < x.cols / head_dim; h++) {
            float *a = host_row(x, n) + h * head_dim, *b = a + half;
            for (int i = 0; i < half; i++) {
                float s = (float)direction * sine[i], was = a[i];
                a[i] = was * cosine[i] - b[i] * s;
                b[i] = b[i] * cosine[i] + was * s;
            }
        }
    }
}

static double logistic(double x) { return 1 / (1 + exp(-x)); }

static void swiglu_forward(struct backend *be, struct view out, struct view gate, struct view up)
{
    (void)be;
    for (int n = 0; n < out.rows; n++)
        for (int f = 0; f < out.cols; f++) {
            double g = host_row(gate, n)[f];
            host_row(out, n)[f] = (float)(g * logistic(g) * host_row(up, n)[f]);
        }
}

static void swiglu_backward(struct backend *be, struct view d_out, struct view gate, struct view up)
{
    (void)be;
    for (int n = 0; n < d_out.rows; n++)
        for (int f = 0; f < d_out.cols; f++) {
            double g = host_row(gate, n)[f], u = host_row(up, n)[f], d = host_row(d_out, n)[f];
            double s = logistic(g);
            host_row(d_out, n)[f] = (float)(g * s * u);
            host_row(up, n)[f] = (float)(d * g * s);
            host_row(gate, n)[f] = (float)(d * u * s * (1 + g * (1 - s)));
        }
}

void ref_layer_functions(struct backend *be)
{
    be->embed_forward = embed_forward;
    be->embed_backward = embed_backward;
    be->rmsnorm_forward = rmsnorm_forward;
    be->rmsnorm_backward = rmsnorm_backward;
    be->linear_forward = linear_forward;
    be->linear_backward_input = linear_backward_input;
    be->linear_backward_weight = linear_backward_weight;
    be->rope = rope;
    be->swiglu_forward = swiglu_forward;
    be->swiglu_backward = swiglu_backward;
}
