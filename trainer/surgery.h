#ifndef TRAINER_SURGERY_H
#define TRAINER_SURGERY_H

#include "search/group.h"
#include "trainer/model.h"
#include "trainer/saliency.h"

/*
 * Taking groups out. Order inside a layer is free, so removing unit j is: the
 * last unit moves into the hole and the count shrinks by one. This happens in the
 * weights, both moments and the saliency sums; nothing else moves and nothing is
 * allocated. The vacated last unit is filled with zeros (backend.h, Widths).
 *
 * The model computes afterwards exactly what it computed before with the removed
 * group's weights at zero, except that the mean of the norms is over one channel
 * fewer when a stem channel goes.
 */

/* Removes one unit: for heads and ffn `position[i]` in layer i when layer is -1, else position[0]
 * in that layer; for stem position[0] (layer is -1). A position is counted in the shape before
 * the call. `saliency` may be NULL. E_CONFLICT when a position does not exist or would be the
 * last of its kind; nothing has changed then. */
enum status surgery_remove(struct model *model, struct saliency *saliency, enum group_type type,
                           int layer, const int *position, int n_positions, struct error *err);

#endif
