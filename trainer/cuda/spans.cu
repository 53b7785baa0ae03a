/*
 * Attention by spans (backend.h): a block of warps for each query row of each head. Every warp walks its
 * share of the keys with a softmax of its own; the shares are joined in the order of the warps.
 */
#include "trainer/cuda/device.h"

enum { WARPS = 8, MOST_PER_LANE = 8 }; /* head_dim <= 256 */

template <typename T> struct matrix {
    T *p;
    int ld;
};

template <typename T> static matrix<T> matrix_of(struct view v) { return { acts_at<T>(v), v.ld }; }

/* owner[row] = the span that the row lies in */
__global__ void owner_kernel(int32_t *owner, const int32_t *spans)
{
    const int32_t *span = spans + (size_t)blockIdx.x * SPAN_MEMBERS;
    for (int r = threadIdx.x; r < span[SPAN_ROWS]; r += blockDim.x)
        owner[span[SPAN_ROW] + r] = blockIdx.x;
}

/* What a warp has seen: the largest score, the sum of exponentials below it, the values so weighted. */
struct share_seen {
    float top, sum, value[MOST_PER_LANE];
};

template <typename T>
__device__ static void walk(share_seen *s, const T *q, const T *k, int k_ld, const T *v, int v_ld,
                            const int32_t *span, int sees, int D, float scale)
{
    float x[MOST_PER_LANE];
    int lane = threadIdx.x % 32, past = span[SPAN_PAST];
    for (int i = 0, c = lane; c < D; c += 32, i++) x[i] = to_float(q[c]);
    for (int j = threadIdx.x / 32; j < sees; j += WARPS) {
        size_t row = j < past ? span[SPAN_PAST_AT] + j : span[SPAN_OWN_AT] + j - past;
        const T *key = k + row * k_ld, *value = v + row * v_ld;
        float score = 0;
        for (int i = 0, c = lane; c < D; c += 32, i++) score += x[i] * to_float(key[c]);
        score = warp_sum(score) * scale;
        float top = fmaxf(s->top, score), fade = expf(s->top - top), w = expf(score - top);
        for (int i = 0, c = lane; c < D; c += 32, i++)
            s->value[i] = s->value[i] * fade + w * to_float(value[c]);
        s->sum = s->sum * fade + w;
        s->top = top;
    }
}

/* grid (N, H), WARPS warps; shared: WARPS * (D + 2) floats */
template <typename T>
__global__ void spans_kernel(matrix<T> out, matrix<T> q, matrix<T> k, matrix<T> v,
                             const int32_t *spans, const int32_t *owner, int rep, int D,
                             float scale)
{
    extern __shared__ float shares[];
    int n = blockIdx.x, h = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int32_t *span = spans + (size_t)owner[n] * SPAN_MEMBERS;
    int sees = span[SPAN_PAST] + n - span[SPAN_ROW] + 1;
    share_seen s = { -INFINITY, 0, {} };
    walk(&s, q.p + (size_t)n * q.ld + h * D, k.p + h / rep * D, k.ld, v.p + h / rep * D, v.ld, span,
         sees, D, scale);
    float *mine = shares + warp * (D + 2);
    for (int i = 0, c = lane; c < D; c += 32, i++) mine[c] = s.value[i];
    if (!lane) mine[D] = s.top, mine[D + 1] = s.sum;
    __syncthreads();
    float top = -INFINITY, sum = 0;
    for (int w = 0; w < WARPS; w++) top = fmaxf(top, shares[w * (D + 2) + D]);
    for (int w = 0; w < WARPS; w++)
        sum += shares[w * (D + 2) + D + 1] * expf(shares[w * (D + 2) + D] - top);
    for (int c = threadIdx.x; c < D; c += blockDim.x) {
        float value = 0;
        for (int w = 0; w < WARPS; w++)
            value += shares[w * (D + 2) + c] * expf(shares[w * (D + 2) + D] - top);
        put(&out.p[(size_t)n * out.ld + h * D + c], value / sum);
    }
}

template <typename T>
static void run(struct device *d, struct view out, struct view q, struct view k, struct view v,
                struct view spans, struct attention_shape s)
{
    int32_t *owner = (int32_t *)device_scratch(d, (size_t)out.rows * sizeof *owner);
    owner_kernel<<<(unsigned)spans.rows, 128, 0, d->stream>>>(owner, ids_at(spans));
    LAUNCHED();
    size_t shared = WARPS * (size_t)(s.head_dim + 2) * sizeof(float);
    spans_kernel<T><<<dim3((unsigned)out.rows, (unsigned)s.q_heads), WARPS * 32, shared, d->stream>>>(
        matrix_of<T>(out), matrix_of<T>(q), matrix_of<T>(k), matrix_of<T>(v), ids_at(spans), owner,
        s.q_heads / s.kv_heads, s.head_dim, 1 / sqrtf((float)s.head_dim));
    LAUNCHED();
}

static void attention_spans(struct backend *be, struct view out, struct view q, struct view k,
                            struct view v, struct view spans, struct attention_shape s)
{
    struct device *d = device_of(be);
    if (!out.rows || !s.q_heads) return;
    if (d->half)
        run<bf16>(d, out, q, k, v, spans, s);
    else
        run<float>(d, out, q, k, v, spans, s);
}

void spans_install(struct backend *be) { be->attention_spans = attention_spans; }
