#ifndef TRAINER_EXPORT_PAD_H
#define TRAINER_EXPORT_PAD_H

#include "trainer/formats/weights.h"

/*
 * A smaller model inside a larger shape, with the same logits: what is missing is
 * filled with zeros, for runtimes that want all layers alike.
 *
 *   KV heads   head k stays head k. With G = q_heads / kv_heads of the larger layer, the
 *              queries of KV head k become query heads k G, k G + 1, ...: next to their own
 *              KV head. The others have zero rows in q and zero columns in o.
 *   FFN        zero rows in gate and up (silu(0) 0 = 0), zero columns in down.
 *   stem       zero columns of everything that reads it, zero rows of what writes it. A norm
 *              would divide by sqrt(D) instead of sqrt(d), so gains are multiplied by
 *              sqrt(d / D) and eps by d / D: the quotient is the same.
 *
 * Everything but the stem is exact to the bit in any order of summation without rounding of
 * zeros; a padded stem is equal up to rounding. search/padding.h chooses the shape.
 */

/* Into a view over `inner`, which it borrows. `larger` must have the same layers, head_dim and
 * vocabulary, at least as many of everything else, and in every layer at least as many queries
 * per KV head; E_INPUT names what does not fit. Its norm_eps is set to the one that is needed. */
enum status weights_pad(struct weights **out, struct weights *inner, const struct shape *larger,
                        struct error *err);

#endif
