#include "trainer/block.h"
#include "trainer/packed.h"

#include "trainer/maps.h"

static const struct slot *slot_of(const struct model *model, enum slot_kind kind, int l)
{
    return layout_slot(&model->layout, kind, l);
}

static struct view gain(const struct model *model, enum slot_kind kind, int l)
{
    return model_view(model, MODEL_WEIGHTS, slot_of(model, kind, l));
}

static struct view d_gain(const struct model *model, enum slot_kind kind, int l)
{
    return maps_gain_gradient(model, slot_of(model, kind, l));
}

static struct maps qkv_of(int l, struct view q, struct view k, struct view v)
{
    return (struct maps){ l, 3, { SLOT_Q, SLOT_K, SLOT_V }, { q, k, v }, { 0 } };
}

static struct maps gate_and_up_of(const struct layer_views *v, int l)
{
    return (struct maps){ l, 2, { SLOT_GATE, SLOT_UP }, { v->gate, v->up }, { 0 } };
}

static struct maps one(int l, enum slot_kind kind, struct view out, struct view base)
{
    return (struct maps){ l, 1, { kind }, { out }, base };
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
    struct view norm = v->norm_attn;
    struct maps qkv = qkv_of(l, v->q, v->k, v->v), o = one(l, SLOT_O, v->mid, v->x);
    be->rmsnorm_forward(be, norm, v->rstd_attn, v->x, gain(model, SLOT_ATTN_NORM, l),
                        model_shape(model)->norm_eps);
    model_show(model, PLACE_NORM, 2 * l, norm);
    maps_forward(model, &qkv, norm);
    be->rope(be, v->q, model->at->rope, model_shape(model)->head_dim, 1);
    be->rope(be, v->k, model->at->rope, model_shape(model)->head_dim, 1);
    attend(model, l);
    model_show(model, PLACE_ATTENTION, l, v->att);
    maps_forward(model, &o, v->att);
}

static void gate_and_up(struct model *model, int l)
{
    struct backend *be = model->be;
    struct layer_views *v = &model->at->layer[l];
    struct maps both = gate_and_up_of(v, l);
    be->rmsnorm_forward(be, v->norm_ffn, v->rstd_ffn, v->mid, gain(model, SLOT_FFN_NORM, l),
                        model_shape(model)->norm_eps);
    model_show(model, PLACE_NORM, 2 * l + 1, v->norm_ffn);
    maps_forward(model, &both, v->norm_ffn);
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
    struct maps down = one(layer, SLOT_DOWN, v->y, v->mid);
    model_show(model, PLACE_STREAM, layer, v->x);
    block_remake(model, layer);
    be->swiglu_forward(be, v->act, v->gate, v->up);
    model_show(model, PLACE_FFN, layer, v->act);
    maps_forward(model, &down, v->act);
}

static void ffn_backward(struct model *model, int l, bool add)
{
    struct backend *be = model->be;
    struct layer_views *v = &model->at->layer[l];
    bool kept = model->at->keep == KEEP_OUTPUTS;
    struct view none = { 0 }, norm = v->norm_ffn, d_norm = model->at->d_norm, d_x = model->at->d_x;
    struct maps down = one(l, SLOT_DOWN, d_x, (struct view){ 0 }), both = gate_and_up_of(v, l);
    maps_backward_input(model, &down, v->d_act);
    if (kept) /* gate and up are their gradients now */
        be->swiglu_gradient(be, v->d_act, v->gate, v->up);
    else
        be->swiglu_backward(be, v->act, v->gate, v->up);
    maps_backward_weight(model, &down, v->act, add);
    maps_backward_input(model, &both, d_norm);
    be->rmsnorm_backward(be, d_x, d_gain(model, SLOT_FFN_NORM, l), kept ? none : norm, d_norm,
                         v->mid, gain(model, SLOT_FFN_NORM, l), v->rstd_ffn, add);
    maps_backward_weight(model, &both, norm, add);
}

static void attention_half_backward(struct model *model, int l, bool add)
{
    struct backend *be = model->be;
    struct layer_views *v = &model->at->layer[l];
    bool kept = model->at->keep == KEEP_OUTPUTS;
    struct view none = { 0 }, norm = v->norm_attn, d_norm = model->at->d_norm, d_x = model->at->d_x;
    struct maps o = one(l, SLOT_O, d_x, (struct view){ 0 });
    struct maps qkv = qkv_of(l, v->d_q, v->d_k, v->d_v);
    maps_backward_input(model, &o, v->d_att);
    maps_backward_weight(model, &o, v->att, add);
    be->attention_backward(be, v->d_q, v->d_k, v->d_v, v->d_att, v->att, v->lse, v->q, v->k, v->v,
                           attention_of(model, l));
    be->rope(be, v->d_q, model->at->rope, model_shape(model)->head_dim, -1);
    be->rope(be, v->d_k, model->at->rope, model_shape(model)->head_dim, -1);
    maps_backward_input(model, &qkv, d_norm);
    be->rmsnorm_backward(be, d_x, d_gain(model, SLOT_ATTN_NORM, l), kept ? none : norm, d_norm,
                         v->x, gain(model, SLOT_ATTN_NORM, l), v->rstd_attn, add);
    maps_backward_weight(model, &qkv, norm, add);
}

void block_backward(struct model *model, int layer, bool add)
{
    ffn_backward(model, layer, add);
    attention_half_backward(model, layer, add);
}
