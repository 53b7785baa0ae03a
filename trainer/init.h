#ifndef TRAINER_INIT_H
#define TRAINER_INIT_H

#include <stdint.h>
#include "trainer/layout.h"

/*
 * Random weights. Gains are 1, biases 0, matrices normal with
 * std = sqrt(2 / (5 * hidden_size)) ("small init", Nguyen and Salazar 2019), and
 * the two matrices that write into the stem (o_proj, down_proj) that divided by
 * sqrt(2 * layers), so that the stem's variance does not grow with depth.
 *
 * Element (r, c) of a tensor is a function of seed, tensor name, r and c alone:
 * it depends on no other tensor, no thread and no order.
 */
/* What decides which numbers a tensor of that name gets. */
uint64_t init_key(const char *name);

/* Rows from..from+rows-1 of a tensor, dense. */
void init_rows(const struct layout *layout, const struct slot *slot, uint64_t seed, int from,
               int rows, float *to);

#endif
