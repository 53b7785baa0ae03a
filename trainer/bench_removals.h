#ifndef TRAINER_BENCH_REMOVALS_H
#define TRAINER_BENCH_REMOVALS_H

#include "search/base/emit.h"
#include "trainer/model.h"

/*
 * What taking units out costs: for each type up to `n` removals in all layers at once (scope
 * uniform; per_layer when layers differ), one after another, each timed from the choice
 * among scores to the end of the surgery on weights and moments. The scores are random;
 * the model gets smaller. Writes member "removal" of an open object:
 *
 *     {"heads_ms": m, "ffn_ms": m, "stem_ms": m, "steps_per_100": r}
 *
 * medians, and 100 times the mean over the types of their means, in steps of step_ms.
 * A type that has nothing to give is null and does not count.
 */
enum status bench_removals(struct model *model, int n, double step_ms, struct emit *e,
                           struct error *err);

#endif
