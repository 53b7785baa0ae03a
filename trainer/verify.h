#ifndef TRAINER_VERIFY_H
#define TRAINER_VERIFY_H

/*
 * lathe-train verify --model DIR --expected FILE [--backend B] [--threads N]
 *
 * Recomputes what FILE holds for the model in DIR: logits and loss of input_ids, the
 * gradient of every parameter, losses and gradient norms of three optimizer steps on
 * the same batch and the parameters after them (clip 1.0, AdamW 1e-3, betas 0.9 and
 * 0.95, epsilon 1e-8, decay 0.1 on matrices). Prints one JSON object with the largest
 * relative error of every tensor: max |got - want| / max |want|. A gradient that is zero
 * in truth (of q and k at T 1) has no size to compare with: none counts as smaller than
 * 1e-3 of the largest one of all. Exit status 0 when all
 * are within 1e-4, 1 when not, 2 when something could not be read.
 */
int verify_main(int argc, char **argv);

#endif
