#include "trainer/model.h"

#include <assert.h>
#include <string.h>
#include "trainer/activations.h"
#include "trainer/block.h"
#include "trainer/lora.h"
#include "trainer/loss.h"

/* Running a model: forward, backward, loss. */

/* Elements of the residual stream: up to which launching costs about what computing does, and up to
 * which it is still felt; and how often a gradient runs before it is worth recording. */
enum { SMALL_STREAM = 4 << 20, MEDIUM_STREAM = 24 << 20, SMALL_PATIENCE = 2, MEDIUM_PATIENCE = 20 };

static void check_batch(const struct model *model, const struct model_batch *batch)
{
    int vocab = model_shape(model)->vocab_size;
    assert(batch->batch >= 1 && batch->batch <= model->options.batch_size);
    assert(batch->time >= 1 && batch->time <= model->options.sequence_length);
    for (int n = 0; n < batch->batch * batch->time; n++) {
        assert(batch->ids[n] >= 0 && batch->ids[n] < vocab);
        assert(!batch->targets || batch->targets[n] < vocab);
    }
}

static void begin(struct model *model, const struct model_batch *batch)
{
    check_batch(model, batch);
    model_place(model, batch->batch, batch->time);
    model->spoilt = model->at->lent;
    model->be->upload_ids(model->be, model->at->ids, batch->ids);
    if (batch->targets) model->be->upload_ids(model->be, model->at->targets, batch->targets);
}

static struct view embedding(const struct model *model, enum model_block which)
{
    return model_view(model, which, layout_slot(&model->layout, SLOT_EMBED, -1));
}

static void forward(struct model *model)
{
    struct activations *at = model->at;
    model->be->embed_forward(model->be, at->layer[0].x, embedding(model, MODEL_WEIGHTS), at->ids);
    for (int l = 0; l < model_shape(model)->n_layers; l++) block_forward(model, l);
}

/* The gradients of a layer (-1: those before the first, n_layers: those after the last) are
 * final: the other ranks may have them while we go on. */
static void share(struct model *model, int layer)
{
    const struct layout *layout = &model->layout;
    int n = layout->current.n_layers;
    if (!model->share || model->lora) return;
    size_t from = layer < 0 ? 0 : layout_layer_at(layout, layer);
    size_t to = layer < n ? layout_layer_at(layout, layer + 1) : layout->n_floats;
    model->be->share_begin(model->be, model->block[MODEL_GRADS], from, to - from);
}

static void share_adapters(struct model *model)
{
    struct backend *be = model->be;
    if (!model->share) return;
    be->share_begin(be, model->lora->block[MODEL_GRADS], 0, model->lora->n_floats);
    be->share_finish(be);
}

static void backward(struct model *model, bool add)
{
    struct activations *at = model->at;
    struct view d_table = embedding(model, MODEL_GRADS);
    const struct observer *observer = model->observer;
    model->observer = NULL; /* it has seen the forward that is remade here */
    for (int l = model_shape(model)->n_layers - 1; l >= 0; l--) {
        if (at->keep == KEEP_INPUTS) block_remake(model, l);
        block_backward(model, l, add);
        share(model, l);
    }
    model->observer = observer;
    if (model->lora) {
        share_adapters(model);
        return;
    }
    /* a tied table was written by the LM head already */
    if (!add && !model_shape(model)->tie_word_embeddings) model->be->zero(model->be, d_table);
    model->be->embed_backward(model->be, d_table, at->d_x, at->ids);
    share(model, -1);
    share(model, model_shape(model)->n_layers);
    if (model->share) model->be->share_finish(model->be);
}

static void sum_losses(struct model *model, bool add)
{
    model->be->sum(model->be, model->totals, MODEL_LOSS, model->at->losses, add);
}

void model_totals(struct model *model, double to[MODEL_TOTALS])
{
    model->be->download_sums(model->be, to, model->totals, MODEL_TOTALS);
}

double model_total(struct model *model, enum model_total which)
{
    double totals[MODEL_TOTALS];
    model_totals(model, totals);
    return totals[which];
}

double model_loss(struct model *model, const struct model_batch *batch, int64_t *n_targets)
{
    begin(model, batch);
    forward(model);
    loss_forward(model);
    *n_targets = 0;
    for (int n = 0; n < model->at->rows; n++) *n_targets += batch->targets[n] >= 0;
    model->be->sum(model->be, model->totals, MODEL_SEEN, model->at->losses, false);
    return model_total(model, MODEL_SEEN);
}

static uint64_t mix(uint64_t key, uint64_t x) { return (key ^ x) * 1099511628211u; }

/* All that decides which operations a gradient takes, and on what. */
static uint64_t gradient_key(const struct model *model, double loss_scale, bool add)
{
    const struct shape *shape = model_shape(model);
    uint64_t key = mix(1469598103934665603u, (uintptr_t)model), scale;
    memcpy(&scale, &loss_scale, sizeof scale);
    key = mix(mix(key, scale >> 32), scale);
    key = mix(mix(key, (uint64_t)model->at->batch), (uint64_t)model->at->time);
    key = mix(mix(key, (uint64_t)shape->hidden_size), add);
    for (int l = 0; l < shape->n_layers; l++) {
        const struct layer_shape *layer = &shape->layer[l];
        key = mix(mix(key, (uint64_t)layer->q_heads), (uint64_t)layer->kv_heads);
        key = mix(key, (uint64_t)layer->ffn);
    }
    return key;
}

/* After how many runs a gradient is recorded; 0: never. Only without anybody who looks in between.
 */
static int patience(const struct model *model)
{
    size_t stream = (size_t)model->at->rows * (size_t)model_shape(model)->hidden_size;
    if (!model->be->replay_begin || model->share || model->observer || model->teacher ||
        model->lora)
        return 0;
    return stream <= SMALL_STREAM ? SMALL_PATIENCE : stream <= MEDIUM_STREAM ? MEDIUM_PATIENCE : 0;
}

void model_gradient_begin(struct model *model, const struct model_batch *batch, double loss_scale,
                          bool add)
{
    assert(model->options.train == MODEL_TRAIN || model->lora);
    assert(!add || !model->options.lend_gradients);
    if (model->teacher) {
        begin(model->teacher, batch);
        forward(model->teacher);
    }
    begin(model, batch);
    int runs = patience(model);
    if (!runs || !model->be->replay_begin(model->be, gradient_key(model, loss_scale, add), runs)) {
        forward(model);
        loss_backward(model, loss_scale, add);
        backward(model, add);
        if (runs) model->be->replay_end(model->be);
    }
    model->spoilt = false;
    sum_losses(model, add);
}

double model_gradient(struct model *model, const struct model_batch *batch, double loss_scale,
                      bool add)
{
    model_gradient_begin(model, batch, loss_scale, add);
    return model_total(model, MODEL_LOSS);
}

enum status model_set_teacher(struct model *model, struct model *teacher, struct distill distill,
                              struct error *err)
{
    int mine = model_shape(model)->vocab_size, other = model_shape(teacher)->vocab_size;
    if (!model->be->distill)
        return fail(err, E_INPUT, "backend %s cannot distill", model->be->name);
    if (mine != other)
        return fail(err, E_INPUT, "the teacher's vocabulary has %d tokens, the model's %d", other,
                    mine);
    assert(teacher->be == model->be);
    assert(teacher->options.batch_size == model->options.batch_size);
    assert(teacher->options.sequence_length == model->options.sequence_length);
    model->teacher = teacher;
    model->distill = distill;
    return OK;
}

enum status model_set_z_loss(struct model *model, double z, struct error *err)
{
    if (z > 0 && !model->be->z_cross_entropy)
        return fail(err, E_INPUT, "recipe/z_loss: backend %s cannot", model->be->name);
    model->z_loss = z;
    return OK;
}

void model_logits(struct model *model, const struct model_batch *batch, float *to)
{
    struct model_batch inputs = { batch->ids, NULL, batch->batch, batch->time };
    begin(model, &inputs);
    forward(model);
    loss_logits(model, to);
}
