#ifndef TRAINER_LOSS_H
#define TRAINER_LOSS_H

#include "trainer/activations.h"
#include "trainer/model.h"

/*
 * From the last layer's output to the losses: final norm, LM head, cross-entropy,
 * in chunks of rows so that (N, V) logits never exist.
 *
 * loss_forward leaves one loss per row in model->at->losses. loss_backward does the
 * same and goes back on the way: model->at->d_x becomes the gradient of `last` for
 * scale * (sum of losses), and the gradients of head (or embedding, when tied) and
 * final norm are written, or added to.
 */
void loss_forward(struct model *model);
void loss_backward(struct model *model, double scale, bool add);

/* The logits themselves into host memory, (N, V) dense. */
void loss_logits(struct model *model, float *to);

/* The same in pieces: the last norm, then the logits from row `from` on, as many rows as fit into
 * model->at->logits; returns their number. */
void loss_normalise(struct model *model);
int loss_logits_chunk(struct model *model, int from, float *to);

#endif
