#ifndef TRAINER_OPTIM_H
#define TRAINER_OPTIM_H

#include <stdint.h>
#include "trainer/model.h"
#include "trainer/saliency.h"

/*
 * The optimizer: one pass that clips, applies AdamW and, when asked, adds to the
 * saliency sums. Weight decay is applied to tensors with two dimensions only. Where the ranks share
 * the moments, each steps the weights of its own run; then all get them.
 */
struct optim_options {
    double beta1, beta2, epsilon, weight_decay;
    double clip_norm; /* 0: no clipping */
};

/* One step with the gradients in the model. `step` is 1 for the first step of the run (bias
 * correction counts from it). `saliency` may be NULL. Returns the global gradient norm before
 * clipping. Gradients are scaled by clip_norm / (norm + 1e-6) when the norm is larger, as
 * torch.nn.utils.clip_grad_norm_ does. When the norm is not finite nothing is changed at all:
 * the caller sees it in the return value and decides. */
double optim_step(struct model *model, const struct optim_options *options, double lr, int64_t step,
                  struct saliency *saliency);

/* optim_step that does not wait for the device; the norm's square is model_total's MODEL_SQUARES. */
void optim_begin(struct model *model, const struct optim_options *options, double lr, int64_t step,
                 struct saliency *saliency);

/*
 * Learning rates. `step` counts from 1, the step about to be taken.
 *
 *     constant  linear warm-up over warmup_steps, then peak
 *     wsd       the same, then over the last decay_fraction of total_steps linearly to
 *               min_ratio * peak (reached one step after the last)
 *     cosine    warm-up, then half a cosine from peak to min_ratio * peak
 *     linear    warm-up, then linearly to min_ratio * peak
 */
enum lr_kind { LR_CONSTANT, LR_WSD, LR_COSINE, LR_LINEAR };

/* "constant", "wsd", "cosine", "linear", NULL: for field_choice. */
extern const char *const lr_names[];

struct lr_schedule {
    enum lr_kind kind;
    double peak, min_ratio, decay_fraction;
    int64_t warmup_steps, total_steps; /* total_steps is not looked at when constant */
};

double lr_at(const struct lr_schedule *schedule, int64_t step);

#endif
