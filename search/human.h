#ifndef SEARCH_HUMAN_H
#define SEARCH_HUMAN_H

#include "search/shape.h"

/*
 * The human-practice shape: what somebody would draw who wants this source at another
 * size. Same layers, head_dim, vocabulary, tying and family; one factor on hidden size,
 * heads and FFN width of every layer.
 *
 * How the factor is chosen, and what is rounded, in this order:
 *   1. the factor s solves params(s d, s K, s F) = target over real widths (bisection);
 *   2. KV heads become round(s K), at least 1; query heads keep their number per KV head;
 *   3. with these heads the factor is solved again for d and F;
 *   4. d is rounded to a multiple of m, and F, solved once more for what is left of the
 *      target, too. m is the largest of 64, 32, 16, 8, 4, 2, 1 that meets the target
 *      within 0.5 % with neither d nor F more than 3 % off their factor; if none does,
 *      the d within 3 % of its factor and the whole F that come nearest the target.
 *
 * Within HUMAN_TOLERANCE for models people train; a shape of a few channels may miss it,
 * so `params` is part of the answer.
 */
#define HUMAN_TOLERANCE 0.005

struct human {
    struct shape shape;
    double factor;  /* the s of step 1 */
    int64_t params; /* of the shape */
    double error;   /* params / target - 1 */
};

/* E_INPUT when the target is above the source's parameters or below what one head, one
 * FFN channel and one stem channel need. */
enum status human_shape(const struct shape *source, int64_t target_params, struct human *out,
                        struct error *err);

#endif
