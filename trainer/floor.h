#ifndef TRAINER_FLOOR_H
#define TRAINER_FLOOR_H

#include "trainer/model.h"

/*
 * The floor under a training step: all its matrix products and nothing else, on the
 * model's own memory, in the order of the step. What a step takes above it is what
 * norms, softmax, optimizer and the rest cost.
 *
 * Linear layers go through the backend's own matmuls, and the products inside
 * attention through the same kernels, per head in causal blocks of 48 query rows (work
 * above the diagonal counted only inside the last block), which is why there is a
 * floor for the backends cpu and cpu-blas only. Activations and gradients hold rubbish
 * afterwards.
 */

/* False when there is no floor for this backend. */
bool floor_exists(const struct model *model);

/* Runs the products of one step with the batch and time of the model's last call. */
void floor_step(struct model *model);

/* Their floating-point operations (2 per multiply-add), causal work counted once. */
double floor_flops(const struct model *model);

#endif
