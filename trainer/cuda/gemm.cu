/*
 * Linear maps through cuBLASLt.
 *
 * cuBLASLt is column-major, so a row-major D (M, N) = op(A) op(B) is asked for as its transpose:
 * D^T (N, M) = op(B)^T op(A)^T, which swaps the operands and keeps every pointer and ld.
 *
 * For each distinct shape all of the library's candidates (up to CANDIDATES) are timed once, on the
 * caller's own operands and into scratch, which is worth 4 to 10 % of GEMM time. So that a resumed run takes the
 * same algorithms (and so the same bits), each rank appends its choices to a file of its own under
 * $XDG_CACHE_HOME/lathe; in-place reductions, whose order is not fixed, are never asked for.
 */
#include "trainer/cuda/gemm.h"

extern "C" {
#include "trainer/ranks.h"
}

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CANDIDATES = 64, TRIALS = 5, CACHE_SLOTS = 4096 };
#define WORKSPACE_BYTES (64u << 20)
#define LARGEST_TRIAL                                                                              \
    ((size_t)1 << 30) /* bytes of output; above it the first candidate is taken                    \
                       */

struct key {
    int M, N, K, ta, tb, lda, ldb, ldd, d_float, batch, half;
};

struct plan {
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, c, d;
    int ldc;
    int64_t stride_a, stride_b, stride_d;
};

struct entry {
    struct key key;
    int choice; /* which candidate; -1 while the entry is empty */
    cublasLtMatmulAlgo_t algo;
    bool ready;       /* algo is filled */
    struct plan plan; /* of the last call with this key; its op is NULL before the first */
};

struct gemm_cache {
    struct entry slot[CACHE_SLOTS];
    int n, file;
};

/* ---- the cache ------------------------------------------------------------------------ */

static void plan_release(struct plan *p);

static void entry_clear(struct entry *e)
{
    plan_release(&e->plan);
    e->choice = -1;
    e->ready = false;
}

static struct entry *find(struct gemm_cache *cache, const struct key *key)
{
    uint64_t hash = 1469598103934665603ull;
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ ((const unsigned char *)key)[i]) * 1099511628211ull;
    for (size_t i = hash % CACHE_SLOTS;; i = (i + 1) % CACHE_SLOTS) {
        struct entry *e = &cache->slot[i];
        if (e->choice >= 0 && !memcmp(&e->key, key, sizeof *key)) return e;
        if (e->choice < 0) {
            if (cache->n >= CACHE_SLOTS / 2) { /* full: shapes of long ago go first */
                for (int s = 0; s < CACHE_SLOTS; s++) entry_clear(&cache->slot[s]);
                cache->n = 0;
                return find(cache, key);
            }
            e->key = *key;
            return e;
        }
    }
}

static void cache_path(char *path, size_t room)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    cudaDeviceProp gpu;
    CUDA(cudaGetDeviceProperties(&gpu, 0));
    for (char *p = gpu.name; *p; p++)
        if (*p == ' ' || *p == '/') *p = '-';
    char dir[512];
    if (cache && *cache)
        snprintf(dir, sizeof dir, "%s", cache);
    else
        snprintf(dir, sizeof dir, "%s/.cache", home ? home : "/tmp");
    mkdir(dir, 0700);
    snprintf(path, room, "%s/lathe", dir);
    mkdir(path, 0700);
    snprintf(path, room, "%s/lathe/gemm-%s-%zu-%d.txt", dir, gpu.name, cublasLtGetVersion(),
             ranks_rank());
}

#define KEY_FORMAT "%d %d %d %d %d %d %d %d %d %d %d %d\n"

static void load_choices(struct gemm_cache *cache, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) return;
    struct key k;
    memset(&k, 0, sizeof k);
    int choice;
    while (fscanf(f, KEY_FORMAT, &k.M, &k.N, &k.K, &k.ta, &k.tb, &k.lda, &k.ldb, &k.ldd, &k.d_float,
                  &k.batch, &k.half, &choice) == 12) {
        struct entry *e = find(cache, &k);
        if (e->choice >= 0 || choice < 0 || choice >= CANDIDATES)
            continue; /* the first line wins */
        e->choice = choice;
        cache->n++;
    }
    fclose(f);
}

static void remember(struct gemm_cache *cache, struct entry *e, int choice)
{
    char line[200];
    const struct key *k = &e->key;
    e->choice = choice;
    cache->n++;
    int n = snprintf(line, sizeof line, KEY_FORMAT, k->M, k->N, k->K, k->ta, k->tb, k->lda, k->ldb,
                     k->ldd, k->d_float, k->batch, k->half, choice);
    if (cache->file >= 0 && write(cache->file, line, (size_t)n) != n)
        close(cache->file), cache->file = -1;
}

/* ---- one product -------------------------------------------------------------------------- */

static cublasLtMatrixLayout_t matrix(cudaDataType_t type, int rows, int cols, int ld, int batch,
                                     int64_t stride)
{
    cublasLtMatrixLayout_t m;
    BLAS(cublasLtMatrixLayoutCreate(&m, type, (uint64_t)rows, (uint64_t)cols, ld));
    if (batch > 1) {
        BLAS(cublasLtMatrixLayoutSetAttribute(m, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                              sizeof batch));
        BLAS(cublasLtMatrixLayoutSetAttribute(m, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                              &stride, sizeof stride));
    }
    return m;
}

/* Column-major view of a row-major operand: (cols, rows), and its transpose flag stays. */
static struct plan plan_make(const struct device *d, const struct gemm *g)
{
    struct plan p;
    cudaDataType_t in = d->half ? CUDA_R_16BF : CUDA_R_32F,
                   out = d->half && !g->d_float ? CUDA_R_16BF : CUDA_R_32F;
    cublasOperation_t first = g->tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                      second = g->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    BLAS(cublasLtMatmulDescCreate(&p.op, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    BLAS(cublasLtMatmulDescSetAttribute(p.op, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    BLAS(cublasLtMatmulDescSetAttribute(p.op, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    p.a = matrix(in, g->tb ? g->K : g->N, g->tb ? g->N : g->K, g->ldb, g->batch, g->stride_b);
    p.b = matrix(in, g->ta ? g->M : g->K, g->ta ? g->K : g->M, g->lda, g->batch, g->stride_a);
    p.c = matrix(out, g->N, g->M, g->c ? g->ldc : g->ldd, g->batch, g->stride_d);
    p.d = matrix(out, g->N, g->M, g->ldd, g->batch, g->stride_d);
    p.ldc = g->c ? g->ldc : g->ldd;
    p.stride_a = g->stride_a, p.stride_b = g->stride_b, p.stride_d = g->stride_d;
    return p;
}

static void plan_release(struct plan *p)
{
    if (!p->op) return;
    cublasLtMatrixLayoutDestroy(p->a);
    cublasLtMatrixLayoutDestroy(p->b);
    cublasLtMatrixLayoutDestroy(p->c);
    cublasLtMatrixLayoutDestroy(p->d);
    cublasLtMatmulDescDestroy(p->op);
    p->op = NULL;
}

static const struct plan *plan_of(const struct device *d, const struct gemm *g, struct entry *e)
{
    struct plan *p = &e->plan;
    if (p->op && p->ldc == (g->c ? g->ldc : g->ldd) &&
        (g->batch < 2 ||
         (p->stride_a == g->stride_a && p->stride_b == g->stride_b && p->stride_d == g->stride_d)))
        return p;
    plan_release(p);
    *p = plan_make(d, g);
    return p;
}

static cublasStatus_t run(struct device *d, const struct gemm *g, const struct plan *p,
                          const cublasLtMatmulAlgo_t *algo, void *out)
{
    float one = 1, beta = g->c ? 1 : 0;
    return cublasLtMatmul(d->blas, p->op, &one, g->b, p->a, g->a, p->b, &beta, g->c ? g->c : out,
                          p->c, out, p->d, algo, d->workspace, d->workspace_bytes, d->stream);
}

static int candidates(struct device *d, const struct plan *p,
                      cublasLtMatmulHeuristicResult_t *found)
{
    int n = 0;
    uint32_t align = 16,
             reductions = CUBLASLT_REDUCTION_SCHEME_MASK & ~CUBLASLT_REDUCTION_SCHEME_INPLACE;
    cublasLtMatmulPreference_t want;
    BLAS(cublasLtMatmulPreferenceCreate(&want));
    BLAS(cublasLtMatmulPreferenceSetAttribute(want, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                              &d->workspace_bytes, sizeof d->workspace_bytes));
    BLAS(cublasLtMatmulPreferenceSetAttribute(want, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                              &reductions, sizeof reductions));
    cublasLtMatmulPreferenceAttributes_t aligns[] = { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                                      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                                      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                                      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES };
    for (int i = 0; i < 4; i++)
        BLAS(cublasLtMatmulPreferenceSetAttribute(want, aligns[i], &align, sizeof align));
    BLAS(cublasLtMatmulAlgoGetHeuristic(d->blas, p->op, p->a, p->b, p->c, p->d, want, CANDIDATES,
                                        found, &n));
    cublasLtMatmulPreferenceDestroy(want);
    return n;
}

/* Median-free and short on purpose: the fastest of TRIALS runs, events around each; what is a third slower
 * than the best so far is left at once. */
static int fastest(struct device *d, const struct gemm *g, const struct plan *p,
                   const cublasLtMatmulHeuristicResult_t *found, int n)
{
    size_t bytes = ((size_t)(g->batch - 1) * (size_t)g->stride_d + (size_t)g->M * (size_t)g->ldd) *
                   sizeof(float);
    if (bytes > LARGEST_TRIAL) return 0;
    void *out = device_scratch(d, bytes);
    cudaEvent_t from, to;
    CUDA(cudaEventCreate(&from));
    CUDA(cudaEventCreate(&to));
    int best = 0;
    float least = 1e30f;
    for (int i = 0; i < n; i++) {
        for (int t = 0; t <= TRIALS; t++) { /* the first warms up */
            float ms = 0;
            CUDA(cudaEventRecord(from, d->stream));
            if (run(d, g, p, &found[i].algo, out) != CUBLAS_STATUS_SUCCESS) break;
            CUDA(cudaEventRecord(to, d->stream));
            CUDA(cudaEventSynchronize(to));
            CUDA(cudaEventElapsedTime(&ms, from, to));
            if (t && ms < least) least = ms, best = i;
            if (t && 3 * ms > 4 * least) break;
        }
    }
    cudaEventDestroy(from);
    cudaEventDestroy(to);
    return best;
}

static void pick(struct device *d, const struct gemm *g, const struct plan *p, struct entry *e)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int n = candidates(d, p, found);
    if (!n)
        blas_must(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic", __FILE__,
                  __LINE__);
    if (e->choice < 0) {
        if (replay_records(d)) { /* no time for trials; the next call outside makes them */
            e->algo = found[0].algo;
            return;
        }
        remember(d->gemms, e, fastest(d, g, p, found, n));
    }
    e->algo = found[e->choice < n ? e->choice : 0].algo;
    e->ready = true;
}

void gemm_run(struct device *d, const struct gemm *g)
{
    if (!g->M || !g->N || !g->K) return;
    struct key key;
    memset(&key, 0, sizeof key);
    key.M = g->M, key.N = g->N, key.K = g->K, key.ta = g->ta, key.tb = g->tb;
    key.lda = g->lda, key.ldb = g->ldb, key.ldd = g->ldd, key.d_float = g->d_float,
    key.batch = g->batch, key.half = d->half;
    struct entry *e = find(d->gemms, &key);
    const struct plan *p = plan_of(d, g, e);
    if (!e->ready || e->choice < 0) pick(d, g, p, e);
    BLAS(run(d, g, p, &e->algo, g->d));
}

void gemm_open(struct device *d)
{
    char path[600];
    d->gemms = (struct gemm_cache *)malloc(sizeof *d->gemms);
    if (!d->gemms) abort();
    memset(d->gemms, 0, sizeof *d->gemms);
    for (int s = 0; s < CACHE_SLOTS; s++) d->gemms->slot[s].choice = -1;
    BLAS(cublasLtCreate(&d->blas));
    d->workspace_bytes = WORKSPACE_BYTES;
    CUDA(cudaMalloc(&d->workspace, d->workspace_bytes));
    cache_path(path, sizeof path);
    load_choices(d->gemms, path);
    d->gemms->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

void gemm_close(struct device *d)
{
    if (d->gemms->file >= 0) close(d->gemms->file);
    for (int s = 0; s < CACHE_SLOTS; s++) entry_clear(&d->gemms->slot[s]);
    cudaFree(d->workspace);
    cublasLtDestroy(d->blas);
    free(d->gemms);
}
