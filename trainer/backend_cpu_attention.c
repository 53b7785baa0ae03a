#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>

/*
 * Causal attention by blocks of ROWS query positions of one head: a block looks
 * at all keys up to its last row, so its scores take (ROWS, T) per thread and
 * never (T, T), and what lies above the diagonal is skipped except inside the
 * last block of keys.
 *
 * Blocks are items in a fixed order, each costing as many units as it sees
 * blocks of keys; a member of the team takes a run of items of equal cost.
 * On the way back the order is by KV head, so that the sums d_k and d_v of
 * almost every KV head belong to one member; a member whose run starts inside a
 * KV head keeps its share of that one apart, and the shares are added at the end.
 */
enum { ROWS = 64 };

struct job {
    struct view q, k, v, out, lse;
    struct view d_q, d_k, d_v, d_out;
    struct attention_shape s;
    float scale;
    int n_blocks;
};

struct item {
    int b, h, kv, from, rows, keys; /* query rows from..from+rows-1 see keys 0..keys-1 */
};

static struct job job_of(struct attention_shape s)
{
    return (struct job){ .s = s,
                         .scale = (float)(1 / sqrt(s.head_dim)),
                         .n_blocks = (s.time + ROWS - 1) / ROWS };
}

static struct item item_of(const struct job *j, int b, int h, int block)
{
    int from = block * ROWS, to = from + ROWS < j->s.time ? from + ROWS : j->s.time;
    return (struct item){ b, h, h / (j->s.q_heads / j->s.kv_heads), from, to - from, to };
}

static int64_t head_cost(const struct job *j)
{
    return (int64_t)j->n_blocks * (j->n_blocks + 1) / 2;
}

static float *at(struct view x, const struct job *j, int b, int row, int head)
{
    return host_row(x, b * j->s.time + row) + head * j->s.head_dim;
}

/* out (M, N) = alpha * a (M, K) @ b (N, K)^T */
static void gemm_nt(int M, int N, int K, float alpha, const float *a, int lda, const float *b,
                    int ldb, float *out, int ldo)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, alpha, a, lda, b, ldb, 0, out,
                ldo);
}

/* out (M, N) = a (M, K) @ b (K, N) */
static void gemm_nn(int M, int N, int K, const float *a, int lda, const float *b, int ldb,
                    float *out, int ldo)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, M, N, K, 1, a, lda, b, ldb, 0, out, ldo);
}

/* out (M, N) += a (K, M)^T @ b (K, N) */
static void gemm_tn_add(int M, int N, int K, const float *a, int lda, const float *b, int ldb,
                        float *out, int ldo)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, M, N, K, 1, a, lda, b, ldb, 1, out, ldo);
}

/* p = exp(score - most), zero from `seen` on; returns the sum. */
static float softmax_row(float *restrict p, int seen, int keys, float *most_out)
{
    float most = p[0], sum = 0;
#pragma omp simd reduction(max : most)
    for (int s = 0; s < seen; s++) most = p[s] > most ? p[s] : most;
#pragma omp simd reduction(+ : sum)
    for (int s = 0; s < seen; s++) sum += p[s] = cpu_exp(p[s] - most);
    for (int s = seen; s < keys; s++) p[s] = 0;
    *most_out = most;
    return sum;
}

static void item_forward(const struct job *j, struct item i, float *p)
{
    int D = j->s.head_dim, ld = i.keys;
    float *out = at(j->out, j, i.b, i.from, i.h), inverse[ROWS];
    float *lse = host_row(j->lse, i.b * j->s.q_heads + i.h);
    gemm_nt(i.rows, i.keys, D, j->scale, at(j->q, j, i.b, i.from, i.h), j->q.ld,
            at(j->k, j, i.b, 0, i.kv), j->k.ld, p, ld);
    for (int r = 0; r < i.rows; r++) {
        float most, sum = softmax_row(p + (size_t)r * (size_t)ld, i.from + r + 1, i.keys, &most);
        lse[i.from + r] = most + logf(sum);
        inverse[r] = 1 / sum;
    }
    gemm_nn(i.rows, D, i.keys, p, ld, at(j->v, j, i.b, 0, i.kv), j->v.ld, out, j->out.ld);
    for (int r = 0; r < i.rows; r++)
        for (int c = 0; c < D; c++) out[(size_t)r * (size_t)j->out.ld + (size_t)c] *= inverse[r];
}

static void attention_forward(struct backend *be, struct view out, struct view lse, struct view q,
                              struct view k, struct view v, struct attention_shape s)
{
    struct job job = job_of(s);
    job.q = q, job.k = k, job.v = v, job.out = out, job.lse = lse;
    size_t room = (size_t)ROWS * (size_t)s.time + 16;
    float *scratch = cpu_scratch(be, room);
    int64_t total = (int64_t)s.batch * s.q_heads * head_cost(&job);
#pragma omp parallel num_threads(be->threads)
    {
        int self = omp_get_thread_num();
        int64_t from = total * self / be->threads, to = total * (self + 1) / be->threads, cost = 0;
        for (int h = 0; h < s.batch * s.q_heads; h++)
            for (int block = 0; block < job.n_blocks; cost += ++block)
                if (cost >= from && cost < to)
                    item_forward(&job, item_of(&job, h / s.q_heads, h % s.q_heads, block),
                                 scratch + (size_t)self * room);
    }
}

/* Where an item adds its d_k and d_v: (T, D) each. */
struct kv_sums {
    float *d_k, *d_v;
    int ld_k, ld_v;
};

/* p becomes the probabilities, d_p the gradient of the scores before their scaling. */
static void score_gradient(const struct job *j, struct item i, float *p, float *d_p)
{
    int D = j->s.head_dim;
    const float *lse = host_row(j->lse, i.b * j->s.q_heads + i.h);
    for (int r = 0; r < i.rows; r++) {
        const float *o = at(j->out, j, i.b, i.from + r, i.h),
                    *d_o = at(j->d_out, j, i.b, i.from + r, i.h);
        float *restrict pr = p + (size_t)r * (size_t)i.keys, *restrict dr =
                                                                 d_p + (size_t)r * (size_t)i.keys;
        float along = 0, log_sum = lse[i.from + r];
        int seen = i.from + r + 1;
#pragma omp simd reduction(+ : along)
        for (int c = 0; c < D; c++) along += o[c] * d_o[c];
#pragma omp simd
        for (int s = 0; s < seen; s++) {
            pr[s] = cpu_exp(pr[s] - log_sum);
            dr[s] = pr[s] * (dr[s] - along) * j->scale;
        }
        for (int s = seen; s < i.keys; s++) pr[s] = dr[s] = 0;
    }
}

static void item_backward(const struct job *j, struct item i, struct kv_sums to, float *scratch)
{
    int D = j->s.head_dim, n = i.keys;
    float *p = scratch, *d_p = scratch + (size_t)ROWS * (size_t)j->s.time;
    const float *q = at(j->q, j, i.b, i.from, i.h), *d_out = at(j->d_out, j, i.b, i.from, i.h);
    const float *k = at(j->k, j, i.b, 0, i.kv), *v = at(j->v, j, i.b, 0, i.kv);
    gemm_nt(i.rows, n, D, j->scale, q, j->q.ld, k, j->k.ld, p, n);
    gemm_nt(i.rows, n, D, 1, d_out, j->d_out.ld, v, j->v.ld, d_p, n);
    score_gradient(j, i, p, d_p);
    gemm_tn_add(n, D, i.rows, p, n, d_out, j->d_out.ld, to.d_v, to.ld_v);
    gemm_nn(i.rows, D, n, d_p, n, k, j->k.ld, at(j->d_q, j, i.b, i.from, i.h), j->d_q.ld);
    gemm_tn_add(n, D, i.rows, d_p, n, q, j->q.ld, to.d_k, to.ld_k);
}

static void clear(struct kv_sums to, int time, int head_dim)
{
    for (int t = 0; t < time; t++) {
        memset(to.d_k + (size_t)t * (size_t)to.ld_k, 0, (size_t)head_dim * sizeof(float));
        memset(to.d_v + (size_t)t * (size_t)to.ld_v, 0, (size_t)head_dim * sizeof(float));
    }
}

static struct kv_sums own_sums(const struct job *j, int pair)
{
    int b = pair / j->s.kv_heads, kv = pair % j->s.kv_heads;
    return (struct kv_sums){ at(j->d_k, j, b, 0, kv), at(j->d_v, j, b, 0, kv), j->d_k.ld,
                             j->d_v.ld };
}

/* All items of KV head `pair` that cost between from and to; `cost` is where the pair starts. */
static void pair_backward(const struct job *j, int pair, int64_t cost, int64_t from, int64_t to,
                          struct kv_sums sums, float *scratch)
{
    int group = j->s.q_heads / j->s.kv_heads, kv = pair % j->s.kv_heads;
    clear(sums, j->s.time, j->s.head_dim);
    for (int g = 0; g < group; g++)
        for (int block = 0; block < j->n_blocks; cost += ++block)
            if (cost >= from && cost < to)
                item_backward(j, item_of(j, pair / j->s.kv_heads, kv * group + g, block), sums,
                              scratch);
}

/* A member's run: the KV heads it begins go straight to d_k and d_v, one begun before to `aside`.
 */
static void run_backward(const struct job *j, int64_t from, int64_t to, struct kv_sums aside,
                         float *scratch)
{
    int64_t per_pair = head_cost(j) * (j->s.q_heads / j->s.kv_heads);
    for (int pair = (int)(from / per_pair); pair * per_pair < to; pair++)
        pair_backward(j, pair, pair * per_pair, from, to,
                      pair * per_pair < from ? aside : own_sums(j, pair), scratch);
}

static void add_aside(struct kv_sums to, struct kv_sums aside, struct cpu_range times, int head_dim)
{
    for (int t = times.from; t < times.to; t++)
        for (int c = 0; c < head_dim; c++) {
            to.d_k[(size_t)t * (size_t)to.ld_k + (size_t)c] += aside.d_k[t * head_dim + c];
            to.d_v[(size_t)t * (size_t)to.ld_v + (size_t)c] += aside.d_v[t * head_dim + c];
        }
}

static void attention_backward(struct backend *be, struct view d_q, struct view d_k,
                               struct view d_v, struct view d_out, struct view out, struct view lse,
                               struct view q, struct view k, struct view v,
                               struct attention_shape s)
{
    struct job job = job_of(s);
    job.q = q, job.k = k, job.v = v, job.out = out, job.lse = lse;
    job.d_q = d_q, job.d_k = d_k, job.d_v = d_v, job.d_out = d_out;
    size_t side = (size_t)s.time * (size_t)s.head_dim;
    size_t room = 2 * (size_t)ROWS * (size_t)s.time + 2 * side + 16;
    float *scratch = cpu_scratch(be, room);
    int64_t per_pair = head_cost(&job) * (s.q_heads / s.kv_heads);
    int64_t total = (int64_t)s.batch * s.kv_heads * per_pair;
#pragma omp parallel num_threads(be->threads)
    {
        int self = omp_get_thread_num(), team = be->threads;
        float *mine = scratch + (size_t)self * room;
        struct kv_sums aside = { mine, mine + side, s.head_dim, s.head_dim };
        run_backward(&job, total * self / team, total * (self + 1) / team, aside, mine + 2 * side);
#pragma omp barrier
        for (int i = 0; i < team; i++) {
            int64_t from = total * i / team;
            if (from % per_pair == 0 || from == total * (i + 1) / team) continue;
            float *other = scratch + (size_t)i * room;
            add_aside(own_sums(&job, (int)(from / per_pair)),
                      (struct kv_sums){ other, other + side, s.head_dim, s.head_dim },
                      cpu_share(s.time, 1, self, team), s.head_dim);
        }
    }
}

void cpu_attention_functions(struct backend *be)
{
    be->attention_forward = attention_forward;
    be->attention_backward = attention_backward;
}
