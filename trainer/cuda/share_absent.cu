/* Without NCCL one process is all there can be. */
#include "trainer/cuda/device.h"

extern "C" {
#include "trainer/ranks.h"
}

static void spread(struct backend *be, struct block *weights, const size_t *edge, int n)
{
    (void)be, (void)weights, (void)edge, (void)n;
}

enum status share_install(struct backend *be, struct error *err)
{
    be->spread = spread;
    if (ranks_size() == 1) return OK;
    return fail(err, E_MISSING,
                "several GPUs need NCCL, which was not found when this was configured; install "
                "libnccl-dev and configure again");
}

void share_close(struct device *d) { (void)d; }
