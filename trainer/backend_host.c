#include "trainer/backend_host.h"
#include "trainer/ranks.h"

#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE_BYTES = 4 << 20, LINE_BYTES = 64, PAGE_BYTES = 4096 };

/* The number after `key` at the start of a line of a file of the kernel, or `otherwise`. */
static size_t kernel_number(const char *path, const char *key, size_t otherwise)
{
    FILE *file = fopen(path, "re");
    if (!file) return otherwise;
    char line[256], *end;
    size_t number = otherwise;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key))) continue;
        unsigned long long value = strtoull(line + strlen(key), &end, 10);
        if (end != line + strlen(key)) number = value;
        break;
    }
    fclose(file);
    return number;
}

size_t host_bytes_available(void)
{
    size_t machine = kernel_number("/proc/meminfo", "MemAvailable:", SIZE_MAX / 1024) * 1024;
    size_t most = kernel_number("/sys/fs/cgroup/memory.max", "", SIZE_MAX);
    size_t used = kernel_number("/sys/fs/cgroup/memory.current", "", 0);
    size_t group = most > used ? most - used : 0;
    return machine < group ? machine : group;
}

static size_t element_bytes(enum block_use use)
{
    return use == BLOCK_SUMS ? sizeof(double) : sizeof(float);
}

static enum status refuse(size_t bytes, struct error *err)
{
    return fail(err, E_MEMORY, "%.2f GB asked for, %.2f GB available", (double)bytes / 1e9,
                (double)host_bytes_available() / 1e9);
}

static enum status map_block(struct block *block, struct error *err)
{
    if (block->n_bytes > host_bytes_available()) return refuse(block->n_bytes, err);
    void *bytes =
        mmap(NULL, block->n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) return refuse(block->n_bytes, err);
    madvise(bytes, block->n_bytes, MADV_HUGEPAGE);
    if (madvise(bytes, block->n_bytes, MADV_POPULATE_WRITE)) /* Linux before 5.14 lacks it */
        for (size_t at = 0; at < block->n_bytes; at += PAGE_BYTES) ((volatile char *)bytes)[at] = 0;
    block->bytes = bytes;
    block->mapped = true;
    return OK;
}

static enum status host_alloc(struct backend *be, enum block_use use, size_t n, struct block **out,
                              struct error *err)
{
    (void)be;
    *out = NULL;
    if (n > SIZE_MAX / 16) return refuse(SIZE_MAX, err);
    struct block *block = calloc(1, sizeof *block);
    if (!block) abort();
    block->n_bytes = (n * element_bytes(use) + LINE_BYTES) / LINE_BYTES * LINE_BYTES;
    if (block->n_bytes >= LARGE_BYTES) {
        enum status status = map_block(block, err);
        if (status) {
            free(block);
            return status;
        }
    } else {
        block->bytes = aligned_alloc(LINE_BYTES, block->n_bytes);
        if (!block->bytes) abort();
        memset(block->bytes, 0, block->n_bytes);
    }
    *out = block;
    return OK;
}

static void host_release(struct backend *be, struct block *block)
{
    (void)be;
    if (!block) return;
    if (block->mapped)
        munmap(block->bytes, block->n_bytes);
    else
        free(block->bytes);
    free(block->brief);
    free(block);
}

static size_t row_bytes(struct view v) { return (size_t)v.cols * sizeof(float); }

static void host_upload(struct backend *be, struct view to, const float *from)
{
    (void)be;
    to.block->stale = true;
    for (int r = 0; r < to.rows; r++)
        memcpy(host_row(to, r), from + (size_t)r * (size_t)to.cols, row_bytes(to));
}

static void host_download(struct backend *be, float *to, struct view from)
{
    (void)be;
    for (int r = 0; r < from.rows; r++)
        memcpy(to + (size_t)r * (size_t)from.cols, host_row(from, r), row_bytes(from));
}

static void host_upload_ids(struct backend *be, struct view to, const int32_t *from)
{
    (void)be;
    memcpy(host_row(to, 0), from, row_bytes(to));
}

static void host_upload_sums(struct backend *be, struct block *to, const double *from, int n)
{
    (void)be;
    memcpy(to->bytes, from, (size_t)n * sizeof *from);
}

static void host_download_sums(struct backend *be, double *to, struct block *from, int n)
{
    (void)be;
    memcpy(to, from->bytes, (size_t)n * sizeof *to);
}

static void host_copy(struct backend *be, struct view to, struct view from)
{
    (void)be;
    to.block->stale = true;
    if (to.cols == 1) /* a column: one element a row */
        for (int r = 0; r < to.rows; r++) *host_row(to, r) = *host_row(from, r);
    else
        for (int r = 0; r < to.rows; r++) memcpy(host_row(to, r), host_row(from, r), row_bytes(to));
}

static void host_zero(struct backend *be, struct view to)
{
    (void)be;
    to.block->stale = true;
    for (int r = 0; r < to.rows; r++) memset(host_row(to, r), 0, row_bytes(to));
}

static void host_move(struct backend *be, const struct move *m, int n)
{
    for (int i = 0; i < n; i++) {
        if (m[i].to.at != m[i].from.at) host_copy(be, m[i].to, m[i].from);
        host_zero(be, m[i].from);
    }
}

static void host_shift(struct backend *be, const struct shift *s, int n)
{
    (void)be;
    for (int i = 0; i < n; i++) {
        struct view v = s[i].rows;
        size_t row = (size_t)v.cols * sizeof(float);
        v.block->stale = true;
        for (int r = 0; r < v.rows; r++) {
            struct view to = v;
            to.at -= (size_t)s[i].up * (size_t)v.ld;
            memcpy(host_row(to, r), host_row(v, r), row);
        }
        for (int r = v.rows < s[i].up ? 0 : v.rows - s[i].up; r < v.rows; r++)
            memset(host_row(v, r), 0, row);
    }
}

static void host_finish(struct backend *be) { (void)be; }

static void host_share_begin(struct backend *be, struct block *grads, size_t at, size_t n)
{
    (void)be;
    ranks_sum_begin((float *)grads->bytes + at, n);
}

static void host_share_finish(struct backend *be)
{
    (void)be;
    ranks_finish();
}

static void host_spread(struct backend *be, struct block *weights, const size_t *edge, int n)
{
    (void)be;
    weights->stale = true;
    for (int i = 0; i < n; i++)
        ranks_spread_begin((float *)weights->bytes + edge[i], edge[i + 1] - edge[i], i);
    ranks_finish();
}

static void host_sum(struct backend *be, struct block *sums, int at, struct view x, bool add)
{
    const float *term = host_row(x, 0);
    double sum = 0;
    (void)be;
    for (int n = 0; n < x.cols; n++) sum += term[n];
    host_sums(sums)[at] = add ? host_sums(sums)[at] + sum : sum;
}

double host_grad_scale(const struct adamw *step)
{
    double norm = sqrt(host_sums(step->squares)[step->squares_at]);
    if (!isfinite(norm)) return NAN;
    return step->clip_norm > 0 ? fmin(1, step->clip_norm / (norm + 1e-6)) : 1;
}

void host_memory_functions(struct backend *be)
{
    be->alloc = host_alloc;
    be->release = host_release;
    be->upload = host_upload;
    be->download = host_download;
    be->upload_ids = host_upload_ids;
    be->upload_sums = host_upload_sums;
    be->download_sums = host_download_sums;
    be->sum = host_sum;
    be->copy = host_copy;
    be->zero = host_zero;
    be->move = host_move;
    be->shift = host_shift;
    be->finish = host_finish;
    be->share_begin = host_share_begin;
    be->share_finish = host_share_finish;
    be->spread = host_spread;
    for (int use = 0; use < BLOCK_USES; use++) be->element_bytes[use] = sizeof(float);
    be->element_bytes[BLOCK_SUMS] = sizeof(double);
    be->lends_gradients = true;
}
