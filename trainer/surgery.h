#ifndef TRAINER_SURGERY_H
#define TRAINER_SURGERY_H

#include "search/trajectory.h"
#include "trainer/model.h"

/*
 * Taking groups out, by the rule of motion of search/group.h: the last unit moves
 * into the hole and the count shrinks by one. This happens in the weights and both
 * moments, in place; nothing is allocated. What is vacated becomes zero
 * (backend.h, Widths).
 *
 * The model computes afterwards exactly what it computed before with the removed
 * group's weights at zero, except that the mean of the norms is over one channel
 * fewer when a stem channel goes.
 *
 * Only type, unit, layer and positions of the removal are looked at (trajectory.h).
 * E_CONFLICT when a position does not exist or is the last of its kind; nothing has
 * changed then. Collect the saliency first.
 */
enum status surgery_remove(struct model *model, const struct removal *removal, struct error *err);

#endif
