/*
 * The textbook. Every operation is written here once, in plain loops and with
 * double sums, in the shortest form that is obviously right. It is never made
 * faster: the other backends are measured against it.
 */
#include "trainer/backend_ref.h"
#include "trainer/backend_host.h"

#include <stdlib.h>

static void ref_close(struct backend *be) { free(be); }

enum status backend_ref(struct backend **out, int threads, struct error *err)
{
    (void)threads, (void)err;
    struct backend *be = calloc(1, sizeof *be);
    if (!be) abort();
    be->name = "ref";
    be->threads = 1;
    be->multiple = 1;
    be->logits_at_once = 2 << 20;
    be->close = ref_close;
    host_memory_functions(be);
    be->distill = host_distill;
    be->z_cross_entropy = host_z_cross_entropy;
    ref_layer_functions(be);
    ref_attention_functions(be);
    ref_spans_functions(be);
    ref_step_functions(be);
    *out = be;
    return OK;
}
