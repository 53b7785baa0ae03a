#ifndef TRAINER_DATA_MIXTURE_H
#define TRAINER_DATA_MIXTURE_H

#include "trainer/data/dataset.h"

/*
 * Dynamic batch loading (Sheared LLaMA; methods.md 6.4): domains whose loss is
 * further above its target get more of the coming batches. At every validation,
 *
 *     D = loss - target;  a = softmax(log w + D);  w = (1 - c) a + c / n,  c = 1e-4
 *
 * with n domains, the raw difference (it may be negative) as in the method's code.
 */
struct mixture {
    int n; /* domains; 0: weights stay as they are */
    double target[DATASET_MAX_DOMAINS];
};

/* Weights add up to 1 before and after. */
void mixture_update(const struct mixture *mixture, const double *loss, double *weight);

#endif
