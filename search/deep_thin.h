#ifndef SEARCH_DEEP_THIN_H
#define SEARCH_DEEP_THIN_H

#include "search/human.h"

/*
 * The deep-thin shape: what MobileLLM's authors would draw (methods.md, section 19). Same
 * vocabulary, tying, head_dim and family as the source; everything else by the rule
 *
 *     hidden size d = heads * head_dim
 *     KV heads      the largest divisor of the heads that is at most a third of them
 *     FFN           8 d / 3
 *     layers        as many as the parameters allow
 *
 * and of all d the one whose d / layers comes nearest to 576 / 30, MobileLLM-125M's. FFN is
 * then moved, by at most a quarter, to meet the parameters within HUMAN_TOLERANCE.
 *
 * `factor` of the answer is 0: nothing was scaled. E_INPUT when no d gives such a shape with
 * 2..SHAPE_MAX_LAYERS layers.
 */
enum status deep_thin_shape(const struct shape *source, int64_t target_params, struct human *out,
                            struct error *err);

/*
 * The nearest shape of the catalog with the source's vocabulary, tying, family and positions,
 * brought to the target by one factor as in human.h. Its head_dim is the catalog's. E_INPUT
 * when the target is above all of them.
 */
enum status catalog_human_shape(const struct shape *source, int64_t target_params,
                                struct human *out, struct error *err);

#endif
