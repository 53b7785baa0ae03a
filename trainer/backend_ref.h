#ifndef TRAINER_BACKEND_REF_H
#define TRAINER_BACKEND_REF_H

#include "trainer/backend.h"

/* The parts of the ref backend, each filling in its functions of the table. */
void ref_layer_functions(struct backend *be);     /* embed, rmsnorm, linear, rope, swiglu */
void ref_attention_functions(struct backend *be); /* attention */
void ref_spans_functions(struct backend *be);     /* attention by spans */
void ref_step_functions(struct backend *be);      /* cross-entropy, norm, adamw */

#endif
