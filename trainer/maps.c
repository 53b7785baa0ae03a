#include "trainer/maps.h"

#include "trainer/activations.h"
#include "trainer/lora.h"

enum { MOST = 3 };

static const struct slot *slot_of(const struct model *model, const struct maps *maps, int i)
{
    return layout_slot(&model->layout, maps->kind[i], maps->layer);
}

static struct view bias_of(const struct model *model, enum model_block which,
                           const struct maps *maps, int i)
{
    static const enum slot_kind bias[SLOT_KINDS] = {
        [SLOT_Q] = SLOT_Q_BIAS, [SLOT_K] = SLOT_K_BIAS,     [SLOT_V] = SLOT_V_BIAS,
        [SLOT_O] = SLOT_O_BIAS, [SLOT_DOWN] = SLOT_DOWN_BIAS
    };
    enum slot_kind kind = bias[maps->kind[i]];
    const struct slot *slot = kind ? layout_slot(&model->layout, kind, maps->layer) : NULL;
    return slot ? model_view(model, which, slot) : (struct view){ 0 };
}

static const struct adapter *adapter_of(const struct model *model, const struct maps *maps, int i)
{
    return lora_find(model->lora, model, slot_of(model, maps, i));
}

/* h of map i, or its gradient; side by side for the maps of one input. */
static struct view hidden(const struct model *model, int i, bool gradient)
{
    const struct lora *lora = model->lora;
    size_t most = (size_t)model->options.batch_size * (size_t)model->options.sequence_length;
    size_t at = gradient ? MOST * most * (size_t)lora->ld : 0;
    struct view all = { lora->hidden, at, model->at->rows, MOST * lora->ld, MOST * lora->ld };
    return view_cols(all, i * lora->ld, lora->options.rank);
}

/* h = x A^T of those maps that have an adapter. */
static void adapters_in(struct model *model, const struct maps *maps, struct view inp)
{
    struct projection p[MOST];
    int n = 0;
    for (int i = 0; i < maps->n; i++) {
        const struct adapter *adapter = adapter_of(model, maps, i);
        if (adapter)
            p[n++] = (struct projection){ .out = hidden(model, i, false),
                                          .weight = lora_a(model->lora, MODEL_WEIGHTS, adapter) };
    }
    if (n) model->be->linear_forward(model->be, p, n, inp);
}

void maps_forward(struct model *model, const struct maps *maps, struct view inp)
{
    struct projection p[MOST];
    for (int i = 0; i < maps->n; i++)
        p[i] = (struct projection){ .out = maps->out[i],
                                    .weight =
                                        model_view(model, MODEL_WEIGHTS, slot_of(model, maps, i)),
                                    .bias = bias_of(model, MODEL_WEIGHTS, maps, i),
                                    .base = maps->base };
    model->be->linear_forward(model->be, p, maps->n, inp);
    if (!model->lora) return;
    adapters_in(model, maps, inp);
    for (int i = 0; i < maps->n; i++) {
        const struct adapter *adapter = adapter_of(model, maps, i);
        if (!adapter) continue;
        struct projection more = { .out = maps->out[i],
                                   .weight = lora_s(model->lora, MODEL_WEIGHTS, adapter),
                                   .base = maps->out[i] };
        model->be->linear_forward(model->be, &more, 1, hidden(model, i, false));
    }
}

/* d_h = d_out S, whose products with A join those of d_out with W. */
void maps_backward_input(struct model *model, const struct maps *maps, struct view d_inp)
{
    struct backend *be = model->be;
    struct projection p[2 * MOST];
    int n = 0;
    for (int i = 0; i < maps->n; i++)
        p[n++] = (struct projection){
            .out = maps->out[i], .weight = model_view(model, MODEL_WEIGHTS, slot_of(model, maps, i))
        };
    for (int i = 0; i < maps->n && model->lora; i++) {
        const struct adapter *adapter = adapter_of(model, maps, i);
        if (!adapter) continue;
        struct projection s = { .out = maps->out[i],
                                .weight = lora_s(model->lora, MODEL_WEIGHTS, adapter) };
        be->linear_backward_input(be, hidden(model, i, true), &s, 1);
        p[n++] = (struct projection){ .out = hidden(model, i, true),
                                      .weight = lora_a(model->lora, MODEL_WEIGHTS, adapter) };
    }
    be->linear_backward_input(be, d_inp, p, n);
}

static void adapters_backward(struct model *model, const struct maps *maps, struct view inp,
                              bool add)
{
    struct backend *be = model->be;
    struct projection d_a[MOST];
    int n = 0;
    adapters_in(model, maps, inp);
    for (int i = 0; i < maps->n; i++) {
        const struct adapter *adapter = adapter_of(model, maps, i);
        if (!adapter) continue;
        struct projection d_s = { .out = maps->out[i],
                                  .weight = lora_s(model->lora, MODEL_GRADS, adapter) };
        be->linear_backward_weight(be, &d_s, 1, hidden(model, i, false), add);
        d_a[n++] = (struct projection){ .out = hidden(model, i, true),
                                        .weight = lora_a(model->lora, MODEL_GRADS, adapter) };
    }
    if (n) be->linear_backward_weight(be, d_a, n, inp, add);
}

void maps_backward_weight(struct model *model, const struct maps *maps, struct view inp, bool add)
{
    struct projection p[MOST];
    if (model->lora) {
        adapters_backward(model, maps, inp, add);
        return;
    }
    for (int i = 0; i < maps->n; i++)
        p[i] =
            (struct projection){ .out = maps->out[i],
                                 .weight = model_view(model, MODEL_GRADS, slot_of(model, maps, i)),
                                 .bias = bias_of(model, MODEL_GRADS, maps, i) };
    model->be->linear_backward_weight(model->be, p, maps->n, inp, add);
}

struct view maps_gain_gradient(const struct model *model, const struct slot *slot)
{
    const struct lora *lora = model->lora;
    if (!lora) return model_view(model, MODEL_GRADS, slot);
    return (struct view){ lora->block[MODEL_GRADS], lora->gain, 1, slot->cols, slot->ld };
}
