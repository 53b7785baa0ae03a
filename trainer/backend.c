#include "trainer/backend.h"

#include <string.h>

static const struct {
    const char *name;
    enum status (*open)(struct backend **out, int threads, struct error *err);
} backends[] = {
    { "ref", backend_ref },
    { "cpu", backend_cpu },
    { "cpu-blas", backend_cpu_blas },
    { "cuda", backend_cuda },
    { "cuda-exact", backend_cuda_exact },
    { "cuda-f32", backend_cuda_f32 },
    { "cpu-bf16", backend_cpu_bf16 },
    { "cpu-bf16-plain", backend_cpu_bf16_plain },
    { "cpu-bf16x3", backend_cpu_bf16x3 },
};

enum status backend_open(struct backend **out, const char *name, int threads, struct error *err)
{
    *out = NULL;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (!strcmp(name, backends[i].name)) return backends[i].open(out, threads, err);
    return fail(err, E_INPUT,
                "no backend is called '%s'; there are ref, cpu, cpu-bf16, cpu-bf16x3, cpu-blas, "
                "cuda, cuda-exact and cuda-f32",
                name);
}

void backend_close(struct backend *be)
{
    if (be) be->close(be);
}
