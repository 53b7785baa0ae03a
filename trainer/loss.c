#include "trainer/loss.h"

#include "trainer/maps.h"

static const struct slot *head_slot(const struct model *model)
{
    bool tied = model_shape(model)->tie_word_embeddings;
    return layout_slot(&model->layout, tied ? SLOT_EMBED : SLOT_HEAD, -1);
}

static const struct slot *final_slot(const struct model *model)
{
    return layout_slot(&model->layout, SLOT_FINAL_NORM, -1);
}

static struct view final_gain(const struct model *model)
{
    return model_view(model, MODEL_WEIGHTS, final_slot(model));
}

static void final_norm(struct model *model)
{
    struct activations *at = model->at;
    model->be->rmsnorm_forward(model->be, at->norm, at->rstd_last, at->last,
                               final_gain(model), model_shape(model)->norm_eps);
    model_show(model, PLACE_STREAM, model_shape(model)->n_layers, at->last);
    model_show(model, PLACE_NORM, 2 * model_shape(model)->n_layers, at->norm);
}

/* Rows from..from+rows-1 of a vector that has one element a row of the batch. */
static struct view part(struct view vector, int from, int rows)
{
    return view_cols(vector, from, rows);
}

static int chunk_rows(const struct activations *at, int from)
{
    return at->rows - from < at->logits.rows ? at->rows - from : at->logits.rows;
}

static struct view chunk_logits(struct model *model, int from, int rows)
{
    struct activations *at = model->at;
    struct projection head = { .out = view_rows(at->logits, 0, rows),
                               .weight = model_view(model, MODEL_WEIGHTS, head_slot(model)) };
    model->be->linear_forward(model->be, &head, 1, view_rows(at->norm, from, rows));
    return head.out;
}

void loss_forward(struct model *model)
{
    struct activations *at = model->at;
    final_norm(model);
    for (int from = 0, rows; from < at->rows; from += rows) {
        rows = chunk_rows(at, from);
        model->be->cross_entropy(model->be, part(at->losses, from, rows),
                                 chunk_logits(model, from, rows), part(at->targets, from, rows), 0);
    }
}

static void chunk_backward(struct model *model, struct view d_logits, int from, bool add)
{
    struct activations *at = model->at;
    struct projection head = { .out = d_logits,
                               .weight = model_view(model, MODEL_WEIGHTS, head_slot(model)) };
    model->be->linear_backward_input(model->be, view_rows(at->d_norm, from, d_logits.rows), &head,
                                     1);
    if (model->lora) return;
    struct projection d_head = { .out = d_logits,
                                 .weight = model_view(model, MODEL_GRADS, head_slot(model)) };
    model->be->linear_backward_weight(model->be, &d_head, 1,
                                      view_rows(at->norm, from, d_logits.rows), add || from);
}

/* Losses of a chunk; its logits become their gradient. */
static void chunk_loss(struct model *model, struct view logits, int from, double scale)
{
    struct activations *at = model->at;
    struct view losses = part(at->losses, from, logits.rows);
    struct view targets = part(at->targets, from, logits.rows);
    if (model->teacher)
        model->be->distill(model->be, losses, logits,
                           chunk_logits(model->teacher, from, logits.rows), targets, model->distill,
                           scale);
    else if (model->z_loss > 0)
        model->be->z_cross_entropy(model->be, losses, logits, targets, model->z_loss, scale);
    else
        model->be->cross_entropy(model->be, losses, logits, targets, scale);
}

void loss_backward(struct model *model, double scale, bool add)
{
    struct activations *at = model->at;
    struct backend *be = model->be;
    final_norm(model);
    if (model->teacher) final_norm(model->teacher);
    for (int from = 0, rows; from < at->rows; from += rows) {
        rows = chunk_rows(at, from);
        struct view logits = chunk_logits(model, from, rows);
        chunk_loss(model, logits, from, scale);
        chunk_backward(model, logits, from, add);
    }
    be->zero(be, at->d_x);
    be->rmsnorm_backward(be, at->d_x, maps_gain_gradient(model, final_slot(model)), (struct view){ 0 },
                         at->d_norm, at->last, final_gain(model), at->rstd_last,
                         add);
}

void loss_normalise(struct model *model) { final_norm(model); }

int loss_logits_chunk(struct model *model, int from, float *to)
{
    int rows = chunk_rows(model->at, from);
    model->be->download(model->be, to, chunk_logits(model, from, rows));
    return rows;
}

void loss_logits(struct model *model, float *to)
{
    const struct activations *at = model->at;
    final_norm(model);
    for (int from = 0; from < at->rows;)
        from += loss_logits_chunk(model, from, to + (size_t)from * (size_t)at->logits.cols);
}
