#ifndef TRAINER_UNIT_SUMS_H
#define TRAINER_UNIT_SUMS_H

#include "search/channels.h"
#include "search/criterion.h"
#include "trainer/layout.h"

/*
 * Sums over single weights, tensor by tensor, in host memory: the statistics of a unit
 * and of a channel that need w, or w and g (criterion.h). Slow and plain: for criteria
 * other than the default, whose sums the optimizer's pass takes (saliency.h).
 */

/* How far the sums of a tensor by row and by column lie from its units (-1: none). */
struct unit_sums {
    const struct layout *layout;
    enum head_unit unit;
    bool embedding_in_stem;
    double *row, *col; /* room for the longest row and column of any tensor */
};

void unit_sums_init(struct unit_sums *sums, const struct layout *layout, enum head_unit unit,
                    bool embedding_in_stem);
void unit_sums_release(struct unit_sums *sums);

/* What statistic `k` makes of one weight and its gradient. STAT_WG_MEAN_ABS takes the sum of w g
 * over steps as `w` and 1 / steps as `g`. */
double unit_sums_value(enum statistic k, double w, double g);

/* Adds the tensor's share of statistic `k` (one of a unit) to the table, which fits the current
 * shape; of WG_MAX takes the larger. w and g are dense; g may be NULL where not needed. */
void unit_sums_add(struct unit_sums *sums, enum statistic k, const struct slot *slot,
                   const float *w, const float *g, struct scores *to);

/* Adds the tensor's share of COL_ABS or COL_SQ; none when it reads no channel. */
void unit_sums_columns(struct unit_sums *sums, enum statistic k, const struct slot *slot,
                       const float *w, struct channels *to);

#endif
