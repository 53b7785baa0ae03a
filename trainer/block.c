#include "trainer/block.h"
#include "trainer/packed.h"

/* Views of this layer's parameters; `block` is NULL where the shape has none. */
static struct view param(const struct model *model, enum model_block which, enum slot_kind kind,
                         int l)
{
    const struct slot *slot = layout_slot(&model->layout, kind, l);
    return slot ? model_view(model, which, slot) : (struct view){ 0 };
}

static struct view weight(const struct model *model, enum slot_kind kind, int l)
{
    return param(model, MODEL_WEIGHTS, kind, l);
}

static struct view grad(const struct model *model, enum slot_kind kind, int l)
{
    return param(model, MODEL_GRADS, kind, l);
}

static struct attention_shape attention_of(const struct model *model, int l)
{
    const struct shape *shape = model_shape(model);
    return (struct attention_shape){ .batch = model->at->batch,
                                     .time = model->at->time,
                                     .q_heads = shape->layer[l].q_heads,
                                     .kv_heads = shape->layer[l].kv_heads,
                                     .head_dim = shape->head_dim };
}

static void attend(struct model *model, int l)
{
    struct layer_views *v = &model->at->layer[l];
    if (model->packed)
        packed_attention(model->packed, l);
    else
        model->be->attention_forward(model->be, v->att, v->lse, v->q, v->k, v->v,
                                     attention_of(model, l));
}

static void attention_half(struct model *model, int l)
{
    struct backend *be = model->be;
    struct layer_views *v = &model->at->layer[l];
    struct view norm = model->at->norm;
    struct projection qkv[] = {
        { .out = v->q, .weight = weight(model, SLOT_Q, l), .bias = weight(model, SLOT_Q_BIAS, l) },
        { .out = v->k, .weight = weight(model, SLOT_K, l), .bias = weight(model, SLOT_K_BIAS, l) },
        { .out = v->v, .weight = weight(model, SLOT_V, l), .bias = weight(model, SLOT_V_BIAS, l) },
    };
    struct projection o = { .out = v->mid, .weight = weight(model, SLOT_O, l), .base = v->x };
    be->rmsnorm_forward(be, norm, v->rstd_attn, v->x, weight(model, SLOT_ATTN_NORM, l),
                        model_shape(model)->norm_eps);
    model_show(model, PLACE_NORM, 2 * l, norm);
    be->linear_forward(be, qkv, 3, norm);
    be->rope(be, v->q, model->at->rope, model_shape(model)->head_dim, 1);
    be->rope(be, v->k, model->at->rope, model_shape(model)->head_dim, 1);
    attend(model, l);
    model_show(model, PLACE_ATTENTION, l, v->att);
    be->linear_forward(be, &o, 1, v->att);
}

static void gate_and_up(struct model *model, int l)
{
    struct backend *be = model->be;
    struct layer_views *v = &model->at->layer[l];
    struct projection both[] = {
        { .out = v->gate, .weight = weight(model, SLOT_GATE, l) },
        { .out = v->up, .weight = weight(model, SLOT_UP, l) },
    };
    be->rmsnorm_forward(be, model->at->norm, v->rstd_ffn, v->mid, weight(model, SLOT_FFN_NORM, l),
                        model_shape(model)->norm_eps);
    model_show(model, PLACE_NORM, 2 * l + 1, model->at->norm);
    be->linear_forward(be, both, 2, model->at->norm);
}

void block_remake(struct model *model, int layer)
{
    attention_half(model, layer);
    gate_and_up(model, layer);
}

void block_forward(struct model *model, int layer)
{
    struct backend *be = model->be;
    struct layer_views *v = &model->at->layer[layer];
    struct projection down = { .out = v->y,
                               .weight = weight(model, SLOT_DOWN, layer),
                               .base = v->mid };
    model_show(model, PLACE_STREAM, layer, v->x);
    block_remake(model, layer);
    be->swiglu_forward(be, v->act, v->gate, v->up);
    model_show(model, PLACE_FFN, layer, v->act);
    be->linear_forward(be, &down, 1, v->act);
}

static void ffn_backward(struct model *model, int l, bool add)
{
    struct backend *be = model->be;
    struct layer_views *v = &model->at->layer[l];
    struct view norm = model->at->norm, d_norm = model->at->d_norm, d_x = model->at->d_x;
    struct projection down = { .out = d_x, .weight = weight(model, SLOT_DOWN, l) };
    struct projection d_down = { .out = d_x, .weight = grad(model, SLOT_DOWN, l) };
    struct projection both[] = {
        { .out = v->gate, .weight = weight(model, SLOT_GATE, l) },
        { .out = v->up, .weight = weight(model, SLOT_UP, l) },
    };
    struct projection d_both[] = {
        { .out = v->gate, .weight = grad(model, SLOT_GATE, l) },
        { .out = v->up, .weight = grad(model, SLOT_UP, l) },
    };
    be->linear_backward_input(be, v->act, &down, 1);
    be->swiglu_backward(be, v->act, v->gate, v->up); /* gate and up are their gradients now */
    be->linear_backward_weight(be, &d_down, 1, v->act, add);
    be->linear_backward_input(be, d_norm, both, 2);
    be->rmsnorm_backward(be, d_x, grad(model, SLOT_FFN_NORM, l), norm, d_norm, v->mid,
                         weight(model, SLOT_FFN_NORM, l), v->rstd_ffn, add);
    be->linear_backward_weight(be, d_both, 2, norm, add);
}

static void attention_half_backward(struct model *model, int l, bool add)
{
    struct backend *be = model->be;
    struct layer_views *v = &model->at->layer[l];
    struct view norm = model->at->norm, d_norm = model->at->d_norm, d_x = model->at->d_x;
    struct projection o = { .out = d_x, .weight = weight(model, SLOT_O, l) };
    struct projection d_o = { .out = d_x, .weight = grad(model, SLOT_O, l) };
    struct projection qkv[] = {
        { .out = v->d_q, .weight = weight(model, SLOT_Q, l) },
        { .out = v->d_k, .weight = weight(model, SLOT_K, l) },
        { .out = v->d_v, .weight = weight(model, SLOT_V, l) },
    };
    struct projection d_qkv[] = {
        { .out = v->d_q, .weight = grad(model, SLOT_Q, l), .bias = grad(model, SLOT_Q_BIAS, l) },
        { .out = v->d_k, .weight = grad(model, SLOT_K, l), .bias = grad(model, SLOT_K_BIAS, l) },
        { .out = v->d_v, .weight = grad(model, SLOT_V, l), .bias = grad(model, SLOT_V_BIAS, l) },
    };
    be->linear_backward_input(be, v->d_att, &o, 1);
    be->linear_backward_weight(be, &d_o, 1, v->att, add);
    be->attention_backward(be, v->d_q, v->d_k, v->d_v, v->d_att, v->att, v->lse, v->q, v->k, v->v,
                           attention_of(model, l));
    be->rope(be, v->d_q, model->at->rope, model_shape(model)->head_dim, -1);
    be->rope(be, v->d_k, model->at->rope, model_shape(model)->head_dim, -1);
    be->linear_backward_input(be, d_norm, qkv, 3);
    be->rmsnorm_backward(be, d_x, grad(model, SLOT_ATTN_NORM, l), norm, d_norm, v->x,
                         weight(model, SLOT_ATTN_NORM, l), v->rstd_attn, add);
    be->linear_backward_weight(be, d_qkv, 3, norm, add);
}

void block_backward(struct model *model, int layer, bool add)
{
    ffn_backward(model, layer, add);
    attention_half_backward(model, layer, add);
}
