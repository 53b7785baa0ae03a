#ifndef SEARCH_COST_H
#define SEARCH_COST_H

#include <stdint.h>
#include "search/shape.h"

/*
 * What a shape costs, by counting; nothing here is measured.
 *
 * flops_per_token is training, forward and backward, at a context of T tokens:
 *
 *     6 N + 6 T sum over layers (q_heads * head_dim)
 *
 * with N = shape_params (all unique weights) and the second term causal attention,
 * already halved. A forward pass alone is a third of it.
 * kv_bytes_per_token is the 16-bit key and value cache: sum over layers
 * 2 * kv_heads * head_dim * 2 bytes.
 */
struct cost {
    int64_t params, params_non_embedding;
    int64_t flops_per_token;
    int64_t kv_bytes_per_token;
    int context; /* the T above */
};

struct cost cost_of(const struct shape *shape, int context);

/* One object: params, params_non_embedding, flops_per_token, kv_bytes_per_token, context. */
void cost_emit(const struct cost *cost, struct emit *e);

#endif
