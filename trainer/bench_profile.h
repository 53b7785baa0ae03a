#ifndef TRAINER_BENCH_PROFILE_H
#define TRAINER_BENCH_PROFILE_H

#include "search/base/emit.h"
#include "trainer/backend.h"

/*
 * Where a step's time goes: between profile_begin and profile_end each operation of the
 * backend is timed from its call until the device is done with it, which makes a step on a
 * GPU longer than it is by itself. One profile at a time; it belongs to the process.
 */

/* Puts timers around the operations of `be`. */
void profile_begin(struct backend *be);

/* Takes them away again. */
void profile_end(struct backend *be);

/* Writes member "profile" of an open object, the costliest first, milliseconds and calls a step:
 *
 *     [{"operation": "linear_forward", "rows": 512, "inputs": 576, "outputs": 3072,
 *       "calls": 30, "ms": 151.2, "gflops": 359.5}, {"operation": "adamw", "calls": 1, "ms": 66.0}
 * ...]
 *
 * Linear maps have an entry for each size; maps that share their inputs count as one. */
void profile_report(int steps, struct emit *e);

#endif
