/*
 * Operations on rows: embedding and RMSNorm, one warp a row, eight elements a lane.
 *
 * Sums over rows (gradients of gains and of the embedding) are taken without atomics: partial sums
 * by block, then a second kernel in a fixed order; the embedding's gradient sorts the tokens by id
 * first (a stable radix sort) and lets one block add up each id's rows.
 */
#include "trainer/cuda/device.h"

#include <cub/device/device_radix_sort.cuh>

enum { WARPS = 4 };

/* ---- column sums -------------------------------------------------------------------------- */

/* One thread a column and slice of rows; the 32 slices are added in order. */
template <typename T>
__global__ void column_sums_kernel(float *sums, const T *x, int ld, int rows, int cols, bool add)
{
    __shared__ float part[32][33];
    int c = blockIdx.x * 32 + threadIdx.x;
    float sum = 0;
    if (c < cols)
        for (int r = threadIdx.y; r < rows; r += 32) sum += to_float(x[(size_t)r * ld + c]);
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || c >= cols) return;
    for (int s = 1; s < 32; s++) sum += part[s][threadIdx.x];
    sums[c] = add ? sums[c] + sum : sum;
}

template <typename T>
static void column_sums_typed(struct device *d, float *sums, const T *x, int ld, int rows, int cols,
                              bool add)
{
    column_sums_kernel<<<blocks_for((size_t)cols, 32), dim3(32, 32), 0, d->stream>>>(
        sums, x, ld, rows, cols, add);
    LAUNCHED();
}

void column_sums(struct device *d, float *sums, const float *x, int ld, int rows, int cols,
                 bool add)
{
    column_sums_typed(d, sums, x, ld, rows, cols, add);
}

void column_sums(struct device *d, float *sums, const bf16 *x, int ld, int rows, int cols, bool add)
{
    column_sums_typed(d, sums, x, ld, rows, cols, add);
}

/* ---- embedding ------------------------------------------------------------------------------ */

template <typename T>
__global__ void embed_forward_kernel(T *out, int ld, const T *table, int table_ld,
                                     const int32_t *ids, int rows, int groups)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)rows * groups) return;
    size_t r = i / groups, c = i % groups * 8;
    float x[8];
    load8(x, table + (size_t)ids[r] * table_ld + c);
    store8(out + r * ld + c, x);
}

static void embed_forward(struct backend *be, struct view out, struct view table, struct view ids)
{
    struct device *d = device_of(be);
    int groups = blocks_for((size_t)out.cols, 8);
    size_t n = (size_t)out.rows * groups;
    if (d->half)
        embed_forward_kernel<<<blocks_for(n, 256), 256, 0, d->stream>>>(
            acts_at<bf16>(out), out.ld, brief_at<bf16>(table), table.ld, ids_at(ids), out.rows,
            groups);
    else
        embed_forward_kernel<<<blocks_for(n, 256), 256, 0, d->stream>>>(
            acts_at<float>(out), out.ld, (const float *)floats_at(table), table.ld, ids_at(ids),
            out.rows, groups);
    LAUNCHED();
}

__global__ void count_kernel(int32_t *out, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = i;
}

/* Block i adds up the run of equal ids that starts at place i, if one does. */
template <typename T>
__global__ void embed_backward_kernel(float *d_table, int table_ld, const T *d_out, int ld,
                                      const int32_t *id, const int32_t *row, int n, int cols)
{
    int i = blockIdx.x, mine = id[i];
    if (i && id[i - 1] == mine) return;
    int end = i + 1;
    while (end < n && id[end] == mine) end++;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) {
        float sum = 0;
#pragma unroll 8
        for (int k = i; k < end; k++) sum += to_float(d_out[(size_t)row[k] * ld + c]);
        d_table[(size_t)mine * table_ld + c] += sum;
    }
}

static void embed_backward(struct backend *be, struct view d_table, struct view d_out,
                           struct view ids)
{
    struct device *d = device_of(be);
    int n = d_out.rows;
    size_t sort = 0, array = (size_t)round_up(n, 64) * 4;
    cub::DeviceRadixSort::SortPairs(nullptr, sort, (int32_t *)0, (int32_t *)0, (int32_t *)0,
                                    (int32_t *)0, n, 0, 32, d->stream);
    char *s = (char *)device_scratch(d, 3 * array + sort);
    int32_t *place = (int32_t *)s, *id = (int32_t *)(s + array), *row = (int32_t *)(s + 2 * array);
    count_kernel<<<blocks_for((size_t)n, 256), 256, 0, d->stream>>>(place, n);
    LAUNCHED();
    CUDA(cub::DeviceRadixSort::SortPairs(s + 3 * array, sort, ids_at(ids), id, place, row, n, 0, 32,
                                         d->stream));
    int threads = d_out.cols < 256 ? round_up(d_out.cols, 32) : 256;
    if (d->half)
        embed_backward_kernel<<<n, threads, 0, d->stream>>>(
            floats_at(d_table), d_table.ld, acts_at<bf16>(d_out), d_out.ld, id, row, n, d_out.cols);
    else
        embed_backward_kernel<<<n, threads, 0, d->stream>>>(floats_at(d_table), d_table.ld,
                                                            acts_at<float>(d_out), d_out.ld, id,
                                                            row, n, d_out.cols);
    LAUNCHED();
}

/* ---- rmsnorm ----------------------------------------------------------------------------------
 */

/* Eight elements from column c, those at C and beyond as zero. */
template <typename T> __device__ static inline void load_row(float x[8], const T *row, int c, int C)
{
    load8(x, row + c);
    if (c + 8 > C)
        for (int j = 0; j < 8; j++)
            if (c + j >= C) x[j] = 0;
}

template <typename T>
__global__ void rmsnorm_forward_kernel(T *out, int out_ld, float *rstd, const T *inp, int ld,
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

static void rmsnorm_forward(struct backend *be, struct view out, struct view rstd, struct view inp,
                            struct view gain, double epsilon)
{
    struct device *d = device_of(be);
    dim3 threads(32, WARPS);
    int blocks = blocks_for((size_t)inp.rows, WARPS);
    if (!blocks) return;
    if (d->half)
        rmsnorm_forward_kernel<<<blocks, threads, 0, d->stream>>>(
            acts_at<bf16>(out), out.ld, floats_at(rstd), acts_at<bf16>(inp), inp.ld,
            floats_at(gain), inp.rows, inp.cols, (float)epsilon);
    else
        rmsnorm_forward_kernel<<<blocks, threads, 0, d->stream>>>(
            acts_at<float>(out), out.ld, floats_at(rstd), acts_at<float>(inp), inp.ld,
            floats_at(gain), inp.rows, inp.cols, (float)epsilon);
    LAUNCHED();
}

/* With s = rstd, y = x s gain:
 *     d_x += s (gain dy - x s^2 mean(gain dy x)),   d_gain = sum over rows of dy x s.
 * Each warp walks its share of the rows and keeps d_gain in shared memory of its own, column
 * c = 256 k + 8 lane + j at 256 k + 32 j + lane, so that lanes meet in no bank. */
template <typename T>
__global__ void rmsnorm_backward_kernel(T *d_inp, int d_inp_ld, float *partial, T *out, int out_ld,
                                        const T *d_out, int d_out_ld, const T *inp, int ld,
                                        const float *gain, const float *rstd, int rows, int C)
{
    extern __shared__ float shared[];
    int lane = threadIdx.x, padded = (C + 255) / 256 * 256;
    float *mine = shared + (size_t)threadIdx.y * padded, x[8], g[8], dy[8], dx[8];
    for (int c = lane; c < padded; c += 32) mine[c] = 0;
    __syncwarp();
    for (int r = blockIdx.x * WARPS + threadIdx.y; r < rows; r += gridDim.x * WARPS) {
        float along = 0, s = rstd[r];
        for (int c = lane * 8; c < C; c += 256) {
            load_row(x, inp + (size_t)r * ld, c, C);
            load_row(dy, d_out + (size_t)r * d_out_ld, c, C);
            load_row(g, gain, c, C);
            for (int j = 0; j < 8; j++) {
                along += x[j] * dy[j] * g[j];
                mine[c / 256 * 256 + j * 32 + lane] += dy[j] * x[j] * s;
            }
        }
        along = warp_sum(along) * s * s / C;
        for (int c = lane * 8; c < C; c += 256) {
            load_row(x, inp + (size_t)r * ld, c, C);
            load_row(dy, d_out + (size_t)r * d_out_ld, c, C);
            load_row(g, gain, c, C);
            load8(dx, d_inp + (size_t)r * d_inp_ld + c);
            for (int j = 0; j < 8; j++) dx[j] += s * (g[j] * dy[j] - x[j] * along);
            store8(d_inp + (size_t)r * d_inp_ld + c, dx);
            if (!out) continue;
            for (int j = 0; j < 8; j++) x[j] *= s * g[j];
            store8(out + (size_t)r * out_ld + c, x);
        }
    }
    __syncthreads();
    for (int c = threadIdx.y * 32 + lane; c < C; c += 32 * WARPS) {
        float sum = 0;
        for (int w = 0; w < WARPS; w++)
            sum += shared[(size_t)w * padded + c / 256 * 256 + c % 8 * 32 + c / 8 % 32];
        partial[(size_t)blockIdx.x * C + c] = sum;
    }
}

template <typename T>
static void rmsnorm_backward_typed(struct device *d, struct view d_inp, struct view d_gain,
                                   struct view out, struct view d_out, struct view inp,
                                   struct view gain, struct view rstd, bool add)
{
    int C = inp.cols, blocks = blocks_for((size_t)inp.rows, WARPS);
    if (blocks > d->multiprocessors * 4) blocks = d->multiprocessors * 4;
    if (!blocks) return;
    size_t shared = (size_t)WARPS * round_up(C, 256) * sizeof(float);
    if (shared > 48 * 1024)
        CUDA(cudaFuncSetAttribute(rmsnorm_backward_kernel<T>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    float *partial = (float *)device_scratch(d, (size_t)blocks * C * sizeof(float));
    rmsnorm_backward_kernel<T><<<blocks, dim3(32, WARPS), shared, d->stream>>>(
        acts_at<T>(d_inp), d_inp.ld, partial, out.block ? acts_at<T>(out) : (T *)NULL, out.ld,
        acts_at<T>(d_out), d_out.ld, acts_at<T>(inp), inp.ld, floats_at(gain), floats_at(rstd),
        inp.rows, C);
    LAUNCHED();
    column_sums(d, floats_at(d_gain), partial, C, blocks, C, add);
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

void rows_install(struct backend *be)
{
    be->embed_forward = embed_forward;
    be->embed_backward = embed_backward;
    be->rmsnorm_forward = rmsnorm_forward;
    be->rmsnorm_backward = rmsnorm_backward;
}
