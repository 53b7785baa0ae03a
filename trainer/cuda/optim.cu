/*
 * The optimizer: one pass over weights, gradients and moments that clips, applies AdamW, refreshes
 * the bf16 copy of the weights and, when asked, sums |w * g| by group.
 *
 * A block takes one tile of one tensor. Sums leave the tile as partial sums by row and by column;
 * a second kernel adds the partial sums of each group in a fixed order, so no atomics are needed
 * and the sums repeat to the bit.
 */
#include "trainer/cuda/device.h"

#include <stdlib.h>
#include <string.h>

enum { TILE_ROWS = 32, TILE_COLS = 256, LANES = TILE_COLS / 4, WALKERS = 4, MAX_SQUARES = 4096 };

/* A tensor as the kernels see it. */
struct tensor {
    struct param p;
    int first_tile, col_tiles, row_tiles;
    size_t rows_at, cols_at; /* partial sums: (col_tiles, rows) and (row_tiles, cols) floats */
};

struct table {
    struct param *param;          /* what `tensor` was made for */
    struct tensor *tensor, *host; /* on the device, and its source */
    int n_params, n_tiles;
    size_t partial_floats; /* of one step with sums */
};

struct optim_tables {
    struct table norm, step; /* the step may be told of sums, and of fewer tensors */
    double *squares;         /* on the device, one a block */
    struct param *listed;  /* what the list below was made for */
    int n_listed, n_sums;
    int *first, *members; /* on the device; group g is touched by members[first[g]..first[g+1]):
                             tensor * 2, plus 1 when by its columns */
};

/* ---- tables -------------------------------------------------------------------------------- */

static void members_clear(struct optim_tables *t)
{
    cudaFree(t->first);
    cudaFree(t->members);
    free(t->listed);
    t->first = t->members = NULL, t->listed = NULL;
    t->n_sums = 0;
}

static void tensors_clear(struct table *t)
{
    cudaFree(t->tensor);
    free(t->param);
    free(t->host);
    t->tensor = t->host = NULL, t->param = NULL;
    t->n_params = 0;
}

static void *device_copy(const void *from, size_t bytes)
{
    void *to;
    CUDA(cudaMalloc(&to, bytes ? bytes : 1));
    CUDA(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
    return to;
}

static int groups_of(int n, int span) { return span > 0 ? (n + span - 1) / span : 0; }

/* Which tensors touch each group, in the order of the tensors. */
static void list_members(struct optim_tables *t, const struct param *p, int n, int n_sums)
{
    int *first = (int *)calloc((size_t)n_sums + 2, sizeof *first), total = 0;
    if (!first) abort();
    for (int pass = 0; pass < 2; pass++) {
        int *members = pass ? (int *)malloc(((size_t)total + 1) * sizeof *members) : NULL;
        if (pass && !members) abort();
        for (int i = 0; i < n; i++) {
            for (int side = 0; side < 2; side++) {
                int at = side ? p[i].col_sum : p[i].row_sum;
                int groups = at < 0 ? 0
                             : side ? groups_of(p[i].cols, p[i].col_span)
                                    : groups_of(p[i].rows, p[i].row_span);
                for (int g = 0; g < groups; g++) {
                    if (!pass)
                        first[at + g + 2]++, total++;
                    else
                        members[first[at + g + 1]++] = i * 2 + side;
                }
            }
        }
        if (!pass)
            for (int g = 2; g <= n_sums + 1; g++) first[g] += first[g - 1];
        else {
            t->members = (int *)device_copy(members, (size_t)total * sizeof *members);
            t->first = (int *)device_copy(first, ((size_t)n_sums + 1) * sizeof *first);
            free(members);
        }
    }
    free(first);
    t->n_sums = n_sums;
}

/* The tensors' places and tiles; remade at each removal, so it is kept to one small copy. */
static void tensors_make(struct device *d, struct table *t, const struct param *p, int n)
{
    if (t->n_params == n && !memcmp(t->param, p, (size_t)n * sizeof *p)) return;
    if (t->n_params != n) {
        CUDA(cudaStreamSynchronize(d->stream));
        tensors_clear(t);
        t->host = (struct tensor *)calloc((size_t)n, sizeof *t->host);
        t->param = (struct param *)malloc((size_t)n * sizeof *p);
        if (!t->host || !t->param) abort();
        CUDA(cudaMalloc(&t->tensor, (size_t)n * sizeof *t->tensor));
    }
    memcpy(t->param, p, (size_t)n * sizeof *p);
    t->n_params = n;
    t->n_tiles = 0;
    t->partial_floats = 0;
    for (int i = 0; i < n; i++) {
        struct tensor *x = &t->host[i];
        x->p = p[i];
        x->first_tile = t->n_tiles;
        x->row_tiles = blocks_for((size_t)p[i].rows, TILE_ROWS);
        x->col_tiles = blocks_for((size_t)p[i].cols, TILE_COLS);
        t->n_tiles += x->row_tiles * x->col_tiles;
        x->rows_at = t->partial_floats;
        if (p[i].row_sum >= 0) t->partial_floats += (size_t)x->col_tiles * p[i].rows;
        x->cols_at = t->partial_floats;
        if (p[i].col_sum >= 0) t->partial_floats += (size_t)x->row_tiles * p[i].cols;
    }
    CUDA(cudaMemcpyAsync(t->tensor, t->host, (size_t)n * sizeof *t->host, cudaMemcpyHostToDevice,
                         d->stream));
}

/* A list made for larger tensors serves smaller ones: what is gone adds nothing. */
static bool members_cover(const struct optim_tables *t, const struct param *p, int n, int n_sums)
{
    if (t->n_sums != n_sums || t->n_listed != n) return false;
    for (int i = 0; i < n; i++)
        if (p[i].rows > t->listed[i].rows || p[i].cols > t->listed[i].cols ||
            p[i].row_sum != t->listed[i].row_sum || p[i].col_sum != t->listed[i].col_sum ||
            p[i].row_span != t->listed[i].row_span || p[i].col_span != t->listed[i].col_span)
            return false;
    return true;
}

static void members_make(struct device *d, const struct param *p, int n, int n_sums)
{
    struct optim_tables *t = d->optim;
    if (members_cover(t, p, n, n_sums)) return;
    CUDA(cudaStreamSynchronize(d->stream));
    members_clear(t);
    t->listed = (struct param *)malloc((size_t)n * sizeof *p);
    if (!t->listed) abort();
    memcpy(t->listed, p, (size_t)n * sizeof *p);
    t->n_listed = n;
    list_members(t, p, n, n_sums);
}

/* The last tensor whose first tile is not beyond `tile`. */
__device__ static int tensor_of(const struct tensor *t, int n, int tile)
{
    int low = 0, high = n - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (t[middle].first_tile <= tile)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* ---- the norm ------------------------------------------------------------------------------ */

__global__ void __launch_bounds__(256)
    squares_kernel(double *out, const float *grads, const struct tensor *tensors, int n,
                   int n_tiles)
{
    __shared__ double part[256];
    double sum = 0;
    for (int tile = blockIdx.x; tile < n_tiles; tile += gridDim.x) {
        const struct tensor *t = &tensors[tensor_of(tensors, n, tile)];
        int local = tile - t->first_tile, r0 = local / t->col_tiles * TILE_ROWS,
            c = local % t->col_tiles * TILE_COLS + threadIdx.x;
        int r1 = min(r0 + TILE_ROWS, t->p.rows);
        float few = 0;
        if (c < t->p.cols) {
#pragma unroll 8
            for (int r = r0; r < r1; r++) {
                float g = grads[t->p.at + (size_t)r * t->p.ld + c];
                few += g * g;
            }
        }
        sum += few;
    }
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int s = 128; s; s /= 2) {
        if (threadIdx.x < s) part[threadIdx.x] += part[threadIdx.x + s];
        __syncthreads();
    }
    if (!threadIdx.x) out[blockIdx.x] = part[0];
}

__global__ void total_kernel(double *total, const double *squares, int n, double times, bool add)
{
    __shared__ double part[256];
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += 256) sum += squares[i];
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int s = 128; s; s /= 2) {
        if (threadIdx.x < s) part[threadIdx.x] += part[threadIdx.x + s];
        __syncthreads();
    }
    if (!threadIdx.x) *total = (add ? *total : 0) + times * part[0];
}

static void sum_squares(struct backend *be, struct block *sums, int at, struct block *grads,
                        const struct param *param, int n, double times, bool add)
{
    struct device *d = device_of(be);
    struct table *t = &d->optim->norm;
    tensors_make(d, t, param, n);
    int blocks = t->n_tiles < d->multiprocessors * 8 ? t->n_tiles : d->multiprocessors * 8;
    if (blocks > MAX_SQUARES) blocks = MAX_SQUARES;
    squares_kernel<<<blocks, 256, 0, d->stream>>>(d->optim->squares, (const float *)grads->data,
                                                  t->tensor, n, t->n_tiles);
    LAUNCHED();
    total_kernel<<<1, 256, 0, d->stream>>>((double *)sums->data + at, d->optim->squares, blocks,
                                           times, add);
    LAUNCHED();
}

/* One block adds up any vector: losses are few beside everything else. */
__global__ void sum_kernel(double *to, const float *x, int n, bool add)
{
    __shared__ double part[1024];
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += 1024) sum += x[i];
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int s = 512; s; s /= 2) {
        if (threadIdx.x < s) part[threadIdx.x] += part[threadIdx.x + s];
        __syncthreads();
    }
    if (!threadIdx.x) *to = (add ? *to : 0) + part[0];
}

static void sum(struct backend *be, struct block *sums, int at, struct view x, bool add)
{
    sum_kernel<<<1, 1024, 0, device_of(be)->stream>>>((double *)sums->data + at, floats_at(x),
                                                      x.cols, add);
    LAUNCHED();
}

/* ---- AdamW --------------------------------------------------------------------------------- */

struct step {
    float lr, beta1, beta2, epsilon, keep /* 1 - lr * weight_decay */, scale, correct1, correct2;
    const double *squares; /* of the gradients, which say `scale` together with */
    double clip_norm;
    size_t moments_at;
};

/* What gradients are multiplied by; NAN: nothing may change. */
__device__ static inline float scale_of(const struct step *s)
{
    double norm = sqrt(*s->squares);
    if (!isfinite(norm)) return NAN;
    return s->clip_norm > 0 ? (float)fmin(1., s->clip_norm / (norm + 1e-6)) : 1;
}

/* One element; returns |w g| with the values before the step. */
__device__ static inline float adam(float *w, float g, float *m, float *v, const struct step *s,
                                    bool decay)
{
    float salience = fabsf(*w * g);
    g *= s->scale;
    *m = s->beta1 * *m + (1 - s->beta1) * g;
    *v = s->beta2 * *v + (1 - s->beta2) * g * g;
    float x = decay ? *w * s->keep : *w;
    *w = x - s->lr * s->correct1 * *m / (sqrtf(*v * s->correct2) + s->epsilon);
    return salience;
}

/* LANES x WALKERS threads: a thread owns four columns and every fourth row of the tile. */
template <bool SUMS>
__global__ void __launch_bounds__(LANES *WALKERS)
    adamw_kernel(float *weights, bf16 *brief, const float *grads, float *ms, float *vs,
                 const struct tensor *tensors, int n, struct step s, float *partial)
{
    __shared__ float by_row[TILE_ROWS][LANES / 32], by_col[WALKERS][TILE_COLS];
    const struct tensor *t = &tensors[tensor_of(tensors, n, blockIdx.x)];
    int local = blockIdx.x - t->first_tile, row_tile = local / t->col_tiles,
        col_tile = local % t->col_tiles;
    int lane = threadIdx.x % LANES, walker = threadIdx.x / LANES;
    int c = col_tile * TILE_COLS + lane * 4, r0 = row_tile * TILE_ROWS;
    int rows = min(TILE_ROWS, t->p.rows - r0), left = t->p.cols - c;
    bool decay = t->p.decay, whole = left >= 4 && (t->p.at | t->p.ld | s.moments_at) % 4 == 0;
    s.scale = scale_of(&s);
    if (isnan(s.scale)) rows = 0;
    float col[4] = { 0, 0, 0, 0 };
    for (int r = walker; r < TILE_ROWS; r += WALKERS) {
        float row = 0;
        size_t i = t->p.at + (size_t)(r0 + r) * t->p.ld + c, k = i - s.moments_at;
        if (r < rows && whole) {
            float4 w = *(float4 *)(weights + i), g = *(const float4 *)(grads + i),
                   m = *(float4 *)(ms + k), v = *(float4 *)(vs + k);
            float a0 = adam(&w.x, g.x, &m.x, &v.x, &s, decay),
                  a1 = adam(&w.y, g.y, &m.y, &v.y, &s, decay);
            float a2 = adam(&w.z, g.z, &m.z, &v.z, &s, decay),
                  a3 = adam(&w.w, g.w, &m.w, &v.w, &s, decay);
            *(float4 *)(weights + i) = w, *(float4 *)(ms + k) = m, *(float4 *)(vs + k) = v;
            if (brief) {
                ((__nv_bfloat162 *)(brief + i))[0] = __floats2bfloat162_rn(w.x, w.y);
                ((__nv_bfloat162 *)(brief + i))[1] = __floats2bfloat162_rn(w.z, w.w);
            }
            col[0] += a0, col[1] += a1, col[2] += a2, col[3] += a3;
            row = a0 + a1 + a2 + a3;
        } else if (r < rows) {
            for (int j = 0; j < 4 && j < left; j++) {
                float a = adam(&weights[i + j], grads[i + j], &ms[k + j], &vs[k + j], &s, decay);
                if (brief) brief[i + j] = __float2bfloat16(weights[i + j]);
                col[j] += a;
                row += a;
            }
        }
        if constexpr (SUMS) {
            row = warp_sum(row);
            if (lane % 32 == 0) by_row[r][lane / 32] = row;
        }
    }
    if constexpr (SUMS) {
        for (int j = 0; j < 4; j++) by_col[walker][lane * 4 + j] = col[j];
        __syncthreads();
        int k = threadIdx.x;
        if (t->p.row_sum >= 0 && k < t->p.rows - r0 && k < TILE_ROWS)
            partial[t->rows_at + (size_t)col_tile * t->p.rows + r0 + k] =
                by_row[k][0] + by_row[k][1];
        c = col_tile * TILE_COLS + k;
        if (t->p.col_sum >= 0 && c < t->p.cols)
            partial[t->cols_at + (size_t)row_tile * t->p.cols + c] =
                by_col[0][k] + by_col[1][k] + by_col[2][k] + by_col[3][k];
    }
}

/* One warp a group: the partial sums of every tensor that touches it, lane by lane, in order. */
__global__ void group_sums_kernel(double *sums, const float *partial, const struct tensor *tensors,
                                  const int *first, const int *members, int n_sums)
{
    int group = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (group >= n_sums) return;
    double sum = 0;
    for (int k = first[group]; k < first[group + 1]; k++) {
        const struct tensor *t = &tensors[members[k] / 2];
        bool col = members[k] % 2;
        int at = col ? t->p.col_sum : t->p.row_sum, span = col ? t->p.col_span : t->p.row_span;
        int size = col ? t->p.cols : t->p.rows, tiles = col ? t->row_tiles : t->col_tiles;
        int from = (group - at) * span, width = min(span, size - from);
        const float *p = partial + (col ? t->cols_at : t->rows_at);
        if (width <= 0) continue;
        for (int i = lane; i < width * tiles; i += 32)
            sum += p[(size_t)(i / width) * size + from + i % width];
    }
    for (int s = 16; s; s /= 2) sum += __shfl_down_sync(0xffffffffu, sum, s);
    if (!lane) sums[group] += sum;
}

static void adamw(struct backend *be, const struct adamw *a)
{
    struct device *d = device_of(be);
    struct table *t = &d->optim->step;
    tensors_make(d, t, a->param, a->n_params);
    if (a->sums) members_make(d, a->param, a->n_params, a->n_sums);
    struct step s;
    s.moments_at = a->moments_at;
    s.lr = (float)a->lr, s.beta1 = (float)a->beta1, s.beta2 = (float)a->beta2,
    s.epsilon = (float)a->epsilon;
    s.keep = (float)(1 - a->lr * a->weight_decay), s.scale = 1;
    s.squares = (const double *)a->squares->data + a->squares_at, s.clip_norm = a->clip_norm;
    s.correct1 = (float)(1 / (1 - pow(a->beta1, (double)a->step)));
    s.correct2 = (float)(1 / (1 - pow(a->beta2, (double)a->step)));
    float *w = (float *)a->weights->data, *m = (float *)a->m->data, *v = (float *)a->v->data;
    const float *g = (const float *)a->grads->data;
    bf16 *brief = a->weights->brief != a->weights->data ? (bf16 *)a->weights->brief : NULL;
    if (!a->sums) {
        adamw_kernel<false><<<t->n_tiles, LANES * WALKERS, 0, d->stream>>>(
            w, brief, g, m, v, t->tensor, t->n_params, s, NULL);
        LAUNCHED();
        return;
    }
    float *partial = (float *)device_scratch(d, t->partial_floats * sizeof(float));
    adamw_kernel<true><<<t->n_tiles, LANES * WALKERS, 0, d->stream>>>(w, brief, g, m, v, t->tensor,
                                                                      t->n_params, s, partial);
    LAUNCHED();
    group_sums_kernel<<<blocks_for((size_t)a->n_sums, 8), 256, 0, d->stream>>>(
        (double *)a->sums->data, partial, t->tensor, d->optim->first, d->optim->members, a->n_sums);
    LAUNCHED();
}

void optim_install(struct backend *be)
{
    struct device *d = device_of(be);
    d->optim = (struct optim_tables *)calloc(1, sizeof *d->optim);
    if (!d->optim) abort();
    CUDA(cudaMalloc(&d->optim->squares, MAX_SQUARES * sizeof(double)));
    be->sum = sum;
    be->sum_squares = sum_squares;
    be->adamw = adamw;
}

void optim_close(struct device *d)
{
    tensors_clear(&d->optim->norm);
    tensors_clear(&d->optim->step);
    members_clear(d->optim);
    cudaFree(d->optim->squares);
    free(d->optim);
}
