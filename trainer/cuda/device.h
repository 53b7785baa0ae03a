#ifndef TRAINER_CUDA_DEVICE_H
#define TRAINER_CUDA_DEVICE_H

extern "C" { /* said once here, so that no C header has to */
#include "trainer/backend.h"
}
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

/*
 * What the files of the CUDA backend share.
 *
 * Precision. `cuda` keeps activations and a copy of the weights in bf16 and
 * everything else (master weights, gradients, moments, statistics) in float32;
 * products accumulate in float32. `cuda-f32` keeps all of it in float32, for checks.
 * Kernels are templates over the element of activations, T.
 *
 * Widths. GEMMs run at the current width rounded up to WIDTH: a removed group is
 * zero-filled by surgery, so the rounded product is the exact one, and the work
 * shrinks each time the width passes a multiple. Every matrix keeps the ld of its
 * capacity; only whole rows move up then, so that Q, K and V (gate and up) stay one
 * matrix (layout.h) and one product.
 *
 * Order. All work goes into one stream. No kernel of ours uses atomic additions on floats, so the
 * same calls give the same bits, except that `cuda` takes cuDNN's fast backward pass of attention;
 * `cuda-exact` and `cuda-f32` do not.
 *
 * Failure. An operation cannot fail in a way that a caller could mend: a CUDA error
 * ends the process with its name and place, and the job resumes from its checkpoint.
 */
typedef __nv_bfloat16 bf16;

enum { WIDTH = 64 };

struct block {
    enum block_use use;
    size_t n;
    void *data;  /* float, bf16, int32_t or double, by use and precision */
    void *brief; /* BLOCK_WEIGHTS in bf16: the copy that matmuls read; else equal to data */
};

struct device {
    cudaStream_t stream;
    cublasLtHandle_t blas;
    bool half;  /* activations are bf16 */
    bool exact; /* the same calls give the same bits */
    int multiprocessors;
    struct gemm_cache *gemms;
    void *workspace; /* of cublasLt */
    size_t workspace_bytes;
    void *scratch; /* between two kernels of one operation; grows, never shrinks */
    size_t scratch_bytes;
    struct optim_tables *optim;
    struct replay *replay;
    int32_t *staged; /* pinned: ids on their way to the device */
    size_t staged_ids;
    cudaEvent_t staged_sent;
    struct share *share;           /* several ranks only */
    struct cudnn_attention *cudnn; /* NULL: not there */
};

static inline struct device *device_of(struct backend *be) { return (struct device *)be->state; }

/* Ends the process when `code` is an error. */
void cuda_must(cudaError_t code, const char *what, const char *file, int line);
void blas_must(cublasStatus_t code, const char *what, const char *file, int line);
#define CUDA(call) cuda_must((call), #call, __FILE__, __LINE__)
#define BLAS(call) blas_must((call), #call, __FILE__, __LINE__)
#define LAUNCHED() CUDA(cudaGetLastError())

/* At least `bytes` of device memory, good until the next call. */
void *device_scratch(struct device *d, size_t bytes);

static inline int round_up(int n, int to) { return (n + to - 1) / to * to; }
static inline int blocks_for(size_t n, int per)
{
    return (int)((n + (size_t)per - 1) / (size_t)per);
}

/* Where a view starts, as the type its block is made of. */
static inline float *floats_at(struct view v) { return (float *)v.block->data + v.at; }
static inline int32_t *ids_at(struct view v) { return (int32_t *)v.block->data + v.at; }
template <typename T> static inline T *acts_at(struct view v) { return (T *)v.block->data + v.at; }
template <typename T> static inline const T *brief_at(struct view v)
{
    return (const T *)v.block->brief + v.at;
}

/* sums[c] = (or += when add) the sum over rows of x (rows, cols), in a fixed order. */
void column_sums(struct device *d, float *sums, const float *x, int ld, int rows, int cols,
                 bool add);
void column_sums(struct device *d, float *sums, const bf16 *x, int ld, int rows, int cols,
                 bool add);

/* ---- on the device -------------------------------------------------------------- */

__device__ static inline float to_float(float x) { return x; }
__device__ static inline float to_float(bf16 x) { return __bfloat162float(x); }
__device__ static inline void put(float *p, float x) { *p = x; }
__device__ static inline void put(bf16 *p, float x) { *p = __float2bfloat16(x); }

/* Eight consecutive elements at once: 16 bytes of bf16, 32 of float. p is aligned to them. */
__device__ static inline void load8(float out[8], const float *p)
{
    float4 a = ((const float4 *)p)[0], b = ((const float4 *)p)[1];
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

__device__ static inline void load8(float out[8], const bf16 *p)
{
    uint4 raw = *(const uint4 *)p;
    const __nv_bfloat162 *pair = (const __nv_bfloat162 *)&raw;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float2 x = __bfloat1622float2(pair[i]);
        out[2 * i] = x.x, out[2 * i + 1] = x.y;
    }
}

__device__ static inline void store8(float *p, const float in[8])
{
    ((float4 *)p)[0] = make_float4(in[0], in[1], in[2], in[3]);
    ((float4 *)p)[1] = make_float4(in[4], in[5], in[6], in[7]);
}

__device__ static inline void store8(bf16 *p, const float in[8])
{
    uint4 raw;
    __nv_bfloat162 *pair = (__nv_bfloat162 *)&raw;
#pragma unroll
    for (int i = 0; i < 4; i++) pair[i] = __floats2bfloat162_rn(in[2 * i], in[2 * i + 1]);
    *(uint4 *)p = raw;
}

__device__ static inline float warp_sum(float x)
{
#pragma unroll
    for (int s = 16; s; s /= 2) x += __shfl_xor_sync(0xffffffffu, x, s);
    return x;
}

__device__ static inline float warp_max(float x)
{
#pragma unroll
    for (int s = 16; s; s /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, s));
    return x;
}

/* ---- operations, one file each --------------------------------------------------- */

void memory_install(struct backend *be);
void memory_close(struct device *d);
void replay_install(struct backend *be);
void replay_close(struct device *d);
bool replay_records(const struct device *d); /* a recording is under way: nothing may wait */
void replay_void(struct device *d);          /* memory that recordings know is about to go */
void gemm_open(struct device *d);
void gemm_close(struct device *d);
void linear_install(struct backend *be);
void rows_install(struct backend *be); /* embedding */
void norm_install(struct backend *be);
void pointwise_install(struct backend *be); /* rope, swiglu */
void loss_install(struct backend *be);
void attention_install(struct backend *be);
void spans_install(struct backend *be);
void optim_install(struct backend *be);
void optim_close(struct device *d);

/* One of share_nccl.cu and share_absent.cu: E_MISSING for several ranks without NCCL. */
enum status share_install(struct backend *be, struct error *err);
void share_close(struct device *d);

#endif
