/*
 * Gradients of several GPUs, summed by NCCL on a stream of its own while the backward pass goes on.
 * Rank 0's id reaches the others through ranks.h. A rank that dies leaves the others waiting inside
 * a sum; their launcher ends them.
 */
#include "trainer/cuda/device.h"

extern "C" {
#include "trainer/ranks.h"
}
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>

struct share {
    ncclComm_t comm;
    cudaStream_t stream;
    cudaEvent_t ready, done;
};

static void nccl_must(ncclResult_t code, const char *what)
{
    if (code == ncclSuccess) return;
    fprintf(stderr, "cuda: NCCL: %s in %s\n", ncclGetErrorString(code), what);
    ranks_abort(1);
    exit(1);
}

static struct share *share_of(struct device *d)
{
    if (d->share) return d->share;
    struct share *s = (struct share *)calloc(1, sizeof *s);
    ncclUniqueId id;
    if (!s) abort();
    if (ranks_is_root()) nccl_must(ncclGetUniqueId(&id), "ncclGetUniqueId");
    ranks_broadcast(&id, sizeof id);
    nccl_must(ncclCommInitRank(&s->comm, ranks_size(), id, ranks_rank()), "ncclCommInitRank");
    CUDA(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking));
    CUDA(cudaEventCreateWithFlags(&s->ready, cudaEventDisableTiming));
    CUDA(cudaEventCreateWithFlags(&s->done, cudaEventDisableTiming));
    return d->share = s;
}

static void share_begin(struct backend *be, struct block *grads, size_t at, size_t n)
{
    struct device *d = device_of(be);
    struct share *s = share_of(d);
    float *x = (float *)grads->data + at;
    CUDA(cudaEventRecord(s->ready, d->stream));
    CUDA(cudaStreamWaitEvent(s->stream, s->ready, 0));
    nccl_must(ncclAllReduce(x, x, n, ncclFloat, ncclSum, s->comm, s->stream), "ncclAllReduce");
}

static void share_finish(struct backend *be)
{
    struct device *d = device_of(be);
    struct share *s = share_of(d);
    CUDA(cudaEventRecord(s->done, s->stream));
    CUDA(cudaStreamWaitEvent(d->stream, s->done, 0));
}

enum status share_install(struct backend *be, struct error *err)
{
    (void)err;
    be->share_begin = share_begin;
    be->share_finish = share_finish;
    return OK;
}

void share_close(struct device *d)
{
    struct share *s = d->share;
    if (!s) return;
    ncclCommDestroy(s->comm);
    cudaEventDestroy(s->ready);
    cudaEventDestroy(s->done);
    cudaStreamDestroy(s->stream);
    free(s);
}
