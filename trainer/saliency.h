#ifndef TRAINER_SALIENCY_H
#define TRAINER_SALIENCY_H

#include "search/score.h"
#include "trainer/model.h"

/*
 * Sums of |w * g| per group, taken inside the optimizer's pass: w and g as they are
 * just before the step, g the gradient of the mean loss before clipping (first-order
 * saliency, methods.md 1.5; the sum over a group's parameters, which search divides
 * by their number).
 *
 * Groups are those of search/group.h. Biases and norm gains belong to theirs; a tied
 * embedding counts once, with the gradient summed over both uses; when heads are cut
 * by query, the rows of K and V belong to no head.
 *
 * The sums live on the backend between two collections, in an order of its own:
 *
 *     optim_step(model, &options, lr, step, saliency);   adds this step's
 *     saliency_collect(saliency, &scores);               moves them into the scores
 *
 * Where the ranks share the moments (model.h) each has the sums of its own tensors only; collecting
 * adds them up, so all ranks collect together.
 *
 * Collect before surgery: the sums fit the shape at which they were taken.
 */
struct saliency {
    struct model *model; /* borrowed */
    enum head_unit unit;
    bool without_embedding; /* embedding and head add to no sum */
    struct block *sums;  /* n_sums doubles, on the backend */
    int n_sums;          /* at the capacity: stem, then per layer heads and ffn */
    int64_t steps;       /* added since the last collection */
    double *host;        /* room for n_sums */
    struct param *param; /* model->param with the sums of each tensor filled in */
};

enum status saliency_open(struct saliency **out, struct model *model, enum head_unit unit,
                          struct error *err);
void saliency_close(struct saliency *saliency); /* NULL is fine */

/* The tensors of the model at its current shape and which sums they add to. */
const struct param *saliency_params(struct saliency *saliency);

/* Adds the sums to `scores`, which fits the model's current shape and was made with the same
 * unit, and the steps to its weight; starts again from 0. */
void saliency_collect(struct saliency *saliency, struct scores *scores);

#endif
