#ifndef TESTS_TRAINER_WORLD_H
#define TESTS_TRAINER_WORLD_H

#include <stdlib.h>
#include "search/base/rng.h"
#include "tests/support/check.h"
#include "trainer/backend.h"

/*
 * Blocks of a backend, one of each use, filled with the same random numbers on every
 * backend; views are handed out in the order of asking, so that the same case gets the
 * same views everywhere. All of memory is compared afterwards: what an operation had
 * no business to touch is checked with what it had to write.
 */
enum { WORLD_FLOATS = 60000, WORLD_USES = BLOCK_IDS + 1 };

struct world {
    struct backend *be;
    struct block *block[WORLD_USES];
    size_t at[WORLD_USES];
    struct rng rng;
};

static inline struct view world_take(struct world *w, enum block_use use, int rows, int cols)
{
    int ld = (cols + 15) / 16 * 16;
    struct view v = { w->block[use], w->at[use], rows, cols, ld };
    w->at[use] += (size_t)rows * (size_t)ld;
    CHECK(w->at[use] <= WORLD_FLOATS, "%zu", w->at[use]);
    return v;
}

static inline struct view world_whole(struct world *w, enum block_use use)
{
    return (struct view){ w->block[use], 0, 1, WORLD_FLOATS, WORLD_FLOATS };
}

static inline struct view world_ids(struct world *w, int n, int below)
{
    struct view v = world_take(w, BLOCK_IDS, 1, n);
    int32_t *ids = calloc((size_t)n, sizeof *ids);
    for (int i = 0; i < n; i++) ids[i] = (int32_t)rng_below(&w->rng, (uint64_t)below);
    w->be->upload_ids(w->be, v, ids);
    free(ids);
    return v;
}

static inline void world_open(struct world *w, const char *backend, int threads)
{
    struct error err = { 0 };
    float *values = calloc(WORLD_FLOATS, sizeof *values);
    memset(w, 0, sizeof *w);
    CHECK_OK(backend_open(&w->be, backend, threads, &err), err);
    rng_init(&w->rng, 7);
    for (int use = 0; use < BLOCK_IDS; use++) {
        CHECK_OK(w->be->alloc(w->be, (enum block_use)use, WORLD_FLOATS, &w->block[use], &err), err);
        for (int i = 0; i < WORLD_FLOATS; i++) values[i] = (float)rng_normal(&w->rng);
        w->be->upload(w->be, world_whole(w, (enum block_use)use), values);
    }
    CHECK_OK(w->be->alloc(w->be, BLOCK_IDS, WORLD_FLOATS, &w->block[BLOCK_IDS], &err), err);
    free(values);
}

static inline void world_close(struct world *w)
{
    for (int use = 0; use < WORLD_USES; use++) w->be->release(w->be, w->block[use]);
    backend_close(w->be);
}

static inline void world_read(struct world *w, enum block_use use, float *to)
{
    w->be->download(w->be, to, world_whole(w, use));
}

#endif
