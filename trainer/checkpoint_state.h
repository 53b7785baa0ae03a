#ifndef TRAINER_CHECKPOINT_STATE_H
#define TRAINER_CHECKPOINT_STATE_H

#include "trainer/checkpoint.h"

/* The object of state.json; checkpoint_parse (checkpoint.h) reads it. */
enum { CHECKPOINT_MAX_STATE = 8 << 20 };

void checkpoint_emit(const struct checkpoint *cp, struct emit *e);

#endif
