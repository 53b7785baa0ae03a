#ifndef TRAINER_MAPS_H
#define TRAINER_MAPS_H

#include "trainer/model.h"

/*
 * The linear maps of a layer that share an input, with what goes along with each: its
 * bias, and its adapter when the model has some (lora.h). With adapters
 *
 *     out = x W^T + h S^T,   h = x A^T
 *
 * and the way back gives the gradients of A and S in place of those of W and its bias.
 */
struct maps {
    int layer, n; /* n: at most 3 */
    enum slot_kind kind[3];
    struct view out[3]; /* (N, M); their gradients on the way back */
    struct view base;   /* added to the one output; block NULL: nothing */
};

void maps_forward(struct model *model, const struct maps *maps, struct view inp);

/* d_inp is written. Then, before the backward of any other maps, the gradients of the weights,
 * added to when `add`. */
void maps_backward_input(struct model *model, const struct maps *maps, struct view d_inp);
void maps_backward_weight(struct model *model, const struct maps *maps, struct view inp, bool add);

/* Where the gradient of a norm's gain goes. */
struct view maps_gain_gradient(const struct model *model, const struct slot *slot);

#endif
