/*
 * Gradients of several GPUs, summed by NCCL on a stream of its own while the backward pass goes on,
 * and weights that each stepped its own run of.
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

enum { AT_ONCE = 8, THREADS = 256 };

/* The bf16 copy of elements at..at+n, made again; both multiples of AT_ONCE, as slots are of WIDTH. */
__global__ void brief_kernel(bf16 *brief, const float *x, size_t n)
{
    size_t i = ((size_t)blockIdx.x * THREADS + threadIdx.x) * AT_ONCE;
    float eight[AT_ONCE];
    if (i >= n) return;
    load8(eight, x + i);
    store8(brief + i, eight);
}

static void make_brief(struct share *s, struct block *weights, size_t at, size_t end)
{
    if (weights->brief == weights->data || at == end) return;
    brief_kernel<<<blocks_for((end - at) / AT_ONCE, THREADS), THREADS, 0, s->stream>>>(
        (bf16 *)weights->brief + at, (const float *)weights->data + at, end - at);
    LAUNCHED();
}

/* All runs at once, so that every link works both ways. */
static void spread(struct backend *be, struct block *weights, const size_t *edge, int n)
{
    if (ranks_size() == 1) return;
    struct device *d = device_of(be);
    struct share *s = share_of(d);
    float *x = (float *)weights->data;
    int own = ranks_rank();
    CUDA(cudaEventRecord(s->ready, d->stream));
    CUDA(cudaStreamWaitEvent(s->stream, s->ready, 0));
    nccl_must(ncclGroupStart(), "ncclGroupStart");
    for (int i = 0; i < n; i++)
        if (edge[i + 1] > edge[i])
            nccl_must(ncclBroadcast(x + edge[i], x + edge[i], edge[i + 1] - edge[i], ncclFloat, i,
                                    s->comm, s->stream),
                      "ncclBroadcast");
    nccl_must(ncclGroupEnd(), "ncclGroupEnd");
    make_brief(s, weights, edge[0], edge[own]);
    make_brief(s, weights, edge[own + 1], edge[n]);
    share_finish(be);
}

enum status share_install(struct backend *be, struct error *err)
{
    (void)err;
    be->share_begin = share_begin;
    be->share_finish = share_finish;
    be->spread = spread;
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
