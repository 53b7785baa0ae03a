#ifndef TRAINER_CHECKPOINT_TENSORS_H
#define TRAINER_CHECKPOINT_TENSORS_H

#include "trainer/checkpoint.h"

/* tensors.safetensors of a checkpoint (checkpoint.h). */
enum status checkpoint_write_tensors(const struct checkpoint *cp, struct model *model,
                                     const char *dir, struct error *err);

/* Allocates cp->scores, cp->n_scores numbers, and reads them from the folder cp->path. */
enum status checkpoint_read_scores(struct checkpoint *cp, struct error *err);

#endif
