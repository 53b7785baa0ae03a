#include "trainer/cuda/cudnn_attention.h"
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

/* ---- birth and death ------------------------------------------------------------------ */

static void cuda_close(struct backend *be)
{
    struct device *d = device_of(be);
    cudaStreamSynchronize(d->stream);
    share_close(d);
    cudnn_attention_close(d);
    optim_close(d);
    gemm_close(d);
    replay_close(d);
    memory_close(d);
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

static enum status open_device(struct backend **out, const char *name, bool half, bool exact,
                               struct error *err)
{
    cudaDeviceProp gpu;
    TRY(take_device(&gpu, err));
    struct backend *be = (struct backend *)calloc(1, sizeof *be);
    struct device *d = (struct device *)calloc(1, sizeof *d);
    if (!be || !d) abort();
    d->half = half;
    d->exact = exact;
    d->multiprocessors = gpu.multiProcessorCount;
    CUDA(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));

    be->name = name;
    be->threads = 1;
    be->multiple = WIDTH;
    be->keeps_outputs = true;
    be->logits_at_once = (size_t)256 << 20;
    be->state = d;
    be->close = cuda_close;
    replay_install(be);
    memory_install(be);
    gemm_open(d);
    linear_install(be);
    rows_install(be);
    norm_install(be);
    pointwise_install(be);
    loss_install(be);
    cudnn_attention_open(d);
    attention_install(be);
    spans_install(be);
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
    return open_device(out, "cuda", true, false, err);
}

extern "C" enum status backend_cuda_exact(struct backend **out, int threads, struct error *err)
{
    (void)threads;
    return open_device(out, "cuda-exact", true, true, err);
}

extern "C" enum status backend_cuda_f32(struct backend **out, int threads, struct error *err)
{
    (void)threads;
    return open_device(out, "cuda-f32", false, true, err);
}
