#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <cblas.h>
#include <stdlib.h>

enum { MAX_THREADS = 1024 };

static void *grow(void *was, size_t *have, size_t want, size_t bytes)
{
    if (want <= *have) return was;
    free(was);
    void *now = aligned_alloc(64, (want * bytes + 63) / 64 * 64);
    if (!now) abort();
    *have = want;
    return now;
}

float *cpu_scratch(struct backend *be, size_t n)
{
    struct cpu *cpu = be->state;
    cpu->scratch = grow(cpu->scratch, &cpu->scratch_floats, n * (size_t)be->threads, sizeof(float));
    return cpu->scratch;
}

double *cpu_sums(struct backend *be, size_t n)
{
    struct cpu *cpu = be->state;
    cpu->sums = grow(cpu->sums, &cpu->n_sums, n, sizeof(double));
    memset(cpu->sums, 0, n * sizeof(double));
    return cpu->sums;
}

static void cpu_close(struct backend *be)
{
    struct cpu *cpu = be->state;
    free(cpu->scratch);
    free(cpu->sums);
    free(cpu);
    free(be);
}

static enum status open_with(struct backend **out, const char *name, const struct gemm *gemm,
                             int threads, struct error *err)
{
    if (threads < 1 || threads > MAX_THREADS)
        return fail(err, E_INPUT, "%d threads, outside 1..%d", threads, MAX_THREADS);
    struct backend *be = calloc(1, sizeof *be);
    struct cpu *cpu = calloc(1, sizeof *cpu);
    if (!be || !cpu) abort();
    cpu->gemm = gemm;
    be->name = name;
    be->threads = threads;
    be->multiple = 16;            /* a cache line of floats */
    be->logits_at_once = 2 << 20; /* 8 MB: stays in the cache */
    be->close = cpu_close;
    be->state = cpu;
    openblas_set_num_threads(1);
    host_memory_functions(be);
    be->distill = host_distill;
    cpu_linear_functions(be);
    cpu_layer_functions(be);
    cpu_attention_functions(be);
    cpu_spans_functions(be);
    cpu_step_functions(be);
    *out = be;
    return OK;
}

static const struct gemm *best_gemm(void)
{
    const struct gemm *own = gemm_avx512();
    if (!own) own = gemm_avx2();
    return own ? own : gemm_blas();
}

enum status backend_cpu(struct backend **out, int threads, struct error *err)
{
    return open_with(out, "cpu", best_gemm(), threads, err);
}

static enum status open_bf16(struct backend **out, const char *name, const struct brief_gemm *brief,
                             int threads, struct error *err)
{
    TRY(open_with(out, name, best_gemm(), threads, err));
    struct backend *be = *out;
    struct cpu *cpu = be->state;
    cpu->brief = brief;
    cpu_bf16_functions(be);
    return OK;
}

enum status backend_cpu_bf16(struct backend **out, int threads, struct error *err)
{
    if (gemm_amx()) return open_with(out, "cpu-bf16", gemm_amx(), threads, err);
    const struct brief_gemm *brief = brief_gemm_onednn(threads);
    if (!brief) brief = brief_gemm_sbgemm();
    *out = NULL;
    if (!brief)
        return fail(
            err, E_MISSING,
            "bf16 on the CPU needs a processor with AMX, or one with AVX512_BF16 and oneDNN "
            "or an OpenBLAS with cblas_sbgemm; this machine or build lacks one: use "
            "precision float32");
    return open_bf16(out, "cpu-bf16", brief, threads, err);
}

enum status backend_cpu_bf16x3(struct backend **out, int threads, struct error *err)
{
    *out = NULL;
    if (!gemm_amx_x3())
        return fail(err, E_MISSING,
                    "bf16x3 needs a processor with AMX (Intel's Xeons since Sapphire Rapids) and a "
                    "system that lets programs use it; this machine has none: use precision "
                    "float32");
    return open_with(out, "cpu-bf16x3", gemm_amx_x3(), threads, err);
}

enum status backend_cpu_bf16_plain(struct backend **out, int threads, struct error *err)
{
    return open_bf16(out, "cpu-bf16-plain", brief_gemm_plain(), threads, err);
}

enum status backend_cpu_blas(struct backend **out, int threads, struct error *err)
{
    return open_with(out, "cpu-blas", gemm_blas(), threads, err);
}
