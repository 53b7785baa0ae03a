#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <float.h>
#include <math.h>
#include <omp.h>

/*
 * Causal attention by strips of `rows` query positions of one head: a strip looks at all
 * keys up to its last row, so its scores take (rows, T) per thread and never (T, T),
 * and next to nothing above the diagonal is computed.
 *
 * The keys and values of a KV head are packed once for all strips of all its query
 * heads. The unit of work is a KV head of a sequence; where there are few of those,
 * each is cut into `splits` shares of equal cost (a strip costs as much as it sees
 * strips of keys). Shares of a KV head keep their sums d_k and d_v apart, and these
 * are added in order at the end.
 */
enum { ENOUGH_SHARES = 12, MOST_ROWS = 32 };

struct job {
    const struct gemm *gemm;
    struct view q, k, v, out, lse;
    struct view d_q, d_k, d_v, d_out;
    struct attention_shape s;
    float scale;
    int rows, n_strips, splits; /* rows: of a strip */
    int ld;                     /* of a strip's scores */
};

struct strip {
    int b, h, kv, from, rows, keys; /* query rows from..from+rows-1 see keys 0..keys-1 */
};

/* Whole tiles, few enough that little above the diagonal is computed. */
static int strip_rows(const struct gemm *gemm)
{
    return gemm->tile_rows > 12 ? gemm->tile_rows : 24;
}

static struct job job_of(const struct backend *be, struct attention_shape s)
{
    int pairs = s.batch * s.kv_heads, rows = strip_rows(cpu_gemm(be));
    return (struct job){ .gemm = cpu_gemm(be),
                         .s = s,
                         .scale = (float)(1 / sqrt(s.head_dim)),
                         .rows = rows,
                         .n_strips = (s.time + rows - 1) / rows,
                         .splits = (ENOUGH_SHARES + pairs - 1) / pairs,
                         .ld = (s.time + 15) / 16 * 16 };
}

static float *at(struct view x, const struct job *j, int b, int row, int head)
{
    return host_row(x, b * j->s.time + row) + head * j->s.head_dim;
}

static float *row_of(float *scores, const struct job *j, int r)
{
    return scores + (size_t)r * (size_t)j->ld;
}

static struct strip strip_of(const struct job *j, int pair, int head, int number)
{
    int b = pair / j->s.kv_heads, kv = pair % j->s.kv_heads, from = number * j->rows;
    int to = from + j->rows < j->s.time ? from + j->rows : j->s.time;
    return (struct strip){ b, kv * (j->s.q_heads / j->s.kv_heads) + head, kv, from, to - from, to };
}

/* Calls `visit` for the strips of share number `share`; the shares of all KV heads are laid end to
 * end, and inside a KV head strips go by query head, then by position. */
static void each_strip(const struct job *j, int share, void *desk,
                       void (*visit)(const struct job *j, struct strip s, void *desk))
{
    int pair = share / j->splits, part = share % j->splits, group = j->s.q_heads / j->s.kv_heads;
    int64_t total = (int64_t)group * j->n_strips * (j->n_strips + 1) / 2, cost = 0;
    int64_t from = total * part / j->splits, to = total * (part + 1) / j->splits;
    for (int head = 0; head < group; head++)
        for (int number = 0; number < j->n_strips; cost += ++number)
            if (cost >= from && cost < to) visit(j, strip_of(j, pair, head, number), desk);
}

/* A packed operand's size as cpu_scratch wants it. */
static size_t room(const struct gemm *gemm, int K, int N)
{
    return (gemm_packed(gemm, K, N) + 15) / 16 * 16;
}

/* ---- forward ---- */

struct forward_desk {
    float *keys, *values, *p; /* packed (D, T), packed (T, D), (rows, T) */
    float *scratch;
};

/* Rows of scores are worked on in whole vectors, with nothing left over to do one by one. */
static int whole(int seen) { return (seen + 15) & ~15; }

float cpu_softmax_row(float *restrict p, int seen, int keys, float scale, float *most_out)
{
    float most = p[0], sum = 0;
    int n = whole(seen);
    for (int s = seen; s < n; s++) p[s] = most;
#pragma omp simd reduction(max : most)
    for (int s = 0; s < n; s++) most = p[s] > most ? p[s] : most;
    for (int s = seen; s < n; s++) p[s] = -FLT_MAX;
#pragma omp simd reduction(+ : sum)
    for (int s = 0; s < n; s++) sum += p[s] = cpu_exp(scale * (p[s] - most));
    for (int s = seen; s < keys; s++) p[s] = 0;
    *most_out = most;
    return sum;
}

static void strip_forward(const struct job *j, struct strip i, void *user)
{
    const struct forward_desk *desk = user;
    int D = j->s.head_dim, T = j->s.time;
    float *out = at(j->out, j, i.b, i.from, i.h), inverse[MOST_ROWS];
    float *lse = host_row(j->lse, i.b * j->s.q_heads + i.h);
    j->gemm->right_product(i.rows, i.keys, D, plain(at(j->q, j, i.b, i.from, i.h), j->q.ld),
                           desk->keys, D, desk->p, j->ld, false, desk->scratch);
    for (int r = 0; r < i.rows; r++) {
        float most, *p = row_of(desk->p, j, r);
        float sum = cpu_softmax_row(p, i.from + r + 1, i.keys, j->scale, &most);
        lse[i.from + r] = j->scale * most + logf(sum);
        inverse[r] = 1 / sum;
    }
    j->gemm->right_product(i.rows, D, i.keys, plain(desk->p, j->ld), desk->values, T, out,
                           j->out.ld, false, desk->scratch);
    for (int r = 0; r < i.rows; r++)
        for (int c = 0; c < D; c++) out[(size_t)r * (size_t)j->out.ld + (size_t)c] *= inverse[r];
}

static void share_forward(const struct job *j, int share, float *mine)
{
    int D = j->s.head_dim, T = j->s.time, pair = share / j->splits;
    int b = pair / j->s.kv_heads, kv = pair % j->s.kv_heads;
    float *scratch = mine + room(j->gemm, D, T) + room(j->gemm, T, D);
    struct forward_desk desk = { mine, mine + room(j->gemm, D, T), scratch + GEMM_SCRATCH,
                                 scratch };
    j->gemm->pack_right(desk.keys, D, T, transposed(at(j->k, j, b, 0, kv), j->k.ld));
    j->gemm->pack_right(desk.values, T, D, plain(at(j->v, j, b, 0, kv), j->v.ld));
    each_strip(j, share, &desk, strip_forward);
}

static void attention_forward(struct backend *be, struct view out, struct view lse, struct view q,
                              struct view k, struct view v, struct attention_shape s)
{
    struct job job = job_of(be, s);
    job.q = q, job.k = k, job.v = v, job.out = out, job.lse = lse;
    size_t each = room(job.gemm, s.head_dim, s.time) + room(job.gemm, s.time, s.head_dim) +
                  GEMM_SCRATCH + (size_t)job.rows * (size_t)job.ld;
    float *scratch = cpu_scratch(be, each);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int share = 0; share < s.batch * s.kv_heads * job.splits; share++)
        share_forward(&job, share, scratch + (size_t)omp_get_thread_num() * each);
}

/* ---- backward ---- */

/* Where a share adds its d_k and d_v: (T, D) each. */
struct kv_sums {
    float *d_k, *d_v;
    int ld_k, ld_v;
};

struct backward_desk {
    float *key_columns, *value_columns, *keys; /* packed (D, T), (D, T), (T, D) */
    float *p, *d_p;                            /* (rows, T) */
    float *scratch;
    struct kv_sums sums;
};

/* p, the scores, become the probabilities; d_p becomes the gradient of the scaled scores' inputs.
 */
static void score_gradient(const struct job *j, struct strip i, float *p, float *d_p)
{
    int D = j->s.head_dim;
    const float *lse = host_row(j->lse, i.b * j->s.q_heads + i.h);
    for (int r = 0; r < i.rows; r++) {
        const float *o = at(j->out, j, i.b, i.from + r, i.h);
        const float *d_o = at(j->d_out, j, i.b, i.from + r, i.h);
        float *restrict pr = row_of(p, j, r), *restrict dr = row_of(d_p, j, r);
        float along = 0, log_sum = lse[i.from + r], scale = j->scale;
        int seen = i.from + r + 1, n = whole(seen);
#pragma omp simd reduction(+ : along)
        for (int c = 0; c < D; c++) along += o[c] * d_o[c];
#pragma omp simd
        for (int s = 0; s < n; s++) {
            pr[s] = cpu_exp(scale * pr[s] - log_sum);
            dr[s] = pr[s] * (dr[s] - along) * scale;
        }
        for (int s = seen; s < i.keys; s++) pr[s] = dr[s] = 0;
    }
}

static void strip_backward(const struct job *j, struct strip i, void *user)
{
    const struct backward_desk *desk = user;
    const struct gemm *gemm = j->gemm;
    int D = j->s.head_dim, T = j->s.time;
    struct operand q = plain(at(j->q, j, i.b, i.from, i.h), j->q.ld);
    struct operand d_out = plain(at(j->d_out, j, i.b, i.from, i.h), j->d_out.ld);
    struct operand p = transposed(desk->p, j->ld), d_p = transposed(desk->d_p, j->ld);
    gemm->right_product(i.rows, i.keys, D, q, desk->key_columns, D, desk->p, j->ld, false,
                        desk->scratch);
    gemm->right_product(i.rows, i.keys, D, d_out, desk->value_columns, D, desk->d_p, j->ld, false,
                        desk->scratch);
    score_gradient(j, i, desk->p, desk->d_p);
    gemm->right_product(i.rows, D, i.keys, plain(desk->d_p, j->ld), desk->keys, T,
                        at(j->d_q, j, i.b, i.from, i.h), j->d_q.ld, false, desk->scratch);
    gemm->product(i.keys, D, i.rows, p, d_out, desk->sums.d_v, desk->sums.ld_v, true,
                  desk->scratch);
    gemm->product(i.keys, D, i.rows, d_p, q, desk->sums.d_k, desk->sums.ld_k, true, desk->scratch);
}

static void clear(struct kv_sums to, int time, int head_dim)
{
    for (int t = 0; t < time; t++) {
        memset(to.d_k + (size_t)t * (size_t)to.ld_k, 0, (size_t)head_dim * sizeof(float));
        memset(to.d_v + (size_t)t * (size_t)to.ld_v, 0, (size_t)head_dim * sizeof(float));
    }
}

static struct kv_sums final_sums(const struct job *j, int pair)
{
    int b = pair / j->s.kv_heads, kv = pair % j->s.kv_heads;
    return (struct kv_sums){ at(j->d_k, j, b, 0, kv), at(j->d_v, j, b, 0, kv), j->d_k.ld,
                             j->d_v.ld };
}

/* Share number `share` has its own place in `aside`; the only one of a KV head needs none. */
static struct kv_sums share_sums(const struct job *j, int share, float *aside)
{
    if (j->splits == 1) return final_sums(j, share);
    size_t size = (size_t)j->s.time * (size_t)j->s.head_dim;
    float *mine = aside + 2 * (size_t)share * size;
    return (struct kv_sums){ mine, mine + size, j->s.head_dim, j->s.head_dim };
}

static void share_backward(const struct job *j, int share, float *mine, float *aside)
{
    int D = j->s.head_dim, T = j->s.time, pair = share / j->splits;
    int b = pair / j->s.kv_heads, kv = pair % j->s.kv_heads;
    size_t strip = (size_t)j->rows * (size_t)j->ld;
    struct backward_desk desk = { .key_columns = mine,
                                  .value_columns = mine + room(j->gemm, D, T) };
    desk.keys = desk.value_columns + room(j->gemm, D, T);
    desk.p = desk.keys + room(j->gemm, T, D);
    desk.d_p = desk.p + strip;
    desk.scratch = desk.d_p + strip;
    desk.sums = share_sums(j, share, aside);
    clear(desk.sums, T, D);
    j->gemm->pack_right(desk.key_columns, D, T, transposed(at(j->k, j, b, 0, kv), j->k.ld));
    j->gemm->pack_right(desk.value_columns, D, T, transposed(at(j->v, j, b, 0, kv), j->v.ld));
    j->gemm->pack_right(desk.keys, T, D, plain(at(j->k, j, b, 0, kv), j->k.ld));
    each_strip(j, share, &desk, strip_backward);
}

/* d_k and d_v of a KV head from its shares, in their order. */
static void add_shares(const struct job *j, int pair, float *aside)
{
    struct kv_sums to = final_sums(j, pair);
    clear(to, j->s.time, j->s.head_dim);
    for (int part = 0; part < j->splits; part++) {
        struct kv_sums from = share_sums(j, pair * j->splits + part, aside);
        for (int t = 0; t < j->s.time; t++) {
            float *d_k = to.d_k + (size_t)t * (size_t)to.ld_k,
                  *d_v = to.d_v + (size_t)t * (size_t)to.ld_v;
            for (int c = 0; c < j->s.head_dim; c++) {
                d_k[c] += from.d_k[t * j->s.head_dim + c];
                d_v[c] += from.d_v[t * j->s.head_dim + c];
            }
        }
    }
}

static void all_backward(struct backend *be, const struct job *job)
{
    int D = job->s.head_dim, T = job->s.time, pairs = job->s.batch * job->s.kv_heads;
    size_t each = 2 * room(job->gemm, D, T) + room(job->gemm, T, D) +
                  2 * (size_t)job->rows * (size_t)job->ld + GEMM_SCRATCH;
    size_t beside = job->splits > 1 ? 2 * (size_t)(pairs * job->splits) * (size_t)T * (size_t)D : 0;
    size_t per_thread = each + (beside / (size_t)be->threads + 16) / 16 * 16;
    float *scratch = cpu_scratch(be, per_thread), *aside = scratch + each * (size_t)be->threads;
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int share = 0; share < pairs * job->splits; share++)
        share_backward(job, share, scratch + (size_t)omp_get_thread_num() * each, aside);
    if (job->splits == 1) return;
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int pair = 0; pair < pairs; pair++) add_shares(job, pair, aside);
}

static void attention_backward(struct backend *be, struct view d_q, struct view d_k,
                               struct view d_v, struct view d_out, struct view out, struct view lse,
                               struct view q, struct view k, struct view v,
                               struct attention_shape s)
{
    struct job job = job_of(be, s);
    job.q = q, job.k = k, job.v = v, job.out = out, job.lse = lse;
    job.d_q = d_q, job.d_k = d_k, job.d_v = d_v, job.d_out = d_out;
    all_backward(be, &job);
}

void cpu_attention_functions(struct backend *be)
{
    be->attention_forward = attention_forward;
    be->attention_backward = attention_backward;
}
