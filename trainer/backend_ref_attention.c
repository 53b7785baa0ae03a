#include "trainer/backend_ref.h"
#include "trainer/backend_host.h"

#include <math.h>
#include <stdlib.h>

/* One head of one sequence: row t of each is position t. D columns. */
struct head {
    struct view q, k, v, out, d_q, d_k, d_v, d_out;
    float *lse; /* (T) */
    int time, head_dim;
};

static struct view part(struct view x, int row, int rows, int col, int cols)
{
    return x.block ? view_cols(view_rows(x, row, rows), col, cols) : x;
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

static double score(const struct head *h, int t, int s)
{
    return dot(host_row(h->q, t), host_row(h->k, s), h->head_dim) / sqrt(h->head_dim);
}

/* p[s] for s <= t; returns the log of the denominator. */
static double softmax_row(const struct head *h, int t, double *p)
{
    double most = -INFINITY, total = 0;
    for (int s = 0; s <= t; s++) most = fmax(most, p[s] = score(h, t, s));
    for (int s = 0; s <= t; s++) total += p[s] = exp(p[s] - most);
    for (int s = 0; s <= t; s++) p[s] /= total;
    return most + log(total);
}

static void head_forward(const struct head *h, double *p)
{
    for (int t = 0; t < h->time; t++) {
        h->lse[t] = (float)softmax_row(h, t, p);
        for (int i = 0; i < h->head_dim; i++) {
            double sum = 0;
            for (int s = 0; s <= t; s++) sum += p[s] * host_row(h->v, s)[i];
            host_row(h->out, t)[i] = (float)sum;
        }
    }
}

/* d_q, d_k and d_v are added to; d_score[s] = p[s] * (d_p[s] - sum of p * d_p). */
static void head_backward(const struct head *h, double *p)
{
    double scale = 1 / sqrt(h->head_dim);
    for (int t = 0; t < h->time; t++) {
        const float *d_o = host_row(h->d_out, t);
        double along = 0;
        softmax_row(h, t, p);
        for (int s = 0; s <= t; s++) along += p[s] * dot(d_o, host_row(h->v, s), h->head_dim);
        for (int s = 0; s <= t; s++) {
            double d_score = p[s] * (dot(d_o, host_row(h->v, s), h->head_dim) - along) * scale;
            for (int i = 0; i < h->head_dim; i++) {
                host_row(h->d_v, s)[i] += (float)(p[s] * d_o[i]);
                host_row(h->d_q, t)[i] += (float)(d_score * host_row(h->k, s)[i]);
                host_row(h->d_k, s)[i] += (float)(d_score * host_row(h->q, t)[i]);
            }
        }
    }
}

static struct head head_of(struct head all, struct view lse, struct attention_shape s, int b, int h)
{
    int D = s.head_dim, T = s.time, kv = h / (s.q_heads / s.kv_heads);
    struct head one = { .time = T, .head_dim = D, .lse = host_row(lse, b * s.q_heads + h) };
    one.q = part(all.q, b * T, T, h * D, D);
    one.out = part(all.out, b * T, T, h * D, D);
    one.d_q = part(all.d_q, b * T, T, h * D, D);
    one.d_out = part(all.d_out, b * T, T, h * D, D);
    one.k = part(all.k, b * T, T, kv * D, D);
    one.v = part(all.v, b * T, T, kv * D, D);
    one.d_k = part(all.d_k, b * T, T, kv * D, D);
    one.d_v = part(all.d_v, b * T, T, kv * D, D);
    return one;
}

static void each_head(struct head all, struct view lse, struct attention_shape s,
                      void (*visit)(const struct head *h, double *p))
{
    double *p = malloc((size_t)s.time * sizeof *p);
    if (!p) abort();
    for (int b = 0; b < s.batch; b++)
        for (int h = 0; h < s.q_heads; h++) {
            struct head one = head_of(all, lse, s, b, h);
            visit(&one, p);
        }
    free(p);
}

static void attention_forward(struct backend *be, struct view out, struct view lse, struct view q,
                              struct view k, struct view v, struct attention_shape s)
{
    (void)be;
    each_head((struct head){ .q = q, .k = k, .v = v, .out = out }, lse, s, head_forward);
}

static void attention_backward(struct backend *be, struct view d_q, struct view d_k,
                               struct view d_v, struct view d_out, struct view out, struct view lse,
                               struct view q, struct view k, struct view v,
                               struct attention_shape s)
{
    be->zero(be, d_q);
    be->zero(be, d_k);
    be->zero(be, d_v);
    struct head all = {
        .q = q, .k = k, .v = v, .out = out, .d_q = d_q, .d_k = d_k, .d_v = d_v, .d_out = d_out
    };
    each_head(all, lse, s, head_backward);
}

void ref_attention_functions(struct backend *be)
{
    be->attention_forward = attention_forward;
    be->attention_backward = attention_backward;
}
