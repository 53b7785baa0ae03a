#ifndef TRAINER_BYPASS_H
#define TRAINER_BYPASS_H

#include "search/search.h"
#include "trainer/model.h"

/*
 * The forward passes that learned keep probabilities (search/keep.h) are learned from: the
 * loss of a batch with some heads and FFN channels left out. A head's output is left out by
 * zeros in its columns of Wo, a channel by zeros in its column of Wdown; these matrices are
 * read out once a step and written back afterwards, so every backend serves, and training
 * sees the weights that it had, to the bit.
 *
 *     bypass_start(bypass, importance)       once: Wanda-sp's scores
 *     bypass_look(bypass, &batch, step)      after the gradients, before the optimizer
 *     bypass_remove(bypass, shape, removal)  before surgery
 *
 * Costs `masks` forward passes a step, and host copies of Wo and Wdown of all layers.
 */
struct bypass {
    struct model *model; /* borrowed */
    struct keep keep;
    float *kept, *masked; /* Wo and Wdown of all layers; room for the largest of them */
};

/* E_MEMORY. */
enum status bypass_open(struct bypass **out, struct model *model, const struct search *search,
                        struct error *err);
void bypass_close(struct bypass *bypass); /* NULL is fine */

static inline bool bypass_is_started(const struct bypass *bypass) { return bypass->keep.started; }

void bypass_start(struct bypass *bypass, const struct scores *importance);

/* Learns from the batch; `step` counts the steps of the job. */
void bypass_look(struct bypass *bypass, const struct model_batch *batch, int64_t step);

void bypass_remove(struct bypass *bypass, const struct shape *before,
                   const struct removal *removal);

#endif
