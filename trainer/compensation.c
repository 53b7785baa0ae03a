#include "trainer/compensation.h"

#include <stdlib.h>

static const struct slot *matrix(const struct compensation *c, enum group_type type, int l)
{
    return layout_slot(&c->model->layout, type == GROUP_FFN ? SLOT_DOWN : SLOT_O, l);
}

enum status compensation_open(struct compensation **out, struct model *model, struct error *err)
{
    struct compensation *c = calloc(1, sizeof *c);
    const struct shape *shape = model_shape(model);
    size_t most = 1, d = (size_t)shape->hidden_size;
    if (!c) abort();
    c->model = model;
    for (int l = 0; l < shape->n_layers; l++)
        for (int type = GROUP_HEADS; type <= GROUP_FFN; type++) {
            size_t n = d * (size_t)matrix(c, (enum group_type)type, l)->cols;
            most = n > most ? n : most;
        }
    channels_init(&c->sum, shape);
    c->w = malloc(most * sizeof *c->w);
    c->bias = malloc(d * sizeof *c->bias);
    if (!c->w || !c->bias) {
        compensation_close(c);
        return fail(err, E_MEMORY, "no memory for a copy of the largest Wo or Wdown");
    }
    *out = c;
    return OK;
}

void compensation_close(struct compensation *c)
{
    if (!c) return;
    channels_release(&c->sum);
    free(c->w);
    free(c->bias);
    free(c);
}

void compensation_see(struct compensation *c, enum model_place place, int i, const float *x,
                      int rows)
{
    bool ffn = place == PLACE_FFN;
    if (!ffn && place != PLACE_ATTENTION) return;
    double *sum = ffn ? c->sum.ffn[i] : c->sum.attention[i];
    int n = ffn ? c->sum.n_ffn[i] : c->sum.n_attention[i];
    for (int r = 0; r < rows; r++, x += n)
        for (int j = 0; j < n; j++) sum[j] += x[j];
    if (ffn && i == 0) c->tokens += rows;
}

static void add_to_bias(struct compensation *c, enum group_type type, int l, const int *gone, int k)
{
    const struct slot *slot = matrix(c, type, l);
    const struct slot *bias =
        layout_slot(&c->model->layout, type == GROUP_FFN ? SLOT_DOWN_BIAS : SLOT_O_BIAS, l);
    const double *sum = type == GROUP_FFN ? c->sum.ffn[l] : c->sum.attention[l];
    model_read(c->model, MODEL_WEIGHTS, slot, c->w);
    model_read(c->model, MODEL_WEIGHTS, bias, c->bias);
    for (int r = 0; r < slot->rows; r++) {
        double add = 0;
        for (int i = 0; i < k; i++)
            add += c->w[(size_t)r * (size_t)slot->cols + (size_t)gone[i]] * sum[gone[i]];
        c->bias[r] = (float)(c->bias[r] + add / c->tokens);
    }
    model_write(c->model, MODEL_WEIGHTS, bias, c->bias);
}

void compensation_remove(struct compensation *c, const struct removal *removal)
{
    const struct shape *shape = model_shape(c->model);
    int *gone = malloc(((size_t)SHAPE_MAX_HEADS * (size_t)shape->head_dim + 1) * sizeof *gone);
    if (!gone) abort();
    for (int l = 0; removal->type != GROUP_STEM && l < shape->n_layers && c->tokens > 0; l++) {
        int k = channels_gone(removal, shape, l, gone);
        if (k) add_to_bias(c, removal->type, l, gone, k);
    }
    free(gone);
    channels_remove(&c->sum, shape, removal);
}

void compensation_fade(struct compensation *c, double keep)
{
    channels_fade(&c->sum, keep);
    c->tokens *= keep;
}
