/* Losses and their gradients in place. Cross-entropy: one block a row, read once and written once. What was
 * read waits in shared memory where two rows fit there, else it is read again, mostly out of L2. */
#include "trainer/cuda/device.h"

enum { THREADS = 512, MOST_HELD = 100 << 10 /* bytes */ };

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

template <typename T, bool HELD>
__global__ void __launch_bounds__(THREADS)
    cross_entropy_kernel(float *losses, T *logits, int ld, const int32_t *targets, int V, float z,
                         float scale)
{
    extern __shared__ __align__(16) char raw[];
    __shared__ float part[THREADS / 32];
    T *held = (T *)raw, *row = logits + (size_t)blockIdx.x * ld;
    int target = targets[blockIdx.x];
    float x[8], top = -INFINITY, sum = 0;
    for (int c = threadIdx.x * 8; c < V; c += THREADS * 8) {
        load_logits(x, row, c, V);
        if constexpr (HELD) store8(held + c, x); /* a thread reads back only its own */
        float here = top;
        for (int j = 0; j < 8; j++) here = fmaxf(here, x[j]);
        sum *= __expf(top - here);
        for (int j = 0; j < 8; j++) sum += __expf(x[j] - here);
        top = here;
    }
    float all = block_max(top, part);
    sum = block_sum(top == -INFINITY ? 0 : sum * __expf(top - all), part);
    float log_sum = logf(sum) + all;
    if (!threadIdx.x)
        losses[blockIdx.x] =
            target < 0 ? 0 : log_sum - to_float(row[target]) + z * log_sum * log_sum;
    if (scale == 0) return;
    __syncthreads(); /* row[target] has been read */

    float inverse = target < 0 ? 0 : scale / sum * (1 + 2 * z * log_sum);
    for (int c = threadIdx.x * 8; c < V; c += THREADS * 8) {
        if constexpr (HELD)
            load8(x, held + c);
        else
            load_logits(x, row, c, V);
        for (int j = 0; j < 8; j++)
            x[j] = __expf(x[j] - all) * inverse - (c + j == target ? scale : 0);
        store8(row + c, x); /* beyond V: exp(-inf) * inverse = 0 */
    }
}

template <typename T>
static void cross_entropy_typed(struct device *d, struct view losses, struct view logits,
                                struct view targets, float z, float scale)
{
    size_t bytes = (size_t)round_up(logits.cols, 8) * sizeof(T);
    auto launch = [&](auto kernel, size_t shared) {
        CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, MOST_HELD));
        kernel<<<logits.rows, THREADS, shared, d->stream>>>(
            floats_at(losses), acts_at<T>(logits), logits.ld, ids_at(targets), logits.cols, z,
            scale);
        LAUNCHED();
    };
    if (scale != 0 && bytes <= MOST_HELD)
        launch(cross_entropy_kernel<T, true>, bytes);
    else
        launch(cross_entropy_kernel<T, false>, 0);
}

static void z_cross_entropy(struct backend *be, struct view losses, struct view logits,
                            struct view targets, double z, double scale)
{
    struct device *d = device_of(be);
    if (!logits.rows) return;
    if (d->half)
        cross_entropy_typed<bf16>(d, losses, logits, targets, (float)z, (float)scale);
    else
        cross_entropy_typed<float>(d, losses, logits, targets, (float)z, (float)scale);
}

static void cross_entropy(struct backend *be, struct view losses, struct view logits,
                          struct view targets, double scale)
{
    z_cross_entropy(be, losses, logits, targets, 0, scale);
}

/* ---- learning from a teacher ---------------------------------------------------------------- */

/* exp((x - top) * inverse) over one row, and the log of their sum. */
struct soft {
    float top, inverse, log_sum;
    __device__ float log_of(float x) const { return (x - top) * inverse - log_sum; }
};

template <typename T>
__device__ static struct soft soft_of(const T *row, int V, float top, float inverse, float *part)
{
    float x[8], sum = 0;
    for (int c = threadIdx.x * 8; c < V; c += THREADS * 8) {
        load_logits(x, row, c, V);
        for (int j = 0; j < 8; j++) sum += __expf((x[j] - top) * inverse);
    }
    return { top, inverse, logf(block_sum(sum, part)) };
}

template <typename T> __device__ static float row_max(const T *row, int V, float *part)
{
    float x[8], top = -INFINITY;
    for (int c = threadIdx.x * 8; c < V; c += THREADS * 8) {
        load_logits(x, row, c, V);
        for (int j = 0; j < 8; j++) top = fmaxf(top, x[j]);
    }
    return block_max(top, part);
}

/* The formulas of backend_host_distill.c: one block a row, which stays in L2 between passes. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    distill_kernel(float *losses, T *logits, int ld, const T *teachers, int teacher_ld,
                   const int32_t *targets, int V, float weight, float temperature, float scale)
{
    __shared__ float part[THREADS / 32];
    T *row = logits + (size_t)blockIdx.x * ld;
    const T *teacher = teachers + (size_t)blockIdx.x * teacher_ld;
    int target = targets[blockIdx.x];
    float top = row_max(row, V, part), inverse = 1 / temperature, kl = 0;
    struct soft hard = soft_of(row, V, top, 1, part), q = soft_of(row, V, top, inverse, part);
    struct soft p = soft_of(teacher, V, row_max(teacher, V, part), inverse, part);
    float entropy = target < 0 ? 0 : -hard.log_of(to_float(row[target]));
    __syncthreads(); /* row[target] has been read */

    for (int c = threadIdx.x * 8; c < V; c += THREADS * 8) {
        float x[8], y[8];
        load8(x, row + c), load8(y, teacher + c);
        for (int j = 0; j < 8; j++) {
            float log_p = p.log_of(y[j]), log_q = q.log_of(x[j]), share = __expf(log_p);
            bool inside = c + j < V;
            kl += inside ? share * (log_p - log_q) : 0;
            x[j] = target < 0 || !inside
                       ? 0
                       : scale * ((1 - weight) * (__expf(hard.log_of(x[j])) - (c + j == target)) +
                                  weight * temperature * (__expf(log_q) - share));
        }
        store8(row + c, x);
    }
    kl = block_sum(kl, part);
    if (!threadIdx.x)
        losses[blockIdx.x] =
            target < 0 ? 0 : (1 - weight) * entropy + weight * temperature * temperature * kl;
}

template <typename T>
static void distill_typed(struct device *d, struct view losses, struct view logits,
                          struct view teacher, struct view targets, struct distill how,
                          float scale)
{
    distill_kernel<<<logits.rows, THREADS, 0, d->stream>>>(
        floats_at(losses), acts_at<T>(logits), logits.ld, acts_at<T>(teacher), teacher.ld,
        ids_at(targets), logits.cols, (float)how.weight, (float)how.temperature, scale);
    LAUNCHED();
}

static void distill(struct backend *be, struct view losses, struct view logits,
                    struct view teacher, struct view targets, struct distill how, double scale)
{
    struct device *d = device_of(be);
    if (!logits.rows) return;
    if (d->half)
        distill_typed<bf16>(d, losses, logits, teacher, targets, how, (float)scale);
    else
        distill_typed<float>(d, losses, logits, teacher, targets, how, (float)scale);
}

void loss_install(struct backend *be)
{
    be->cross_entropy = cross_entropy;
    be->z_cross_entropy = z_cross_entropy;
    be->distill = distill;
}
