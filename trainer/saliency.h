#ifndef TRAINER_SALIENCY_H
#define TRAINER_SALIENCY_H

#include "search/score.h"
#include "trainer/model.h"

/*
 * Sums of |w * g| per group over the steps since the last clear: w and g as they
 * are just before an optimizer step, g the gradient of the mean loss before
 * clipping (reference: EfficientLLM's first-order saliency; the sum over a
 * group's parameters, to be divided by their number by whoever compares).
 *
 * Groups are the three of search/group.h: a KV group counts its rows of K and V,
 * the rows of Q and columns of O of its query heads and their biases; an FFN
 * channel its rows of gate and up and its column of down; a stem channel its
 * column of the embedding (once when tied, with the summed gradient), of the head,
 * Q, K, V, gate and up, its row of O and down, and its element of every gain.
 *
 * Sums are kept in position order (layout.h) and move with the weights in surgery.
 */
struct saliency {
    struct model *model; /* borrowed */
    struct block *sums;  /* layout.n_sums doubles, on the backend */
    double *host;        /* the same, as of the last saliency_read */
    int64_t steps;       /* optimizer steps since the last clear */
    struct scores scores;
};

enum status saliency_open(struct saliency **out, struct model *model, struct error *err);
void saliency_close(struct saliency *saliency); /* NULL is fine */

void saliency_clear(struct saliency *saliency);

/* The sums as search wants them. The result points into `saliency` and is good until the next
 * call that takes it. */
const struct scores *saliency_read(struct saliency *saliency);

/* The raw array of layout.n_sums doubles, and steps, for checkpoints. */
void saliency_export(struct saliency *saliency, double *to);
void saliency_import(struct saliency *saliency, const double *from, int64_t steps);

#endif
