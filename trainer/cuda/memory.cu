/* Blocks of device memory, and what moves between them and the host. */
#include "trainer/cuda/device.h"

#include <stdlib.h>
#include <string.h>

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
    replay_void(device_of(be));
    if (b->brief != b->data) cudaFree(b->brief);
    cudaFree(b->data);
    free(b);
}

void *device_scratch(struct device *d, size_t bytes)
{
    if (bytes <= d->scratch_bytes) return d->scratch;
    CUDA(cudaStreamSynchronize(d->stream));
    replay_void(d);
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

/* Through pinned memory, so that the host goes on; it waits only for the copy before this one. */
static void cuda_upload_ids(struct backend *be, struct view to, const int32_t *from)
{
    struct device *d = device_of(be);
    size_t n = (size_t)to.rows * to.cols;
    CUDA(cudaEventSynchronize(d->staged_sent));
    if (n > d->staged_ids) {
        CUDA(cudaFreeHost(d->staged));
        CUDA(cudaMallocHost(&d->staged, n * sizeof *d->staged));
        d->staged_ids = n;
    }
    memcpy(d->staged, from, n * sizeof *from);
    CUDA(cudaMemcpy2DAsync(ids_at(to), (size_t)to.ld * 4, d->staged, (size_t)to.cols * 4,
                           (size_t)to.cols * 4, to.rows, cudaMemcpyHostToDevice, d->stream));
    CUDA(cudaEventRecord(d->staged_sent, d->stream));
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

enum { PIECES = 60 };

struct piece {
    float *to, *from;
    bf16 *brief_to, *brief_from;
    int to_ld, from_ld, rows, cols;
};

struct pieces { /* travels as an argument: no copy of its own to wait for */
    struct piece piece[PIECES];
};

/* grid (some, pieces) */
__global__ void move_pieces_kernel(const __grid_constant__ struct pieces all)
{
    struct piece p = all.piece[blockIdx.y];
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < p.rows * p.cols;
         i += gridDim.x * blockDim.x) {
        size_t r = i / p.cols, c = i % p.cols, from = r * p.from_ld + c, to = r * p.to_ld + c;
        float x = p.from[from];
        p.to[to] = x;
        p.from[from] = 0;
        if (!p.brief_to) continue;
        bf16 y = p.brief_from[from];
        p.brief_to[to] = y;
        p.brief_from[from] = __float2bfloat16(0.f);
    }
}

static void cuda_move(struct backend *be, const struct move *m, int n)
{
    struct device *d = device_of(be);
    for (int from = 0; from < n; from += PIECES) {
        struct pieces all;
        int some = n - from < PIECES ? n - from : PIECES, most = 1;
        for (int i = 0; i < some; i++) {
            struct view to = m[from + i].to, source = m[from + i].from;
            all.piece[i] = { floats_at(to), floats_at(source), brief_copy(to), brief_copy(source),
                             to.ld,         source.ld,         to.rows,        to.cols };
            if (to.rows * to.cols > most) most = to.rows * to.cols;
        }
        int blocks = blocks_for((size_t)most, 256);
        move_pieces_kernel<<<dim3(blocks < 64 ? blocks : 64, some), 256, 0, d->stream>>>(all);
        LAUNCHED();
    }
}

/* A thread takes a column (of four bytes or, of the copy, two) down all rows, AT_ONCE at a time: what
 * it writes lies above all that it has still to read. */
template <typename E> __device__ static void shift_column(E *from, int ld, int rows, int up)
{
    enum { AT_ONCE = 16 };
    E *to = from - (size_t)up * ld;
    for (int r = 0; r < rows; r += AT_ONCE) {
        E x[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++)
            if (r + i < rows) x[i] = from[(size_t)(r + i) * ld];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++)
            if (r + i < rows) to[(size_t)(r + i) * ld] = x[i];
    }
    for (int r = max(0, rows - up); r < rows; r++) from[(size_t)r * ld] = (E)0.f;
}

/* grid (column blocks, pieces); piece.to_ld is how far up */
__global__ void shift_pieces_kernel(const __grid_constant__ struct pieces all)
{
    struct piece p = all.piece[blockIdx.y];
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= p.cols) return;
    shift_column(p.from + c, p.from_ld, p.rows, p.to_ld);
    if (p.brief_from) shift_column(p.brief_from + c, p.from_ld, p.rows, p.to_ld);
}

static void cuda_shift(struct backend *be, const struct shift *s, int n)
{
    struct device *d = device_of(be);
    for (int from = 0; from < n; from += PIECES) {
        struct pieces all;
        int some = n - from < PIECES ? n - from : PIECES, most = 1;
        for (int i = 0; i < some; i++) {
            struct view v = s[from + i].rows;
            all.piece[i] = { NULL, floats_at(v), NULL, brief_copy(v), s[from + i].up,
                             v.ld, v.rows,       v.cols };
            if (v.cols > most) most = v.cols;
        }
        shift_pieces_kernel<<<dim3(blocks_for((size_t)most, 64), some), 64, 0, d->stream>>>(all);
        LAUNCHED();
    }
}

static void cuda_finish(struct backend *be) { CUDA(cudaStreamSynchronize(device_of(be)->stream)); }

void memory_install(struct backend *be)
{
    struct device *d = device_of(be);
    CUDA(cudaEventCreateWithFlags(&d->staged_sent, cudaEventDisableTiming));
    for (int use = 0; use < BLOCK_USES; use++)
        be->element_bytes[use] = (int)element_bytes(d, (enum block_use)use);
    if (d->half) be->element_bytes[BLOCK_WEIGHTS] += (int)sizeof(bf16);
    be->alloc = cuda_alloc;
    be->release = cuda_release;
    be->upload = cuda_upload;
    be->download = cuda_download;
    be->upload_ids = cuda_upload_ids;
    be->upload_sums = cuda_upload_sums;
    be->download_sums = cuda_download_sums;
    be->copy = cuda_copy;
    be->zero = cuda_zero;
    be->move = cuda_move;
    be->shift = cuda_shift;
    be->finish = cuda_finish;
}

void memory_close(struct device *d)
{
    cudaEventDestroy(d->staged_sent);
    cudaFreeHost(d->staged);
    cudaFree(d->scratch);
}
