#ifndef TRAINER_EXPLAIN_H
#define TRAINER_EXPLAIN_H

#include "trainer/training.h"

/*
 * What a search saw at a snapshot, told as an event of its own (bounded by the number of
 * layers, below EVENT_MAX_BYTES):
 *
 *     explain {step, tokens, ordinal, ratio,
 *              influence: [...],      per layer, 1 - mean cosine of the stream before and
 *                                     after it on one held-out batch (search/depth.h);
 *                                     [] without a validation split
 *              quantiles: [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1],
 *              heads: [[...], ...],   per layer, these quantiles of the scores of its units,
 *              ffn: [[...], ...],     in the unit of the trajectory's min_score
 *              stem: [...]}           all three [] where nothing was scored
 */
enum status explain_snapshot(struct training *t, struct error *err);

#endif
