#ifndef SEARCH_PLAN_H
#define SEARCH_PLAN_H

#include "search/search_options.h"

/*
 * What a search will take, guessed before it is known which types will go: a descent
 * in which every type of the space shrinks by the same factor, down to its floor.
 */

/* Credits that such a descent from `shape` to target parameters spends; at least 0, and
 * those down to the floors when the target is below them. */
int64_t plan_credits(const struct search_options *options, const struct shape *source,
                     const struct shape *shape, int64_t target_params);

/* The parameters at which options.stop ends the search; 0 when it stops by time. */
int64_t plan_target(const struct search_options *options, const struct shape *source);

/* Resolves schedule.fit_steps into steps_per_unit and channels_per_unit (schedule.h). */
void plan_fit(struct search_options *options, const struct shape *source);

#endif
