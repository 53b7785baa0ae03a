#include "trainer/backend.h"

static enum status absent(struct backend **out, struct error *err)
{
    *out = NULL;
    return fail(err, E_MISSING,
                "this build has no CUDA backend; configure with --preset cuda, or use cpu");
}

enum status backend_cuda(struct backend **out, int threads, struct error *err)
{
    (void)threads;
    return absent(out, err);
}

enum status backend_cuda_exact(struct backend **out, int threads, struct error *err)
{
    (void)threads;
    return absent(out, err);
}

enum status backend_cuda_f32(struct backend **out, int threads, struct error *err)
{
    (void)threads;
    return absent(out, err);
}
