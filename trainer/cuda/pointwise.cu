/* Rope and SwiGLU: one pass over their operands each, eight elements a thread. */
#include "trainer/cuda/device.h"

/* x (N, heads*D): one thread turns eight pairs (i, i + D/2), or one pair when D/2 is no multiple of
 * eight. table (T, D): D/2 cosines, D/2 sines. */
template <typename T, int WIDE>
__global__ void rope_kernel(T *x, int ld, const float *table, int table_ld, int rows, int time,
                            int heads, int D, float direction)
{
    int per_head = D / 2 / WIDE;
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)rows * heads * per_head) return;
    int at = (int)(i % per_head) * WIDE, h = (int)(i / per_head % heads);
    size_t n = i / per_head / heads;
    T *p = x + n * ld + (size_t)h * D + at;
    const float *cosine = table + (n % time) * table_ld + at, *sine = cosine + D / 2;
    float a[WIDE], b[WIDE];
    if constexpr (WIDE == 8) {
        load8(a, p);
        load8(b, p + D / 2);
    } else {
        a[0] = to_float(p[0]), b[0] = to_float(p[D / 2]);
    }
#pragma unroll
    for (int j = 0; j < WIDE; j++) {
        float c = cosine[j], s = sine[j] * direction, left = a[j], right = b[j];
        a[j] = left * c - right * s;
        b[j] = right * c + left * s;
    }
    if constexpr (WIDE == 8) {
        store8(p, a);
        store8(p + D / 2, b);
    } else {
        put(p, a[0]), put(p + D / 2, b[0]);
    }
}

template <typename T>
static void rope_typed(struct device *d, struct view x, struct view table, int D, int direction)
{
    int heads = x.cols / D, wide = D % 16 || x.at % 8 ? 1 : 8;
    size_t n = (size_t)x.rows * heads * (D / 2 / wide);
    if (!n) return;
    if (wide == 8)
        rope_kernel<T, 8><<<blocks_for(n, 256), 256, 0, d->stream>>>(
            acts_at<T>(x), x.ld, floats_at(table), table.ld, x.rows, table.rows, heads, D,
            (float)direction);
    else
        rope_kernel<T, 1><<<blocks_for(n, 256), 256, 0, d->stream>>>(
            acts_at<T>(x), x.ld, floats_at(table), table.ld, x.rows, table.rows, heads, D,
            (float)direction);
    LAUNCHED();
}

static void rope(struct backend *be, struct view x, struct view table, int head_dim, int direction)
{
    struct device *d = device_of(be);
    if (d->half)
        rope_typed<bf16>(d, x, table, head_dim, direction);
    else
        rope_typed<float>(d, x, table, head_dim, direction);
}

__device__ static inline float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

template <typename T>
__global__ void swiglu_forward_kernel(T *out, int out_ld, const T *gate, int gate_ld, const T *up,
                                      int up_ld, int rows, int groups)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)rows * groups) return;
    size_t r = i / groups, c = i % groups * 8;
    float g[8], u[8];
    load8(g, gate + r * gate_ld + c);
    load8(u, up + r * up_ld + c);
#pragma unroll
    for (int j = 0; j < 8; j++) g[j] = g[j] * sigmoid(g[j]) * u[j];
    store8(out + r * out_ld + c, g);
}

/* silu'(g) = s (1 + g (1 - s)), s = sigmoid(g). REMAKE: d_out becomes the forward's out. */
template <typename T, bool REMAKE>
__global__ void swiglu_backward_kernel(T *d_out, int out_ld, T *gate, int gate_ld, T *up, int up_ld,
                                       int rows, int groups)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)rows * groups) return;
    size_t r = i / groups, c = i % groups * 8;
    float g[8], u[8], y[8];
    load8(g, gate + r * gate_ld + c);
    load8(u, up + r * up_ld + c);
    load8(y, d_out + r * out_ld + c);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        float s = sigmoid(g[j]), silu = g[j] * s, dy = y[j];
        y[j] = silu * u[j];
        g[j] = dy * u[j] * s * (1 + g[j] * (1 - s));
        u[j] = dy * silu;
    }
    store8(gate + r * gate_ld + c, g);
    store8(up + r * up_ld + c, u);
    if constexpr (REMAKE) store8(d_out + r * out_ld + c, y);
}

enum swiglu_pass { FORWARD, BACKWARD, GRADIENT };

template <typename T>
static void swiglu_typed(struct device *d, struct view out, struct view gate, struct view up,
                         enum swiglu_pass pass)
{
    int groups = blocks_for((size_t)out.cols, 8); /* the rest of the last eight is padding */
    size_t n = (size_t)out.rows * groups;
    if (!n) return;
    auto launch = [&](auto kernel) {
        kernel<<<blocks_for(n, 256), 256, 0, d->stream>>>(acts_at<T>(out), out.ld, acts_at<T>(gate),
                                                          gate.ld, acts_at<T>(up), up.ld, out.rows,
                                                          groups);
        LAUNCHED();
    };
    switch (pass) {
    case FORWARD: launch(swiglu_forward_kernel<T>); break;
    case BACKWARD: launch(swiglu_backward_kernel<T, true>); break;
    case GRADIENT: launch(swiglu_backward_kernel<T, false>); break;
    }
}

static void swiglu(struct backend *be, struct view out, struct view gate, struct view up,
                   enum swiglu_pass pass)
{
    struct device *d = device_of(be);
    if (d->half)
        swiglu_typed<bf16>(d, out, gate, up, pass);
    else
        swiglu_typed<float>(d, out, gate, up, pass);
}

static void swiglu_forward(struct backend *be, struct view out, struct view gate, struct view up)
{
    swiglu(be, out, gate, up, FORWARD);
}

static void swiglu_backward(struct backend *be, struct view d_out, struct view gate, struct view up)
{
    swiglu(be, d_out, gate, up, BACKWARD);
}

static void swiglu_gradient(struct backend *be, struct view d_out, struct view gate, struct view up)
{
    swiglu(be, d_out, gate, up, GRADIENT);
}

void pointwise_install(struct backend *be)
{
    be->rope = rope;
    be->swiglu_forward = swiglu_forward;
    be->swiglu_backward = swiglu_backward;
    be->swiglu_gradient = swiglu_gradient;
}
