#ifndef TRAINER_OBS_H
#define TRAINER_OBS_H

#include "search/channels.h"
#include "search/search_options.h"
#include "trainer/hessian.h"
#include "trainer/model.h"

/*
 * The Hessians of a model's matrices that lose inputs, and what is done with them: the
 * statistic OBS, and the update of what remains when a unit goes (EfficientLLM-B).
 *
 *     heads  Wo of the layer               inputs: the heads' outputs
 *     ffn    Wdown of the layer            inputs: silu(gate) * up
 *     stem   Wq, Wk, Wv; Wgate, Wup; head  inputs: the outputs of the norms
 *
 * Matrices with the same inputs share a Hessian. A head that is the embedding (tied) is
 * not updated: as an embedding it would suffer. Output rows that go need no update.
 * Moments stay as they are. Biases are not touched; compensation.h is about those.
 */
struct obs {
    struct model *model;      /* borrowed */
    struct hessian *place[3]; /* by enum model_place; NULL when the type is not in the space */
    bool without_head;        /* the statistic leaves the head out of the stem */
    enum head_unit unit;
    float *w; /* room for the largest matrix */
};

enum status obs_open(struct obs **out, struct model *model, const struct search_options *options,
                     struct error *err);
void obs_close(struct obs *obs); /* NULL is fine */

/* One batch of inputs, dense (rows, the place's width). */
void obs_see(struct obs *obs, enum model_place place, int i, const float *x, int rows);

/* The loss increase of the optimal removal of every unit, into a table of the current shape. */
enum status obs_losses(struct obs *obs, struct scores *out, struct error *err);

/* The update, just before surgery. The units that go are left with zeros in these matrices. */
enum status obs_update(struct obs *obs, const struct removal *removal, struct error *err);

/* Moves the Hessians as a removal moves the units; `before` is the shape before it. */
void obs_remove(struct obs *obs, const struct shape *before, const struct removal *removal);

void obs_fade(struct obs *obs, double keep);

/* For a checkpoint. */
int64_t obs_count(const struct obs *obs);
void obs_get(const struct obs *obs, double *out);
void obs_set(struct obs *obs, const double *in);

#endif
