#include "trainer/backend.h"

enum status backend_cuda(struct backend **out, int threads, struct error *err)
{
    (void)threads;
    *out = NULL;
    return fail(err, E_MISSING,
                "this build has no CUDA backend; configure with --preset cuda, or use cpu");
}
