#include "trainer/cuda/device.h"

extern "C" {
#include "trainer/ranks.h"
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- failure ---------------------------------------------------------------------- */

static void die(const char *reason, const char *what, const char *file, int line)
{
    fprintf(stderr, "cuda: %s in %s (%s:%d)\n", reason, what, file, line);
    exit(1);
}

void cuda_must(cudaError_t code, const char *what, const char *file, int line)
{
    if (code != cudaSuccess) die(cudaGetErrorString(code), what, file, line);
}

void blas_must(cublasStatus_t code, const char *what, const char *file, int line)
{
    if (code != CUBLAS_STATUS_SUCCESS) die(cublasLtGetStatusString(code), what, file, line);
}

/* ---- memory ------------------------------------------------------------------------ */

static size_t element_bytes(const struct device *d, enum block_use use)
{
    switch (use) {
    case BLOCK_ACTIVATIONS: return d->half ? sizeof(bf16) : sizeof(float);
    case BLOCK_IDS: return sizeof(int32_t);
    case BLOCK_SUMS: return sizeof(double);
    default: return sizeof(float);
    }
}

static enum status cuda_alloc(struct backend *be, enum block_use use, size_t n, struct block **out,
                              struct error *err)
{
    struct device *d = device_of(be);
    struct block *b = (struct block *)calloc(1, sizeof *b);
    if (!b) abort();
    size_t bytes = (n ? n : 1) * element_bytes(d, use),
           brief = use == BLOCK_WEIGHTS && d->half ? n * sizeof(bf16) : 0;
    b->use = use;
    b->n = n;
    *out = NULL;
    if (cudaMalloc(&b->data, bytes) || (brief && cudaMalloc(&b->brief, brief))) {
        size_t left = 0, all = 0;
        cudaGetLastError();
        cudaMemGetInfo(&left, &all);
        cudaFree(b->data);
        free(b);
        return fail(err, E_MEMORY,
                    "%zu bytes do not fit on the GPU (%zu of %zu free); take a smaller batch, a "
                    "shorter sequence or recompute",
                    bytes + brief, left, all);
    }
    CUDA(cudaMemsetAsync(b->data, 0, bytes, d->stream));
    if (brief)
        CUDA(cudaMemsetAsync(b->brief, 0, brief, d->stream));
    else
        b->brief = b->data;
    *out = b;
    return OK;
}

static void cuda_release(struct backend *be, struct block *b)
{
    if (!b) return;
    CUDA(cudaStreamSynchronize(device_of(be)->stream));
    if (b->brief != b->data) cudaFree(b->brief);
    cudaFree(b->data);
    free(b);
}

void *device_scratch(struct device *d, size_t bytes)
{
    if (bytes <= d->scratch_bytes) return d->scratch;
    CUDA(cudaStreamSynchronize(d->stream));
    cudaFree(d->scratch);
    CUDA(cudaMalloc(&d->scratch, bytes));
    d->scratch_bytes = bytes;
    return d->scratch;
}

/* ---- moving ------------------------------------------------------------------------- */

/* to[r][c] = from[r][c] through the types, with the bf16 copy of weights kept in step. */
template <typename To, typename From>
__global__ void move_kernel(To *to, bf16 *brief, int to_ld, const From *from, int from_ld, int rows,
                            int cols)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)rows * cols) return;
    size_t r = i / cols, c = i % cols;
    float x = to_float(from[r * from_ld + c]);
    put(&to[r * to_ld + c], x);
    if (brief) put(&brief[r * to_ld + c], x);
}

template <typename To, typename From>
static void move(struct device *d, To *to, bf16 *brief, int to_ld, const From *from, int from_ld,
                 int rows, int cols)
{
    size_t n = (size_t)rows * cols;
    if (!n) return;
    move_kernel<<<blocks_for(n, 256), 256, 0, d->stream>>>(to, brief, to_ld, from, from_ld, rows,
                                                           cols);
    LAUNCHED();
}

static bool is_half(const struct device *d, const struct block *b)
{
    return d->half && b->use == BLOCK_ACTIVATIONS;
}

static bf16 *brief_copy(struct view v)
{
    return v.block->brief != v.block->data ? (bf16 *)v.block->brief + v.at : NULL;
}

static void cuda_upload(struct backend *be, struct view to, const float *from)
{
    struct device *d = device_of(be);
    size_t n = (size_t)to.rows * to.cols;
    float *dense = (float *)device_scratch(d, n * sizeof(float) + 1);
    CUDA(cudaMemcpyAsync(dense, from, n * sizeof(float), cudaMemcpyHostToDevice, d->stream));
    if (is_half(d, to.block))
        move(d, acts_at<bf16>(to), (bf16 *)NULL, to.ld, dense, to.cols, to.rows, to.cols);
    else
        move(d, floats_at(to), brief_copy(to), to.ld, dense, to.cols, to.rows, to.cols);
    CUDA(cudaStreamSynchronize(d->stream)); /* `from` is the caller's again */
}

static void cuda_download(struct backend *be, float *to, struct view from)
{
    struct device *d = device_of(be);
    size_t n = (size_t)from.rows * from.cols;
    float *dense = (float *)device_scratch(d, n * sizeof(float) + 1);
    if (is_half(d, from.block))
        move(d, dense, (bf16 *)NULL, from.cols, acts_at<bf16>(from), from.ld, from.rows, from.cols);
    else
        move(d, dense, (bf16 *)NULL, from.cols, floats_at(from), from.ld, from.rows, from.cols);
    CUDA(cudaMemcpyAsync(to, dense, n * sizeof(float), cudaMemcpyDeviceToHost, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
}

static void cuda_upload_ids(struct backend *be, struct view to, const int32_t *from)
{
    struct device *d = device_of(be);
    CUDA(cudaMemcpy2DAsync(ids_at(to), (size_t)to.ld * 4, from, (size_t)to.cols * 4,
                           (size_t)to.cols * 4, to.rows, cudaMemcpyHostToDevice, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
}

static void cuda_upload_sums(struct backend *be, struct block *to, const double *from, int n)
{
    struct device *d = device_of(be);
    CUDA(cudaMemcpyAsync(to->data, from, n * sizeof(double), cudaMemcpyHostToDevice, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
}

static void cuda_download_sums(struct backend *be, double *to, struct block *from, int n)
{
    struct device *d = device_of(be);
    CUDA(cudaMemcpyAsync(to, from->data, n * sizeof(double), cudaMemcpyDeviceToHost, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
}

/* A kernel, not the copy engine: a column of a large matrix is thousands of rows of one element. */
template <typename E>
__global__ void copy_kernel(E *to, int to_ld, const E *from, int from_ld, int rows, int cols)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)rows * cols) return;
    size_t r = i / cols, c = i % cols;
    to[r * to_ld + c] = from ? from[r * from_ld + c] : (E)0;
}

/* `from` without a block: zeros. */
template <typename E>
static void copy_elements(struct device *d, void *to, struct view t, const void *from,
                          struct view f)
{
    size_t n = (size_t)t.rows * t.cols;
    const E *source = from ? (const E *)from + f.at : NULL;
    copy_kernel<<<blocks_for(n, 256), 256, 0, d->stream>>>((E *)to + t.at, t.ld, source, f.ld,
                                                           t.rows, t.cols);
    LAUNCHED();
}

static void copy_or_zero(struct backend *be, struct view to, struct view from)
{
    struct device *d = device_of(be);
    const struct block *source = from.block;
    if (!to.rows || !to.cols) return;
    switch (element_bytes(d, to.block->use)) {
    case 2:
        copy_elements<uint16_t>(d, to.block->data, to, source ? source->data : NULL, from);
        break;
    case 4:
        copy_elements<uint32_t>(d, to.block->data, to, source ? source->data : NULL, from);
        break;
    case 8:
        copy_elements<uint64_t>(d, to.block->data, to, source ? source->data : NULL, from);
        break;
    }
    if (to.block->brief != to.block->data)
        copy_elements<uint16_t>(d, to.block->brief, to, source ? source->brief : NULL, from);
}

static void cuda_copy(struct backend *be, struct view to, struct view from)
{
    copy_or_zero(be, to, from);
}

static void cuda_zero(struct backend *be, struct view to)
{
    struct view none = {};
    copy_or_zero(be, to, none);
}

static void cuda_finish(struct backend *be) { CUDA(cudaStreamSynchronize(device_of(be)->stream)); }

/* ---- birth and death ------------------------------------------------------------------ */

static void cuda_close(struct backend *be)
{
    struct device *d = device_of(be);
    cudaStreamSynchronize(d->stream);
    share_close(d);
    optim_close(d);
    gemm_close(d);
    cudaFree(d->scratch);
    cudaStreamDestroy(d->stream);
    free(d);
    free(be);
}

/* The GPU of this rank: ranks of one machine take turns. */
static enum status take_device(cudaDeviceProp *gpu, struct error *err)
{
    int n = 0;
    cudaError_t code = cudaGetDeviceCount(&n);
    if (code != cudaSuccess || !n)
        return fail(err, E_MISSING, "no usable GPU (%s): check nvidia-smi, or take backend \"cpu\"",
                    code ? cudaGetErrorString(code) : "none found");
    if (ranks_local() >= n)
        return fail(err, E_MISSING, "%d processes on this machine, but only %d GPUs",
                    ranks_local() + 1, n);
    if ((code = cudaSetDevice(ranks_local())) != cudaSuccess ||
        (code = cudaGetDeviceProperties(gpu, ranks_local())) != cudaSuccess)
        return fail(err, E_MISSING, "GPU %d does not answer: %s", ranks_local(),
                    cudaGetErrorString(code));
    if (gpu->major < 8)
        return fail(err, E_MISSING, "%s has compute capability %d.%d; bf16 needs 8.0 or newer",
                    gpu->name, gpu->major, gpu->minor);
    return OK;
}

static enum status open_device(struct backend **out, const char *name, bool half, struct error *err)
{
    cudaDeviceProp gpu;
    TRY(take_device(&gpu, err));
    struct backend *be = (struct backend *)calloc(1, sizeof *be);
    struct device *d = (struct device *)calloc(1, sizeof *d);
    if (!be || !d) abort();
    d->half = half;
    d->multiprocessors = gpu.multiProcessorCount;
    CUDA(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));

    be->name = name;
    be->threads = 1;
    be->multiple = WIDTH;
    be->logits_at_once = (size_t)256 << 20;
    for (int use = 0; use < BLOCK_USES; use++)
        be->element_bytes[use] = (int)element_bytes(d, (enum block_use)use);
    if (half) be->element_bytes[BLOCK_WEIGHTS] += (int)sizeof(bf16);
    be->state = d;
    be->close = cuda_close;
    be->alloc = cuda_alloc;
    be->release = cuda_release;
    be->upload = cuda_upload;
    be->download = cuda_download;
    be->upload_ids = cuda_upload_ids;
    be->upload_sums = cuda_upload_sums;
    be->download_sums = cuda_download_sums;
    be->copy = cuda_copy;
    be->zero = cuda_zero;
    be->finish = cuda_finish;
    gemm_open(d);
    linear_install(be);
    rows_install(be);
    pointwise_install(be);
    loss_install(be);
    attention_install(be);
    optim_install(be);
    if (share_install(be, err)) {
        cuda_close(be);
        return err->status;
    }
    *out = be;
    return OK;
}

extern "C" enum status backend_cuda(struct backend **out, int threads, struct error *err)
{
    (void)threads;
    return open_device(out, "cuda", true, err);
}

extern "C" enum status backend_cuda_f32(struct backend **out, int threads, struct error *err)
{
    (void)threads;
    return open_device(out, "cuda-f32", false, err);
}
