/*
 * CUDA graphs: a sequence of calls that has come often enough is recorded, and from then on
 * launched as one. The runs before are plain, at least one, so that algorithms are chosen, plans
 * made and scratch grown by then; whatever moves such memory afterwards makes the recordings void.
 */
#include "trainer/cuda/device.h"

#include <stdlib.h>

enum { KEPT = 8 };

struct recording {
    uint64_t key;
    int runs, age;
    cudaGraphExec_t graph; /* NULL: not yet */
};

struct replay {
    struct recording kept[KEPT];
    struct recording *open; /* being recorded */
    int clock;
};

static void forget(struct recording *r)
{
    if (r->graph) CUDA(cudaGraphExecDestroy(r->graph));
    *r = {};
}

static struct recording *recording_of(struct replay *replay, uint64_t key)
{
    struct recording *oldest = replay->kept;
    for (int i = 0; i < KEPT; i++) {
        struct recording *r = &replay->kept[i];
        if (r->runs && r->key == key) return r;
        if (r->age < oldest->age) oldest = r;
    }
    forget(oldest);
    oldest->key = key;
    return oldest;
}

static bool replay_begin(struct backend *be, uint64_t key, int runs)
{
    struct device *d = device_of(be);
    struct recording *r = recording_of(d->replay, key);
    r->age = ++d->replay->clock;
    if (r->graph) {
        CUDA(cudaGraphLaunch(r->graph, d->stream));
        return true;
    }
    if (r->runs++ < (runs > 1 ? runs : 1)) return false;
    d->replay->open = r;
    CUDA(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal));
    return false;
}

static void replay_end(struct backend *be)
{
    struct device *d = device_of(be);
    struct recording *r = d->replay->open;
    cudaGraph_t graph;
    if (!r) return;
    d->replay->open = NULL;
    CUDA(cudaStreamEndCapture(d->stream, &graph));
    CUDA(cudaGraphInstantiate(&r->graph, graph, 0));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaGraphLaunch(r->graph, d->stream));
}

bool replay_records(const struct device *d) { return d->replay->open != NULL; }

void replay_void(struct device *d)
{
    for (int i = 0; i < KEPT; i++) forget(&d->replay->kept[i]);
}

void replay_install(struct backend *be)
{
    struct device *d = device_of(be);
    d->replay = (struct replay *)calloc(1, sizeof *d->replay);
    if (!d->replay) abort();
    be->replay_begin = replay_begin;
    be->replay_end = replay_end;
}

void replay_close(struct device *d)
{
    replay_void(d);
    free(d->replay);
}
