/*
 * Attention: cuDNN where it is there and takes the shape, else our own tensor-core tiles
 * (flash_*.cu) where they fit, else plain kernels that take any head_dim up to 256 and float32. The
 * plain ones give one warp a row and walk the other rows one by one.
 */
#include "trainer/cuda/cudnn_attention.h"
#include "trainer/cuda/flash.h"

enum { MOST_PER_LANE = 8 }; /* head_dim <= 256 */

template <typename T> struct rows {
    T *p;
    int ld;
};

template <typename T> static rows<T> rows_of(struct view v) { return { acts_at<T>(v), v.ld }; }

template <typename T>
__device__ static inline T *row_at(rows<T> m, int b, int t, int h, int time, int D)
{
    return m.p + ((size_t)b * time + t) * m.ld + (size_t)h * D;
}

template <typename T> __device__ static inline float dot(const float *x, const T *y, int D)
{
    float sum = 0;
    for (int i = 0, c = threadIdx.x; c < D; c += 32, i++) sum += x[i] * to_float(y[c]);
    return warp_sum(sum);
}

template <typename T> __device__ static inline void add_scaled(float *x, float a, const T *y, int D)
{
    for (int i = 0, c = threadIdx.x; c < D; c += 32, i++) x[i] += a * to_float(y[c]);
}

template <typename T> __device__ static inline void load_row(float *x, const T *y, int D)
{
    for (int i = 0, c = threadIdx.x; c < D; c += 32, i++) x[i] = to_float(y[c]);
}

template <typename T>
__device__ static inline void store_row(T *y, const float *x, float scale, int D)
{
    for (int i = 0, c = threadIdx.x; c < D; c += 32, i++) put(&y[c], x[i] * scale);
}

/* grid (T, H, B), one warp */
template <typename T>
__global__ void plain_forward_kernel(rows<T> out, float *lse, int lse_ld, rows<T> q, rows<T> k,
                                     rows<T> v, int time, int rep, int D, float scale)
{
    int t = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
    float x[MOST_PER_LANE], o[MOST_PER_LANE] = {}, top = -INFINITY, sum = 0;
    load_row(x, row_at(q, b, t, h, time, D), D);
    for (int j = 0; j <= t; j++) {
        float s = dot(x, row_at(k, b, j, h / rep, time, D), D) * scale, m = fmaxf(top, s);
        float fade = expf(top - m), w = expf(s - m);
        for (int i = 0; i < MOST_PER_LANE; i++) o[i] *= fade;
        add_scaled(o, w, row_at(v, b, j, h / rep, time, D), D);
        sum = sum * fade + w;
        top = m;
    }
    store_row(row_at(out, b, t, h, time, D), o, 1 / sum, D);
    if (!threadIdx.x) lse[((size_t)b * gridDim.y + h) * lse_ld + t] = top + logf(sum);
}

/* delta (B*H, T) = sum over D of d_out * out. Eight lanes a row, eight elements a lane and turn. */
template <typename T>
__global__ void delta_kernel(float *delta, rows<T> d_out, rows<T> out, int time, int heads, int D,
                             int n)
{
    int i = (blockIdx.x * blockDim.x + threadIdx.x) / 8; /* (b, t, h): neighbours read neighbours */
    if (i >= n) return;
    int h = i % heads, t = i / heads % time, b = i / heads / time;
    const T *x = row_at(d_out, b, t, h, time, D), *y = row_at(out, b, t, h, time, D);
    float a[8], c[8], sum = 0;
    bool whole = D % 8 == 0 && d_out.ld % 8 == 0 && out.ld % 8 == 0;
    for (int k = threadIdx.x % 8 * 8; k < D; k += 64) {
        if (whole) load8(a, x + k), load8(c, y + k);
        for (int j = 0; j < 8 && k + j < D; j++)
            sum += whole ? a[j] * c[j] : to_float(x[k + j]) * to_float(y[k + j]);
    }
    unsigned eight = 0xffu << (threadIdx.x % 32 / 8 * 8);
    for (int s = 4; s; s /= 2) sum += __shfl_xor_sync(eight, sum, s);
    if (threadIdx.x % 8 == 0) delta[((size_t)b * heads + h) * time + t] = sum;
}

template <typename T>
__global__ void plain_queries_kernel(rows<T> d_q, rows<T> d_out, const float *lse, int lse_ld,
                                     rows<T> q, rows<T> k, rows<T> v, const float *delta, int time,
                                     int rep, int D, float scale)
{
    int t = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
    size_t line = (size_t)b * gridDim.y + h;
    float x[MOST_PER_LANE], dy[MOST_PER_LANE], dq[MOST_PER_LANE] = {};
    load_row(x, row_at(q, b, t, h, time, D), D);
    load_row(dy, row_at(d_out, b, t, h, time, D), D);
    for (int j = 0; j <= t; j++) {
        const T *key = row_at(k, b, j, h / rep, time, D);
        float p = expf(dot(x, key, D) * scale - lse[line * lse_ld + t]);
        float ds = p * (dot(dy, row_at(v, b, j, h / rep, time, D), D) - delta[line * time + t]);
        add_scaled(dq, ds * scale, key, D);
    }
    store_row(row_at(d_q, b, t, h, time, D), dq, 1, D);
}

template <typename T>
__global__ void plain_keys_kernel(rows<T> d_k, rows<T> d_v, rows<T> d_out, const float *lse,
                                  int lse_ld, rows<T> q, rows<T> k, rows<T> v, const float *delta,
                                  int time, int rep, int D, float scale)
{
    int j = blockIdx.x, kv = blockIdx.y, b = blockIdx.z, heads = gridDim.y * rep;
    float key[MOST_PER_LANE], value[MOST_PER_LANE], dk[MOST_PER_LANE] = {}, dv[MOST_PER_LANE] = {};
    load_row(key, row_at(k, b, j, kv, time, D), D);
    load_row(value, row_at(v, b, j, kv, time, D), D);
    for (int h = kv * rep; h < (kv + 1) * rep; h++) {
        size_t line = (size_t)b * heads + h;
        for (int t = j; t < time; t++) {
            const T *query = row_at(q, b, t, h, time, D), *dy = row_at(d_out, b, t, h, time, D);
            float p = expf(dot(key, query, D) * scale - lse[line * lse_ld + t]);
            float ds = p * (dot(value, dy, D) - delta[line * time + t]);
            add_scaled(dv, p, dy, D);
            add_scaled(dk, ds * scale, query, D);
        }
    }
    store_row(row_at(d_k, b, j, kv, time, D), dk, 1, D);
    store_row(row_at(d_v, b, j, kv, time, D), dv, 1, D);
}

template <typename T>
static void forward_typed(struct device *d, struct view out, struct view lse, struct view q,
                          struct view k, struct view v, struct attention_shape s)
{
    dim3 grid((unsigned)s.time, (unsigned)s.q_heads, (unsigned)s.batch);
    plain_forward_kernel<T><<<grid, 32, 0, d->stream>>>(
        rows_of<T>(out), floats_at(lse), lse.ld, rows_of<T>(q), rows_of<T>(k), rows_of<T>(v),
        s.time, s.q_heads / s.kv_heads, s.head_dim, 1 / sqrtf((float)s.head_dim));
    LAUNCHED();
}

static void attention_forward(struct backend *be, struct view out, struct view lse, struct view q,
                              struct view k, struct view v, struct attention_shape s)
{
    struct device *d = device_of(be);
    const struct view used[] = { out, q, k, v };
    if (!s.batch || !s.time || !s.q_heads) return;
    if (cudnn_forward(d, out, lse, q, k, v, s)) return;
    if (d->half && flash_takes(s, used, 4))
        flash_forward(d, out, lse, q, k, v, s);
    else if (d->half)
        forward_typed<bf16>(d, out, lse, q, k, v, s);
    else
        forward_typed<float>(d, out, lse, q, k, v, s);
}

template <typename T>
static const float *delta_of(struct device *d, struct view d_out, struct view out,
                             struct attention_shape s)
{
    int n = s.batch * s.time * s.q_heads;
    float *delta = (float *)device_scratch(d, (size_t)n * sizeof(float));
    delta_kernel<T><<<blocks_for((size_t)n, 32), 256, 0, d->stream>>>(
        delta, rows_of<T>(d_out), rows_of<T>(out), s.time, s.q_heads, s.head_dim, n);
    LAUNCHED();
    return delta;
}

template <typename T>
static void backward_typed(struct device *d, struct view d_q, struct view d_k, struct view d_v,
                           struct view d_out, struct view lse, struct view q, struct view k,
                           struct view v, struct attention_shape s, const float *delta)
{
    int rep = s.q_heads / s.kv_heads;
    float scale = 1 / sqrtf((float)s.head_dim);
    plain_queries_kernel<T>
        <<<dim3((unsigned)s.time, (unsigned)s.q_heads, (unsigned)s.batch), 32, 0, d->stream>>>(
            rows_of<T>(d_q), rows_of<T>(d_out), floats_at(lse), lse.ld, rows_of<T>(q),
            rows_of<T>(k), rows_of<T>(v), delta, s.time, rep, s.head_dim, scale);
    LAUNCHED();
    plain_keys_kernel<T>
        <<<dim3((unsigned)s.time, (unsigned)s.kv_heads, (unsigned)s.batch), 32, 0, d->stream>>>(
            rows_of<T>(d_k), rows_of<T>(d_v), rows_of<T>(d_out), floats_at(lse), lse.ld,
            rows_of<T>(q), rows_of<T>(k), rows_of<T>(v), delta, s.time, rep, s.head_dim, scale);
    LAUNCHED();
}

static void attention_backward(struct backend *be, struct view d_q, struct view d_k,
                               struct view d_v, struct view d_out, struct view out, struct view lse,
                               struct view q, struct view k, struct view v,
                               struct attention_shape s)
{
    struct device *d = device_of(be);
    const struct view used[] = { d_q, d_k, d_v, d_out, q, k, v };
    if (!s.batch || !s.time || !s.q_heads) return;
    if (cudnn_backward(d, d_q, d_k, d_v, d_out, out, lse, q, k, v, s)) return;
    const float *delta =
        d->half ? delta_of<bf16>(d, d_out, out, s) : delta_of<float>(d, d_out, out, s);
    if (d->half && flash_takes(s, used, 7))
        flash_backward(d, d_q, d_k, d_v, d_out, lse, q, k, v, s, delta);
    else if (d->half)
        backward_typed<bf16>(d, d_q, d_k, d_v, d_out, lse, q, k, v, s, delta);
    else
        backward_typed<float>(d, d_q, d_k, d_v, d_out, lse, q, k, v, s, delta);
}

void attention_install(struct backend *be)
{
    be->attention_forward = attention_forward;
    be->attention_backward = attention_backward;
}
