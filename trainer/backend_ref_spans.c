#include "trainer/backend_ref.h"
#include "trainer/backend_host.h"

#include <math.h>
#include <stdlib.h>

/* One query row of one head: key number i of those it sees lies in row key(i). */
struct looker {
    const int32_t *span;
    int row, sees;
};

static int key(const struct looker *l, int i)
{
    int past = l->span[SPAN_PAST];
    return i < past ? l->span[SPAN_PAST_AT] + i : l->span[SPAN_OWN_AT] + i - past;
}

static void softmax(double *p, int n)
{
    double most = -INFINITY, total = 0;
    for (int i = 0; i < n; i++) most = fmax(most, p[i]);
    for (int i = 0; i < n; i++) total += p[i] = exp(p[i] - most);
    for (int i = 0; i < n; i++) p[i] /= total;
}

static void look(const struct looker *l, struct view out, struct view q, struct view k,
                 struct view v, double *p)
{
    for (int i = 0; i < l->sees; i++) {
        p[i] = 0;
        for (int c = 0; c < q.cols; c++)
            p[i] += (double)host_row(q, l->row)[c] * host_row(k, key(l, i))[c];
        p[i] /= sqrt(q.cols);
    }
    softmax(p, l->sees);
    for (int c = 0; c < q.cols; c++) {
        double sum = 0;
        for (int i = 0; i < l->sees; i++) sum += p[i] * host_row(v, key(l, i))[c];
        host_row(out, l->row)[c] = (float)sum;
    }
}

static void attention_spans(struct backend *be, struct view out, struct view q, struct view k,
                            struct view v, struct view spans, struct attention_shape s)
{
    (void)be;
    int D = s.head_dim, group = s.q_heads / s.kv_heads;
    double *p = calloc((size_t)k.rows + 1, sizeof *p);
    if (!p) abort();
    for (int i = 0; i < spans.rows; i++) {
        const int32_t *span = host_ids(view_rows(spans, i, 1));
        for (int r = 0; r < span[SPAN_ROWS]; r++) {
            struct looker l = { span, span[SPAN_ROW] + r, span[SPAN_PAST] + r + 1 };
            for (int h = 0; h < s.q_heads; h++)
                look(&l, view_cols(out, h * D, D), view_cols(q, h * D, D),
                     view_cols(k, h / group * D, D), view_cols(v, h / group * D, D), p);
        }
    }
    free(p);
}

void ref_spans_functions(struct backend *be) { be->attention_spans = attention_spans; }
