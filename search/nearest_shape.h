#ifndef SEARCH_NEAREST_SHAPE_H
#define SEARCH_NEAREST_SHAPE_H

#include "search/feasibility.h"

/* The shape that feasibility.h calls nearest. False when none is within the ceilings. */
bool nearest_shape(const struct shape *shape, const struct feasibility_rules *rules,
                   struct shape *out);

/* What the width rules ask of a shape: each number a multiple of these. */
struct width_rules {
    int hidden;    /* before the heads have their say (hf) */
    int attention; /* q_heads * head_dim */
    int ffn;
};

struct width_rules width_rules_of(const struct feasibility_rules *rules);

/* Can n processes share these heads? */
bool heads_divide(int q_heads, int kv_heads, int n);

#endif
