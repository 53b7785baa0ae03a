/*
 * The embedding, and sums over rows, without atomics: the embedding's gradient sorts the tokens by
 * id first (a stable radix sort) and lets one block add up each id's rows.
 */
#include "trainer/cuda/device.h"

#include <cub/device/device_radix_sort.cuh>

/* ---- column sums -------------------------------------------------------------------------- */

enum { SLICES = 128, TOGETHER = 8 /* columns of a block */ };

/* One thread a column and slice of rows; the slices are added in pairs, always the same ones. */
template <typename T>
__global__ void column_sums_kernel(float *sums, const T *x, int ld, int rows, int cols, bool add)
{
    __shared__ float part[SLICES][TOGETHER + 1];
    int c = blockIdx.x * TOGETHER + threadIdx.x, slice = threadIdx.y;
    float sum = 0;
    if (c < cols) {
#pragma unroll 8
        for (int r = slice; r < rows; r += SLICES) sum += to_float(x[(size_t)r * ld + c]);
    }
    part[slice][threadIdx.x] = sum;
    for (int half = SLICES / 2; half; half /= 2) {
        __syncthreads();
        if (slice < half) part[slice][threadIdx.x] += part[slice + half][threadIdx.x];
    }
    if (slice || c >= cols) return;
    sums[c] = (add ? sums[c] : 0) + part[0][threadIdx.x];
}

template <typename T>
static void column_sums_typed(struct device *d, float *sums, const T *x, int ld, int rows, int cols,
                              bool add)
{
    column_sums_kernel<<<blocks_for((size_t)cols, TOGETHER), dim3(TOGETHER, SLICES), 0,
                         d->stream>>>(sums, x, ld, rows, cols, add);
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

void rows_install(struct backend *be)
{
    be->embed_forward = embed_forward;
    be->embed_backward = embed_backward;
}
