#include "search/cost.h"

struct cost cost_of(const struct shape *shape, int context)
{
    struct cost cost = { .params = shape_params(shape),
                         .params_non_embedding = shape_params_non_embedding(shape),
                         .context = context };
    int64_t attention = 0, kv = 0;
    for (int l = 0; l < shape->n_layers; l++) {
        attention += (int64_t)shape->layer[l].q_heads * shape->head_dim;
        kv += (int64_t)shape->layer[l].kv_heads * shape->head_dim;
    }
    cost.flops_per_token = 6 * cost.params + 6 * attention * context;
    cost.kv_bytes_per_token = kv * 2 * 2; /* keys and values, two bytes each */
    return cost;
}

void cost_emit(const struct cost *cost, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_int(e, "params", cost->params);
    emit_kv_int(e, "params_non_embedding", cost->params_non_embedding);
    emit_kv_int(e, "flops_per_token", cost->flops_per_token);
    emit_kv_int(e, "kv_bytes_per_token", cost->kv_bytes_per_token);
    emit_kv_int(e, "context", cost->context);
    emit_end(e);
}
