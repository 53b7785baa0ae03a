/*
 * RMSNorm, one warp a row, eight elements a lane and turn. The gradient of the gains is a sum over
 * rows: partial sums by block, then a second kernel in a fixed order.
 */
#include "trainer/cuda/device.h"

/* Of the backward kernel: threads of a block, at most; and rows that a group takes at once. */
enum { WARPS = 4, MOST_THREADS = 256, TOGETHER = 4, BLOCKS_EACH = 2 };

/* Eight elements from column c, those at C and beyond as zero. */
template <typename T> __device__ static inline void load_row(float x[8], const T *row, int c, int C)
{
    load8(x, row + c);
    if (c + 8 > C)
        for (int j = 0; j < 8; j++)
            if (c + j >= C) x[j] = 0;
}

/* A lane's share of a row: CHUNKS pieces of eight elements, those of piece k from column
 * 256 k + 8 lane on, kept in registers so that memory is read once. Columns at C and beyond are
 * zero. */
template <int CHUNKS> struct pieces {
    float x[CHUNKS][8];

    template <typename T> __device__ void load(const T *row, int C)
    {
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            int c = 256 * k + 8 * threadIdx.x;
            if (c < C)
                load_row(x[k], row, c, C);
            else
                for (int j = 0; j < 8; j++) x[k][j] = 0;
        }
    }

    template <typename T> __device__ void store(T *row, int C) const
    {
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            int c = 256 * k + 8 * threadIdx.x;
            if (c < C) store8(row + c, x[k]);
        }
    }
};

template <typename T, int CHUNKS>
__global__ void __launch_bounds__(32 * WARPS)
    rmsnorm_forward_kernel(T *out, int out_ld, float *rstd, const T *inp, int ld, const float *gain,
                           int rows, int C, float epsilon)
{
    int r = blockIdx.x * WARPS + threadIdx.y;
    if (r >= rows) return;
    pieces<CHUNKS> x, g;
    float sum = 0;
    x.load(inp + (size_t)r * ld, C);
    g.load(gain, C);
#pragma unroll
    for (int k = 0; k < CHUNKS; k++)
        for (int j = 0; j < 8; j++) sum += x.x[k][j] * x.x[k][j];
    float scale = rsqrtf(warp_sum(sum) / C + epsilon);
    if (!threadIdx.x) rstd[r] = scale;
#pragma unroll
    for (int k = 0; k < CHUNKS; k++)
        for (int j = 0; j < 8; j++) x.x[k][j] *= scale * g.x[k][j];
    x.store(out + (size_t)r * out_ld, C);
}

template <typename T>
__global__ void long_forward_kernel(T *out, int out_ld, float *rstd, const T *inp, int ld,
                                    const float *gain, int rows, int C, float epsilon)
{
    int r = blockIdx.x * WARPS + threadIdx.y, lane = threadIdx.x;
    if (r >= rows) return;
    const T *row = inp + (size_t)r * ld;
    float x[8], g[8], sum = 0;
    for (int c = lane * 8; c < C; c += 256) {
        load_row(x, row, c, C);
        for (int j = 0; j < 8; j++) sum += x[j] * x[j];
    }
    float scale = rsqrtf(warp_sum(sum) / C + epsilon);
    if (!lane) rstd[r] = scale;
    for (int c = lane * 8; c < C; c += 256) {
        load_row(x, row, c, C);
        load_row(g, gain, c, C);
        for (int j = 0; j < 8; j++) x[j] *= scale * g[j];
        store8(out + (size_t)r * out_ld + c, x);
    }
}

template <typename T>
static void rmsnorm_forward_typed(struct device *d, struct view out, struct view rstd,
                                  struct view inp, struct view gain, float epsilon)
{
    dim3 threads(32, WARPS);
    int blocks = blocks_for((size_t)inp.rows, WARPS);
    auto launch = [&](auto kernel) {
        kernel<<<blocks, threads, 0, d->stream>>>(acts_at<T>(out), out.ld, floats_at(rstd),
                                                  acts_at<T>(inp), inp.ld, floats_at(gain),
                                                  inp.rows, inp.cols, epsilon);
        LAUNCHED();
    };
    switch (blocks_for((size_t)inp.cols, 256)) {
    case 1: launch(rmsnorm_forward_kernel<T, 1>); break;
    case 2: launch(rmsnorm_forward_kernel<T, 2>); break;
    case 3: launch(rmsnorm_forward_kernel<T, 3>); break;
    case 4: launch(rmsnorm_forward_kernel<T, 4>); break;
    case 5:
    case 6: launch(rmsnorm_forward_kernel<T, 6>); break;
    case 7:
    case 8: launch(rmsnorm_forward_kernel<T, 8>); break;
    default: launch(long_forward_kernel<T>);
    }
}

static void rmsnorm_forward(struct backend *be, struct view out, struct view rstd, struct view inp,
                            struct view gain, double epsilon)
{
    struct device *d = device_of(be);
    if (!inp.rows) return;
    if (d->half)
        rmsnorm_forward_typed<bf16>(d, out, rstd, inp, gain, (float)epsilon);
    else
        rmsnorm_forward_typed<float>(d, out, rstd, inp, gain, (float)epsilon);
}

/* What the backward kernels take. With s = rstd, y = x s gain:
 *     d_x += s (gain dy - x s^2 mean(gain dy x)),   d_gain = sum over rows of dy x s.
 * Each warp walks its share of the rows; `partial` gets one row of d_gain a block. */
template <typename T> struct norm_back {
    T *d_inp, *out;
    const T *d_out, *inp;
    const float *gain, *rstd;
    float *partial;
    int d_inp_ld, out_ld, d_out_ld, ld, rows, C;
};

/* Eight elements as they lie in memory, so that they wait in few registers. */
template <typename T> struct eight {
    uint4 word[sizeof(T) / 2];

    __device__ void load(const T *p, bool there)
    {
#pragma unroll
        for (int i = 0; i < (int)sizeof(T) / 2; i++)
            word[i] = there ? ((const uint4 *)p)[i] : make_uint4(0, 0, 0, 0);
    }

    /* Zeros from element n on. */
    __device__ void cut(int n)
    {
        T *x = (T *)word;
#pragma unroll
        for (int j = 0; j < 8; j++)
            if (j >= n) put(&x[j], 0);
    }

    __device__ void get(float out[8]) const { load8(out, (const T *)word); }
};

/* A thread owns eight columns; blockDim.x of them make a row, and a group takes TOGETHER rows at
 * once, so that many loads are under way and the sums along the rows wait for one barrier. */
template <typename T>
__global__ void __launch_bounds__(MOST_THREADS, BLOCKS_EACH)
    rmsnorm_backward_kernel(struct norm_back<T> a)
{
    __shared__ float part[2][TOGETHER][MOST_THREADS / 32], columns[MOST_THREADS][9];
    int c = threadIdx.x * 8, thread = threadIdx.y * blockDim.x + threadIdx.x, left = a.C - c,
        row_warps = blockDim.x / 32, stride = gridDim.x * blockDim.y * TOGETHER;
    float gain[8], sum[8] = {}, p[8], q[8], out[8];
    for (int j = 0; j < 8; j++) gain[j] = j < left ? a.gain[c + j] : 0;
    for (int first = 0, turn = 0; first < a.rows; first += stride, turn ^= 1) {
        int r0 = first + (blockIdx.x * blockDim.y + threadIdx.y) * TOGETHER;
        eight<T> x[TOGETHER], dy[TOGETHER], dx[TOGETHER];
        float s[TOGETHER];
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            size_t r = r0 + i;
            bool there = left > 0 && r0 + i < a.rows;
            x[i].load(a.inp + r * a.ld + c, there);
            dy[i].load(a.d_out + r * a.d_out_ld + c, there);
            dx[i].load(a.d_inp + r * a.d_inp_ld + c, there);
            s[i] = r0 + i < a.rows ? a.rstd[r] : 0;
        }
        if (left < 8) /* padding may hold anything */
            for (int i = 0; i < TOGETHER; i++) x[i].cut(left), dy[i].cut(left);
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            float along = 0;
            x[i].get(p), dy[i].get(q);
#pragma unroll
            for (int j = 0; j < 8; j++) {
                along += p[j] * q[j] * gain[j];
                sum[j] += p[j] * q[j] * s[i];
            }
            along = warp_sum(along);
            if (thread % 32 == 0) part[turn][i][thread / 32] = along;
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            size_t r = r0 + i;
            float along = 0;
            for (int w = 0; w < row_warps; w++) along += part[turn][i][threadIdx.y * row_warps + w];
            along *= s[i] * s[i] / a.C;
            if (left <= 0 || r0 + i >= a.rows) continue;
            x[i].get(p), dy[i].get(q), dx[i].get(out);
#pragma unroll
            for (int j = 0; j < 8; j++) out[j] += s[i] * (gain[j] * q[j] - p[j] * along);
            store8(a.d_inp + r * a.d_inp_ld + c, out);
            if (!a.out) continue;
#pragma unroll
            for (int j = 0; j < 8; j++) out[j] = p[j] * s[i] * gain[j];
            store8(a.out + r * a.out_ld + c, out);
        }
    }
    for (int j = 0; j < 8; j++) columns[thread][j] = sum[j];
    __syncthreads();
    if (threadIdx.y) return;
    for (int j = 0; j < 8 && j < left; j++) {
        float all = 0;
        for (int y = 0; y < (int)blockDim.y; y++) all += columns[y * blockDim.x + threadIdx.x][j];
        a.partial[(size_t)blockIdx.x * a.C + c + j] = all;
    }
}

/* The same for long rows: d_gain is kept in shared memory, column c = 256 k + 8 lane + j at
 * 256 k + 32 j + lane, so that lanes meet in no bank. */
template <typename T> __global__ void long_backward_kernel(struct norm_back<T> a)
{
    extern __shared__ float shared[];
    int lane = threadIdx.x, C = a.C, padded = (C + 255) / 256 * 256;
    float *mine = shared + (size_t)threadIdx.y * padded, x[8], g[8], dy[8], dx[8];
    for (int c = lane; c < padded; c += 32) mine[c] = 0;
    __syncwarp();
    for (int r = blockIdx.x * WARPS + threadIdx.y; r < a.rows; r += gridDim.x * WARPS) {
        const T *inp = a.inp + (size_t)r * a.ld, *d_out = a.d_out + (size_t)r * a.d_out_ld;
        T *d_inp = a.d_inp + (size_t)r * a.d_inp_ld;
        float along = 0, s = a.rstd[r];
        for (int c = lane * 8; c < C; c += 256) {
            load_row(x, inp, c, C), load_row(dy, d_out, c, C), load_row(g, a.gain, c, C);
            for (int j = 0; j < 8; j++) {
                along += x[j] * dy[j] * g[j];
                mine[c / 256 * 256 + j * 32 + lane] += dy[j] * x[j] * s;
            }
        }
        along = warp_sum(along) * s * s / C;
        for (int c = lane * 8; c < C; c += 256) {
            load_row(x, inp, c, C), load_row(dy, d_out, c, C), load_row(g, a.gain, c, C);
            load8(dx, d_inp + c);
            for (int j = 0; j < 8; j++) dx[j] += s * (g[j] * dy[j] - x[j] * along);
            store8(d_inp + c, dx);
            if (!a.out) continue;
            for (int j = 0; j < 8; j++) x[j] *= s * g[j];
            store8(a.out + (size_t)r * a.out_ld + c, x);
        }
    }
    __syncthreads();
    for (int c = threadIdx.y * 32 + lane; c < C; c += 32 * WARPS) {
        float sum = 0;
        for (int w = 0; w < WARPS; w++)
            sum += shared[(size_t)w * padded + c / 256 * 256 + c % 8 * 32 + c / 8 % 32];
        a.partial[(size_t)blockIdx.x * C + c] = sum;
    }
}

template <typename T>
static void rmsnorm_backward_typed(struct device *d, struct view d_inp, struct view d_gain,
                                   struct view out, struct view d_out, struct view inp,
                                   struct view gain, struct view rstd, bool add)
{
    int C = inp.cols, wide = round_up(blocks_for((size_t)C, 8), 32);
    bool held = wide <= MOST_THREADS;
    dim3 threads(held ? wide : 32, held ? MOST_THREADS / wide : WARPS);
    int blocks = blocks_for((size_t)inp.rows, held ? threads.y * TOGETHER : WARPS);
    if (blocks > d->multiprocessors * BLOCKS_EACH) blocks = d->multiprocessors * BLOCKS_EACH;
    if (!blocks) return;
    struct norm_back<T> a = {
        acts_at<T>(d_inp), out.block ? acts_at<T>(out) : (T *)NULL, acts_at<T>(d_out),
            acts_at<T>(inp), floats_at(gain), floats_at(rstd),
            (float *)device_scratch(d, (size_t)blocks *C * sizeof(float)), d_inp.ld, out.ld,
            d_out.ld, inp.ld, inp.rows, C
    };
    size_t shared = (size_t)WARPS * round_up(C, 256) * sizeof(float);
    if (held) {
        rmsnorm_backward_kernel<T><<<blocks, threads, 0, d->stream>>>(a);
    } else {
        CUDA(cudaFuncSetAttribute(long_backward_kernel<T>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
        long_backward_kernel<T><<<blocks, threads, shared, d->stream>>>(a);
    }
    LAUNCHED();
    column_sums(d, floats_at(d_gain), a.partial, C, blocks, C, add);
}

static void rmsnorm_backward(struct backend *be, struct view d_inp, struct view d_gain,
                             struct view out, struct view d_out, struct view inp, struct view gain,
                             struct view rstd, bool add)
{
    struct device *d = device_of(be);
    if (d->half)
        rmsnorm_backward_typed<bf16>(d, d_inp, d_gain, out, d_out, inp, gain, rstd, add);
    else
        rmsnorm_backward_typed<float>(d, d_inp, d_gain, out, d_out, inp, gain, rstd, add);
}

void norm_install(struct backend *be)
{
    be->rmsnorm_forward = rmsnorm_forward;
    be->rmsnorm_backward = rmsnorm_backward;
}
