#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

/*
 * Attention by spans: strips of ROWS query rows of one head. Scores against the past and
 * against the span's own keys lie side by side, (ROWS, past + own), so that one softmax
 * covers both; the two products with the values are added up in that order.
 */
enum { ROWS = 24 };

struct strip {
    const int32_t *span;
    int from, rows, head; /* rows from..from+rows-1 of the span */
};

struct job {
    const struct gemm *gemm;
    struct view out, q, k, v;
    struct attention_shape s;
    float scale;
    int ld; /* of a strip's scores */
};

static int strips_of(const int32_t *span) { return (span[SPAN_ROWS] + ROWS - 1) / ROWS; }

static float *at(struct view x, int row, int head, int D) { return host_row(x, row) + head * D; }

static void strip_forward(const struct job *j, struct strip i, float *p, float *scratch)
{
    int D = j->s.head_dim, kv = i.head / (j->s.q_heads / j->s.kv_heads);
    int past = i.span[SPAN_PAST], past_at = i.span[SPAN_PAST_AT], own_at = i.span[SPAN_OWN_AT];
    int own = i.from + i.rows, row = i.span[SPAN_ROW] + i.from;
    struct operand q = plain(at(j->q, row, i.head, D), j->q.ld);
    float *out = at(j->out, row, i.head, D), inverse[ROWS], most;
    if (past)
        j->gemm->product(i.rows, past, D, q, transposed(at(j->k, past_at, kv, D), j->k.ld), p,
                         j->ld, false, scratch);
    j->gemm->product(i.rows, own, D, q, transposed(at(j->k, own_at, kv, D), j->k.ld), p + past,
                     j->ld, false, scratch);
    for (int r = 0; r < i.rows; r++)
        inverse[r] = 1 / cpu_softmax_row(p + (size_t)r * (size_t)j->ld, past + i.from + r + 1,
                                         past + own, j->scale, &most);
    if (past)
        j->gemm->product(i.rows, D, past, plain(p, j->ld),
                         plain(at(j->v, past_at, kv, D), j->v.ld), out, j->out.ld, false, scratch);
    j->gemm->product(i.rows, D, own, plain(p + past, j->ld),
                     plain(at(j->v, own_at, kv, D), j->v.ld), out, j->out.ld, past > 0, scratch);
    for (int r = 0; r < i.rows; r++)
        for (int c = 0; c < D; c++) out[(size_t)r * (size_t)j->out.ld + (size_t)c] *= inverse[r];
}

/* All strips of all heads, in the order of the spans; `widest` becomes the most keys seen. */
static struct strip *cut(struct view spans, int heads, int *n, int *widest)
{
    *n = 0, *widest = 0;
    for (int i = 0; i < spans.rows; i++) {
        const int32_t *span = host_ids(view_rows(spans, i, 1));
        int sees = span[SPAN_PAST] + span[SPAN_ROWS];
        *n += strips_of(span) * heads;
        if (*widest < sees) *widest = sees;
    }
    struct strip *strip = calloc((size_t)*n + 1, sizeof *strip), *to = strip;
    if (!strip) abort();
    for (int i = 0; i < spans.rows; i++) {
        const int32_t *span = host_ids(view_rows(spans, i, 1));
        for (int head = 0; head < heads; head++)
            for (int from = 0; from < span[SPAN_ROWS]; from += ROWS) {
                int left = span[SPAN_ROWS] - from;
                *to++ = (struct strip){ span, from, left < ROWS ? left : ROWS, head };
            }
    }
    return strip;
}

static void attention_spans(struct backend *be, struct view out, struct view q, struct view k,
                            struct view v, struct view spans, struct attention_shape s)
{
    int n, widest;
    struct strip *strip = cut(spans, s.q_heads, &n, &widest);
    struct job job = { .gemm = cpu_gemm(be), .out = out, .q = q, .k = k, .v = v, .s = s };
    job.scale = (float)(1 / sqrt(s.head_dim));
    job.ld = (widest + 31) / 16 * 16; /* the softmax writes up to a whole vector */
    size_t scores = ROWS * (size_t)job.ld, each = scores + GEMM_SCRATCH;
    float *scratch = cpu_scratch(be, each);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < n; i++) {
        float *mine = scratch + (size_t)omp_get_thread_num() * each;
        strip_forward(&job, strip[i], mine + GEMM_SCRATCH, mine);
    }
    free(strip);
}

void cpu_spans_functions(struct backend *be) { be->attention_spans = attention_spans; }
