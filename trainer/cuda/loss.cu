/* Cross-entropy and its gradient in place: one block a row, the row is read twice and written once.
 * The second reading comes out of L2 for any vocabulary in use. */
#include "trainer/cuda/device.h"

enum { THREADS = 512 };

/* The block's largest value or sum, the same in every thread. */
__device__ static float block_max(float x, float *part)
{
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    x = warp_max(threadIdx.x % 32 < THREADS / 32 ? part[threadIdx.x % 32] : -INFINITY);
    __syncthreads();
    return x;
}

__device__ static float block_sum(float x, float *part)
{
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    x = warp_sum(threadIdx.x % 32 < THREADS / 32 ? part[threadIdx.x % 32] : 0);
    __syncthreads();
    return x;
}

/* Eight logits from column c; those beyond V count as minus infinity. */
template <typename T>
__device__ static inline void load_logits(float x[8], const T *row, int c, int V)
{
    load8(x, row + c);
    if (c + 8 > V)
        for (int j = 0; j < 8; j++)
            if (c + j >= V) x[j] = -INFINITY;
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    cross_entropy_kernel(float *losses, T *logits, int ld, const int32_t *targets, int V,
                         float scale)
{
    __shared__ float part[THREADS / 32];
    T *row = logits + (size_t)blockIdx.x * ld;
    int target = targets[blockIdx.x];
    float x[8], top = -INFINITY, sum = 0;
    for (int c = threadIdx.x * 8; c < V; c += THREADS * 8) {
        load_logits(x, row, c, V);
        float here = top;
        for (int j = 0; j < 8; j++) here = fmaxf(here, x[j]);
        sum *= __expf(top - here);
        for (int j = 0; j < 8; j++) sum += __expf(x[j] - here);
        top = here;
    }
    float all = block_max(top, part);
    sum = block_sum(top == -INFINITY ? 0 : sum * __expf(top - all), part);
    if (!threadIdx.x) losses[blockIdx.x] = target < 0 ? 0 : logf(sum) + all - to_float(row[target]);
    if (scale == 0) return;
    __syncthreads(); /* row[target] has been read */

    float inverse = target < 0 ? 0 : scale / sum;
    for (int c = threadIdx.x * 8; c < V; c += THREADS * 8) {
        load_logits(x, row, c, V);
        for (int j = 0; j < 8; j++)
            x[j] = __expf(x[j] - all) * inverse - (c + j == target ? scale : 0);
        store8(row + c, x); /* beyond V: exp(-inf) * inverse = 0 */
    }
}

static void cross_entropy(struct backend *be, struct view losses, struct view logits,
                          struct view targets, double scale)
{
    struct device *d = device_of(be);
    if (!logits.rows) return;
    if (d->half)
        cross_entropy_kernel<<<logits.rows, THREADS, 0, d->stream>>>(
            floats_at(losses), acts_at<bf16>(logits), logits.ld, ids_at(targets), logits.cols,
            (float)scale);
    else
        cross_entropy_kernel<<<logits.rows, THREADS, 0, d->stream>>>(
            floats_at(losses), acts_at<float>(logits), logits.ld, ids_at(targets), logits.cols,
            (float)scale);
    LAUNCHED();
}

void loss_install(struct backend *be) { be->cross_entropy = cross_entropy; }
