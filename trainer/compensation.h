#ifndef TRAINER_COMPENSATION_H
#define TRAINER_COMPENSATION_H

#include "search/channels.h"
#include "trainer/model.h"

/*
 * FLAP's compensation (methods.md 17): what the inputs that go contributed on average is
 * added to the bias of the matrix that read them,
 *
 *     b += sum over inputs c that go of W[:, c] mean(x_c)
 *
 * for Wo (heads) and Wdown (FFN channels), whose biases the shape has (output_bias). The
 * mean is over the tokens seen since the last fade. A stem channel is made up for by
 * nothing: what reads it has no bias of ours. Host arithmetic on what the backend holds.
 */
struct compensation {
    struct model *model; /* borrowed */
    struct channels sum; /* of inputs; those of norms are not looked at */
    double tokens;
    float *w, *bias; /* room for the largest of Wo and Wdown, and for a bias */
};

/* The model's shape has output_bias. E_MEMORY. */
enum status compensation_open(struct compensation **out, struct model *model, struct error *err);
void compensation_close(struct compensation *c); /* NULL is fine */

/* One batch of inputs, dense (rows, the place's width). */
void compensation_see(struct compensation *c, enum model_place place, int i, const float *x,
                      int rows);

/* Just before surgery; moves along afterwards. The weights of what goes stay as they are. */
void compensation_remove(struct compensation *c, const struct removal *removal);

void compensation_fade(struct compensation *c, double keep);

#endif
