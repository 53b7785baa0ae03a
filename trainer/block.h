#ifndef TRAINER_BLOCK_H
#define TRAINER_BLOCK_H

#include "trainer/activations.h"
#include "trainer/model.h"

/*
 * One layer. Forward takes x to y; backward takes model->at->d_x from the gradient of
 * y to that of x and writes (or adds to) the gradients of the layer's weights.
 *
 *     mid = x + O attention(rope(q), rope(k), v),   q, k, v of rmsnorm(x)
 *     y = mid + down(silu(gate) * up),              gate, up of rmsnorm(mid)
 *
 * `remake` runs the forward again up to gate and up, for a layer whose
 * activations were not kept.
 */
void block_forward(struct model *model, int layer);
void block_remake(struct model *model, int layer);
void block_backward(struct model *model, int layer, bool add);

#endif
