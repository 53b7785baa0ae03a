#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <math.h>

enum { EMBED_COLS = 48 };

/* Rows go to the team some at a time; a row's loops are written to become vector code. */

static void embed_forward(struct backend *be, struct view out, struct view table, struct view ids)
{
#pragma omp parallel for num_threads(be->threads) schedule(dynamic, CPU_ROWS)
    for (int n = 0; n < out.rows; n++)
        memcpy(host_row(out, n), host_row(table, host_ids(ids)[n]),
               (size_t)out.cols * sizeof(float));
}

/* Cut by columns: two rows may add to the same row of the table. */
static void embed_backward(struct backend *be, struct view d_table, struct view d_out,
                           struct view ids)
{
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int c = 0; c < d_out.cols; c += EMBED_COLS) {
        int width = d_out.cols - c < EMBED_COLS ? d_out.cols - c : EMBED_COLS;
        for (int n = 0; n < d_out.rows; n++) {
            float *restrict to = host_row(d_table, host_ids(ids)[n]) + c;
            const float *restrict from = host_row(d_out, n) + c;
            for (int i = 0; i < width; i++) to[i] += from[i];
        }
    }
}

static float rmsnorm_row(float *restrict out, const float *restrict x, const float *restrict w,
                         int C, double epsilon)
{
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (int c = 0; c < C; c++) square += x[c] * x[c];
    float r = (float)(1 / sqrt((double)square / C + epsilon));
    for (int c = 0; c < C; c++) out[c] = x[c] * r * w[c];
    return r;
}

static void rmsnorm_forward(struct backend *be, struct view out, struct view rstd, struct view inp,
                            struct view gain, double epsilon)
{
#pragma omp parallel for num_threads(be->threads) schedule(dynamic, CPU_ROWS)
    for (int n = 0; n < inp.rows; n++)
        host_row(rstd, 0)[n] =
            rmsnorm_row(host_row(out, n), host_row(inp, n), host_row(gain, 0), inp.cols, epsilon);
}

static void rmsnorm_row_backward(float *restrict d_x, float *restrict d_w, const float *restrict dy,
                                 const float *restrict x, const float *restrict w, float r, int C)
{
    float along = 0;
#pragma omp simd reduction(+ : along)
    for (int c = 0; c < C; c++) along += dy[c] * w[c] * x[c];
    float shrink = along / (float)C * r * r * r;
    for (int c = 0; c < C; c++) {
        d_x[c] += dy[c] * w[c] * r - x[c] * shrink;
        d_w[c] += dy[c] * x[c] * r;
    }
}

static void normalise_again(float *restrict out, const float *restrict x, const float *restrict w,
                            float r, int C)
{
    for (int c = 0; c < C; c++) out[c] = x[c] * r * w[c];
}

/* One part of the rows, with its own sums for d_gain. */
static void rmsnorm_part(struct view d_inp, float *d_w, struct view out, struct view d_out,
                         struct view inp, const float *w, const float *rstd, struct cpu_range rows)
{
    memset(d_w, 0, (size_t)inp.cols * sizeof *d_w);
    for (int n = rows.from; n < rows.to; n++) {
        rmsnorm_row_backward(host_row(d_inp, n), d_w, host_row(d_out, n), host_row(inp, n), w,
                             rstd[n], inp.cols);
        if (out.block) normalise_again(host_row(out, n), host_row(inp, n), w, rstd[n], inp.cols);
    }
}

static void rmsnorm_backward(struct backend *be, struct view d_inp, struct view d_gain,
                             struct view out, struct view d_out, struct view inp, struct view gain,
                             struct view rstd, bool add)
{
    size_t stride = ((size_t)inp.cols + 15) / 16 * 16;
    float *parts = cpu_scratch(be, CPU_PARTS * stride), *sum = host_row(d_gain, 0);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < CPU_PARTS; i++)
        rmsnorm_part(d_inp, parts + (size_t)i * stride, out, d_out, inp, host_row(gain, 0),
                     host_row(rstd, 0), cpu_part(inp.rows, i));
    if (!add) memset(sum, 0, (size_t)inp.cols * sizeof *sum);
    for (int i = 0; i < CPU_PARTS; i++)
        for (int c = 0; c < inp.cols; c++) sum[c] += parts[(size_t)i * stride + (size_t)c];
}

static void rope_head(float *restrict a, float *restrict b, const float *restrict cosine,
                      const float *restrict sine, int half, float direction)
{
    for (int i = 0; i < half; i++) {
        float s = direction * sine[i], was = a[i];
        a[i] = was * cosine[i] - b[i] * s;
        b[i] = b[i] * cosine[i] + was * s;
    }
}

static void rope(struct backend *be, struct view x, struct view table, int head_dim, int direction)
{
    int half = head_dim / 2;
#pragma omp parallel for num_threads(be->threads) schedule(dynamic, CPU_ROWS)
    for (int n = 0; n < x.rows; n++) {
        const float *turn = host_row(table, n % table.rows);
        float *row = host_row(x, n);
        for (int at = 0; at < x.cols; at += head_dim)
            rope_head(row + at, row + at + half, turn, turn + half, half, (float)direction);
    }
}

static void swiglu_row(float *restrict out, const float *restrict g, const float *restrict u, int F)
{
#pragma omp simd
    for (int f = 0; f < F; f++) out[f] = g[f] * u[f] / (1 + cpu_exp(-g[f]));
}

static void swiglu_forward(struct backend *be, struct view out, struct view gate, struct view up)
{
#pragma omp parallel for num_threads(be->threads) schedule(dynamic, CPU_ROWS)
    for (int n = 0; n < out.rows; n++)
        swiglu_row(host_row(out, n), host_row(gate, n), host_row(up, n), out.cols);
}

static void swiglu_row_backward(float *restrict d_out, float *restrict g, float *restrict u, int F)
{
#pragma omp simd
    for (int f = 0; f < F; f++) {
        float s = 1 / (1 + cpu_exp(-g[f])), silu = g[f] * s, d = d_out[f];
        d_out[f] = silu * u[f];
        g[f] = d * u[f] * s * (1 + g[f] * (1 - s));
        u[f] = d * silu;
    }
}

static void swiglu_backward(struct backend *be, struct view d_out, struct view gate, struct view up)
{
#pragma omp parallel for num_threads(be->threads) schedule(dynamic, CPU_ROWS)
    for (int n = 0; n < d_out.rows; n++)
        swiglu_row_backward(host_row(d_out, n), host_row(gate, n), host_row(up, n), d_out.cols);
}

void cpu_layer_functions(struct backend *be)
{
    be->embed_forward = embed_forward;
    be->embed_backward = embed_backward;
    be->rmsnorm_forward = rmsnorm_forward;
    be->rmsnorm_backward = rmsnorm_backward;
    be->rope = rope;
    be->swiglu_forward = swiglu_forward;
    be->swiglu_backward = swiglu_backward;
}
