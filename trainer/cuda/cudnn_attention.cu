/*
 * The graphs are the formulas of flash_forward.cu and flash_backward.cu in the form that cuDNN's
 * fused attention engines recognise; nothing of size (T, T) touches memory, except dS in the
 * repeatable backward, whose workspace is batch * heads * T * T bf16.
 */
#include "trainer/cuda/cudnn_attention.h"
#include "trainer/cuda/cudnn_graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PLANS = 64 };

/* Where a head's elements lie: the strides of a row, per operand. */
struct pitch {
    int q, k, v, out, d_q, d_k, d_v, d_out;
};

struct plan_key {
    struct attention_shape shape;
    struct pitch ld;
    bool backward, exact;
};

enum bound { Q, K, V, OUT, LSE, SCALE, MASKED, D_OUT, D_Q, D_K, D_V, ONE, DELTA, D_Q_SUMS, BOUNDS };

struct kept_plan {
    struct plan_key key;
    struct cudnn_plan plan;
    int64_t uid[BOUNDS]; /* 0: the graph has no such operand */
    bool usable;
};

struct cudnn_attention {
    struct cudnn_library *lib;
    struct kept_plan kept[MOST_PLANS];
    int n, oldest;
};

/* ---- operands ------------------------------------------------------------------------------ */

/* A graph at work: its draft, its shape, and the operands that the caller will bind. */
struct sketch {
    struct plan_draft draft;
    struct attention_shape s;
    struct operand bound[BOUNDS];
};

/* (batch, heads, rows, columns) of a (N, heads*D) matrix; `across` for its transpose. */
static struct operand head_matrix(struct sketch *k, enum bound as, int heads, int ld, bool across)
{
    int64_t T = k->s.time, D = k->s.head_dim, dim[] = { k->s.batch, heads, T, D },
            stride[] = { T * ld, D, ld, 1 };
    if (across) dim[2] = D, dim[3] = T, stride[2] = 1, stride[3] = ld;
    return k->bound[as] = draft_tensor(&k->draft, CUDNN_DATA_BFLOAT16, dim, stride);
}

static struct operand scalar(struct sketch *k, enum bound as)
{
    return k->bound[as] = draft_scalar(&k->draft);
}

/* One float a query: (batch, heads, T, 1). */
static void query_floats(const struct sketch *k, int64_t dim[4], int64_t stride[4])
{
    int64_t T = k->s.time, H = k->s.q_heads;
    dim[0] = k->s.batch, dim[1] = H, dim[2] = T, dim[3] = 1;
    stride[0] = H * T, stride[1] = T, stride[2] = 1, stride[3] = 1;
}

static struct operand query_tensor(struct sketch *k, enum bound as)
{
    int64_t dim[4], stride[4];
    query_floats(k, dim, stride);
    return k->bound[as] = draft_tensor(&k->draft, CUDNN_DATA_FLOAT, dim, stride);
}

static struct operand query_inner(struct sketch *k)
{
    int64_t dim[4], stride[4];
    query_floats(k, dim, stride);
    return draft_inner(&k->draft, CUDNN_DATA_FLOAT, dim, stride);
}

/* One element a pair of query and key: (batch, heads, T, T), seen with the keys first if `across`.
 */
static struct operand pairs(struct sketch *k, cudnnDataType_t type, bool across)
{
    int64_t T = k->s.time, H = k->s.q_heads, dim[] = { k->s.batch, H, T, T },
            stride[] = { H * T * T, T * T, T, 1 };
    if (across) stride[2] = 1, stride[3] = T;
    return draft_inner(&k->draft, type, dim, stride);
}

/* What every query head has, before heads that share keys are added up. */
static struct operand full_heads(struct sketch *k, cudnnDataType_t type)
{
    int64_t T = k->s.time, H = k->s.q_heads, D = k->s.head_dim, dim[] = { k->s.batch, H, T, D },
            stride[] = { H * T * D, T * D, D, 1 };
    return draft_inner(&k->draft, type, dim, stride);
}

/* ---- steps that both directions share ------------------------------------------------------ */

static struct operand chained(struct sketch *k, cudnnPointwiseMode_t mode, struct operand x,
                              const struct operand *b)
{
    struct operand y = pairs(k, CUDNN_DATA_FLOAT, false);
    draft_pointwise(&k->draft, mode, x, b, NULL, y);
    return y;
}

/* x where the key does not come after the query, minus infinity elsewhere. */
static struct operand causal(struct sketch *k, struct operand x)
{
    struct operand query = pairs(k, CUDNN_DATA_INT32, false),
                   key = pairs(k, CUDNN_DATA_INT32, false),
                   sees = pairs(k, CUDNN_DATA_BOOLEAN, false), masked = scalar(k, MASKED),
                   y = pairs(k, CUDNN_DATA_FLOAT, false);
    draft_index(&k->draft, 2, x, query);
    draft_index(&k->draft, 3, x, key);
    draft_pointwise(&k->draft, CUDNN_POINTWISE_CMP_GE, query, &key, NULL, sees);
    draft_pointwise(&k->draft, CUDNN_POINTWISE_BINARY_SELECT, x, &masked, &sees, y);
    return y;
}

static struct operand scaled_scores(struct sketch *k, struct operand q, struct operand keys,
                                    struct operand scale)
{
    struct operand scores = pairs(k, CUDNN_DATA_FLOAT, false);
    draft_matmul(&k->draft, q, keys, scores);
    return chained(k, CUDNN_POINTWISE_MUL, scores, &scale);
}

/* ---- forward ------------------------------------------------------------------------------- */

static void sketch_forward(struct sketch *k, const struct pitch *ld)
{
    struct plan_draft *d = &k->draft;
    struct operand q = head_matrix(k, Q, k->s.q_heads, ld->q, false),
                   keys = head_matrix(k, K, k->s.kv_heads, ld->k, true),
                   v = head_matrix(k, V, k->s.kv_heads, ld->v, false),
                   out = head_matrix(k, OUT, k->s.q_heads, ld->out, false),
                   lse = query_tensor(k, LSE), scale = scalar(k, SCALE);
    struct operand scores = causal(k, scaled_scores(k, q, keys, scale)), top = query_inner(k),
                   sum = query_inner(k), log = query_inner(k),
                   share = pairs(k, CUDNN_DATA_BFLOAT16, false);
    draft_reduce(d, CUDNN_REDUCE_TENSOR_MAX, scores, top);
    struct operand weight =
        chained(k, CUDNN_POINTWISE_EXP, chained(k, CUDNN_POINTWISE_SUB, scores, &top), NULL);
    draft_reduce(d, CUDNN_REDUCE_TENSOR_ADD, weight, sum);
    draft_pointwise(d, CUDNN_POINTWISE_LOG, sum, NULL, NULL, log);
    draft_pointwise(d, CUDNN_POINTWISE_ADD, top, &log, NULL, lse);
    draft_pointwise(d, CUDNN_POINTWISE_DIV, weight, &sum, NULL, share);
    draft_matmul(d, share, v, out);
}

/* ---- backward ------------------------------------------------------------------------------ */

/* to (batch, kv_heads, T, D) = x^T y, added up over the query heads that share a KV head. */
static void keys_gradient(struct sketch *k, struct operand x, struct operand y, struct operand to)
{
    struct operand across = pairs(k, CUDNN_DATA_BFLOAT16, true);
    draft_reshape(&k->draft, x, across);
    if (k->s.q_heads == k->s.kv_heads) {
        draft_matmul(&k->draft, across, y, to);
        return;
    }
    struct operand full = full_heads(k, CUDNN_DATA_BFLOAT16);
    draft_matmul(&k->draft, across, y, full);
    draft_reduce(&k->draft, CUDNN_REDUCE_TENSOR_ADD, full, to);
}

/* delta (batch, heads, T, 1) = sum over D of d_out * out */
static struct operand delta_of(struct sketch *k, struct operand d_out, struct operand out)
{
    struct operand product = full_heads(k, CUDNN_DATA_FLOAT), sum = query_inner(k),
                   one = scalar(k, ONE), delta = query_tensor(k, DELTA);
    draft_pointwise(&k->draft, CUDNN_POINTWISE_MUL, d_out, &out, NULL, product);
    draft_reduce(&k->draft, CUDNN_REDUCE_TENSOR_ADD, product, sum);
    draft_pointwise(&k->draft, CUDNN_POINTWISE_MUL, sum, &one, NULL, delta);
    return delta;
}

/* d_q = x y. Exact: in one go, for which the engine keeps x whole. Otherwise blocks of keys add
 * their shares to float32 sums as they come, which is faster, in an order that varies. */
static void queries_gradient(struct sketch *k, struct operand x, struct operand y,
                             struct operand d_q, bool exact)
{
    if (exact) {
        draft_matmul(&k->draft, x, y, d_q);
        return;
    }
    int64_t T = k->s.time, H = k->s.q_heads, D = k->s.head_dim, dim[] = { k->s.batch, H, T, D },
            stride[] = { H * T * D, T * D, D, 1 };
    struct operand sums = draft_tensor(&k->draft, CUDNN_DATA_FLOAT, dim, stride);
    k->bound[D_Q_SUMS] = sums;
    draft_matmul(&k->draft, x, y, sums);
    draft_pointwise(&k->draft, CUDNN_POINTWISE_IDENTITY, sums, NULL, NULL, d_q);
}

static void sketch_backward(struct sketch *k, const struct pitch *ld, bool exact)
{
    struct plan_draft *d = &k->draft;
    int H = k->s.q_heads, KV = k->s.kv_heads;
    struct operand q = head_matrix(k, Q, H, ld->q, false),
                   keys = head_matrix(k, K, KV, ld->k, true),
                   v = head_matrix(k, V, KV, ld->v, true),
                   out = head_matrix(k, OUT, H, ld->out, false),
                   d_out = head_matrix(k, D_OUT, H, ld->d_out, false), lse = query_tensor(k, LSE),
                   scale = scalar(k, SCALE), d_q = head_matrix(k, D_Q, H, ld->d_q, false),
                   d_k = head_matrix(k, D_K, KV, ld->d_k, false),
                   d_v = head_matrix(k, D_V, KV, ld->d_v, false);
    struct operand delta = delta_of(k, d_out, out);
    struct operand off = chained(k, CUDNN_POINTWISE_SUB, scaled_scores(k, q, keys, scale), &lse);
    struct operand p = chained(k, CUDNN_POINTWISE_EXP, causal(k, off), NULL);
    keys_gradient(k, p, d_out, d_v);

    struct operand dp = pairs(k, CUDNN_DATA_FLOAT, false);
    draft_matmul(d, d_out, v, dp);
    struct operand ds =
        chained(k, CUDNN_POINTWISE_MUL, chained(k, CUDNN_POINTWISE_SUB, dp, &delta), &p);
    ds = chained(k, CUDNN_POINTWISE_MUL, ds, &scale);
    keys_gradient(k, ds, q, d_k);

    int64_t dim[] = { k->s.batch, KV, k->s.time, k->s.head_dim },
            stride[] = { keys.stride[0], keys.stride[1], keys.stride[3], keys.stride[2] };
    struct operand rows = draft_inner(d, CUDNN_DATA_BFLOAT16, dim, stride);
    draft_reshape(d, keys, rows);
    queries_gradient(k, ds, rows, d_q, exact);
}

/* ---- plans --------------------------------------------------------------------------------- */

static struct kept_plan *plan_for(struct device *d, const struct plan_key *key)
{
    struct cudnn_attention *a = d->cudnn;
    for (int i = 0; i < a->n; i++)
        if (!memcmp(&a->kept[i].key, key, sizeof *key)) return &a->kept[i];
    struct kept_plan *kept;
    if (a->n < MOST_PLANS) {
        kept = &a->kept[a->n++];
    } else {
        kept = &a->kept[a->oldest++ % MOST_PLANS];
        CUDA(cudaStreamSynchronize(d->stream));
        replay_void(d);
        cudnn_plan_release(a->lib, &kept->plan);
    }
    struct sketch k = {};
    memset(kept, 0, sizeof *kept);
    kept->key = *key;
    draft_begin(&k.draft, a->lib);
    k.s = key->shape;
    if (key->backward)
        sketch_backward(&k, &key->ld, key->exact);
    else
        sketch_forward(&k, &key->ld);
    for (int b = 0; b < BOUNDS; b++) kept->uid[b] = k.bound[b].uid;
    kept->usable = draft_plan(&k.draft, key->exact, &kept->plan);
    return kept;
}

/* Aligned rows, and a lse without padding. */
static bool takes(const struct device *d, const struct view *view, int n, struct view lse,
                  struct attention_shape s)
{
    if (!d->cudnn || s.time % 64 || lse.ld != s.time || s.head_dim % 8) return false;
    for (int i = 0; i < n; i++)
        if (view[i].at % 8 || view[i].ld % 8) return false;
    return true;
}

static void run(struct device *d, const struct kept_plan *kept, void *const *at)
{
    int64_t uid[BOUNDS];
    void *pointer[BOUNDS];
    int n = 0;
    for (int b = 0; b < BOUNDS; b++)
        if (kept->uid[b]) uid[n] = kept->uid[b], pointer[n++] = at[b];
    cudnn_plan_run(d->cudnn->lib, &kept->plan, uid, pointer, n, at[BOUNDS]);
}

bool cudnn_forward(struct device *d, struct view out, struct view lse, struct view q, struct view k,
                   struct view v, struct attention_shape s)
{
    const struct view used[] = { out, q, k, v };
    struct plan_key key;
    if (!takes(d, used, 4, lse, s)) return false;
    memset(&key, 0, sizeof key);
    key.shape = s, key.exact = true, key.ld.q = q.ld, key.ld.k = k.ld, key.ld.v = v.ld,
    key.ld.out = out.ld;
    struct kept_plan *kept = plan_for(d, &key);
    if (!kept->usable) return false;
    float scale = 1 / sqrtf((float)s.head_dim), masked = -INFINITY;
    void *at[BOUNDS + 1] = {};
    at[Q] = acts_at<bf16>(q), at[K] = acts_at<bf16>(k), at[V] = acts_at<bf16>(v);
    at[OUT] = acts_at<bf16>(out), at[LSE] = floats_at(lse), at[SCALE] = &scale,
    at[MASKED] = &masked;
    at[BOUNDS] = device_scratch(d, (size_t)kept->plan.workspace_bytes + 256);
    run(d, kept, at);
    return true;
}

bool cudnn_backward(struct device *d, struct view d_q, struct view d_k, struct view d_v,
                    struct view d_out, struct view out, struct view lse, struct view q,
                    struct view k, struct view v, struct attention_shape s)
{
    const struct view used[] = { d_q, d_k, d_v, d_out, out, q, k, v };
    struct plan_key key;
    if (!takes(d, used, 8, lse, s)) return false;
    memset(&key, 0, sizeof key);
    key.shape = s, key.backward = true, key.exact = d->exact;
    key.ld.q = q.ld, key.ld.k = k.ld, key.ld.v = v.ld, key.ld.out = out.ld, key.ld.d_q = d_q.ld,
    key.ld.d_k = d_k.ld, key.ld.d_v = d_v.ld, key.ld.d_out = d_out.ld;
    struct kept_plan *kept = plan_for(d, &key);
    if (!kept->usable) return false;
    float scale = 1 / sqrtf((float)s.head_dim), masked = -INFINITY, one = 1;
    size_t delta = (size_t)s.batch * s.q_heads * s.time * sizeof(float), /* 256 n: 64 | time */
        sums = kept->uid[D_Q_SUMS] ? delta * s.head_dim : 0;
    char *scratch =
        (char *)device_scratch(d, delta + sums + (size_t)kept->plan.workspace_bytes + 256);
    void *at[BOUNDS + 1] = {};
    at[Q] = acts_at<bf16>(q), at[K] = acts_at<bf16>(k), at[V] = acts_at<bf16>(v);
    at[OUT] = acts_at<bf16>(out), at[D_OUT] = acts_at<bf16>(d_out), at[LSE] = floats_at(lse);
    at[D_Q] = acts_at<bf16>(d_q), at[D_K] = acts_at<bf16>(d_k), at[D_V] = acts_at<bf16>(d_v);
    at[SCALE] = &scale, at[MASKED] = &masked, at[ONE] = &one, at[DELTA] = scratch;
    at[D_Q_SUMS] = scratch + delta, at[BOUNDS] = scratch + delta + sums;
    run(d, kept, at);
    return true;
}

void cudnn_attention_open(struct device *d)
{
    struct cudnn_library *lib = d->half ? cudnn_library_open(d->stream) : NULL;
    if (!lib) return;
    d->cudnn = (struct cudnn_attention *)calloc(1, sizeof *d->cudnn);
    if (!d->cudnn) abort();
    d->cudnn->lib = lib;
}

void cudnn_attention_close(struct device *d)
{
    if (!d->cudnn) return;
    for (int i = 0; i < d->cudnn->n; i++)
        cudnn_plan_release(d->cudnn->lib, &d->cudnn->kept[i].plan);
    cudnn_library_close(d->cudnn->lib);
    free(d->cudnn);
}
