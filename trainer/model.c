#include "trainer/model.h"

#include <assert.h>
#include <stdlib.h>
#include "trainer/activations.h"
#include "trainer/init.h"
#include "trainer/lora.h"
#include "trainer/rope.h"

enum { MAX_BATCH = 65536, MAX_SEQUENCE = 1 << 20, MAX_ROWS = 1 << 26 };

static enum activations_keep keep_of(const struct model *model)
{
    const struct model_options *options = &model->options;
    if (!options->train) return KEEP_NONE;
    if (options->recompute) return KEEP_INPUTS;
    return model->keeps_outputs ? KEEP_OUTPUTS : KEEP_ALL;
}

static enum status check_options(const struct model_options *o, struct error *err)
{
    if (o->batch_size < 1 || o->batch_size > MAX_BATCH)
        return fail(err, E_INPUT, "batch_size is %d, outside 1..%d", o->batch_size, MAX_BATCH);
    if (o->sequence_length < 1 || o->sequence_length > MAX_SEQUENCE)
        return fail(err, E_INPUT, "sequence_length is %d, outside 1..%d", o->sequence_length,
                    MAX_SEQUENCE);
    if ((int64_t)o->batch_size * o->sequence_length > MAX_ROWS)
        return fail(err, E_INPUT, "batch_size * sequence_length is more than %d", MAX_ROWS);
    return OK;
}

static bool lends_gradients(const struct model *model)
{
    const struct model_options *options = &model->options;
    return options->train == MODEL_TRAIN && options->lend_gradients && model->be->lends_gradients;
}

static struct activations_sizes place(struct model *model, const struct shape *shape, int batch,
                                      int time)
{
    struct activations_room room = { .activations = model->activations,
                                     .floats = model->floats,
                                     .ids = model->ids,
                                     .gradients = model->block[MODEL_GRADS],
                                     .lent = lends_gradients(model) ? &model->layout : NULL,
                                     .max_batch = model->options.batch_size,
                                     .max_time = model->options.sequence_length,
                                     .keep = keep_of(model) };
    return activations_place(model->at, shape, &room, model->be, batch, time);
}

static struct activations_sizes place_most(struct model *model)
{
    return place(model, &model->layout.capacity, model->options.batch_size,
                 model->options.sequence_length);
}

/* The run of moments that is here, and how long it is. */
static size_t own_moments(const struct model *model)
{
    int i = model->options.moments.i;
    return model->edge[i + 1] - model->edge[i];
}

static void cut_moments(struct model *model)
{
    struct portion *p = &model->options.moments;
    if (p->n < 1) *p = (struct portion){ 0, 1 };
    model->edge = calloc((size_t)p->n + 1, sizeof *model->edge);
    if (!model->edge) abort();
    for (int i = 0; i <= p->n; i++) model->edge[i] = layout_edge(&model->layout, i, p->n);
}

/* Elements of the weights that matmuls may have a copy of at a time: in a training all change with
 * every step, so that a copy of all of them would be made only to be read twice. */
static size_t copied(const struct model *model)
{
    if (!model->be->reserve_copy) return 0;
    return model->options.train == MODEL_TRAIN ? layout_largest(&model->layout) :
                                                 model->layout.n_floats;
}

static void count_bytes(struct model *model, struct activations_sizes sizes)
{
    const int *element = model->be->element_bytes;
    size_t n = model->layout.n_floats;
    bool train = model->options.train == MODEL_TRAIN;
    struct model_bytes *b = &model->bytes;
    b->weights = n * (size_t)element[BLOCK_WEIGHTS] + copied(model) * (size_t)model->be->copy_bytes;
    b->grads = train ? n * (size_t)element[BLOCK_GRADS] : 0;
    b->moments = train ? 2 * own_moments(model) * (size_t)element[BLOCK_MOMENTS] : 0;
    b->activations = sizes.activations * (size_t)element[BLOCK_ACTIVATIONS] +
                     sizes.floats * (size_t)element[BLOCK_FLOATS] +
                     sizes.ids * (size_t)element[BLOCK_IDS];
    b->total = b->weights + b->grads + b->moments + b->activations;
}

/* Everything but the blocks. */
static enum status prepare(struct model *model, struct backend *be, const struct shape *capacity,
                           const struct model_options *options, struct activations_sizes *sizes,
                           struct error *err)
{
    TRY(check_options(options, err));
    TRY(layout_init(&model->layout, capacity, be->multiple, err));
    model->be = be;
    model->options = *options;
    cut_moments(model);
    model->keeps_outputs = be->keeps_outputs;
    model->param = calloc((size_t)model->layout.n_slots, sizeof *model->param);
    model->at = calloc(1, sizeof *model->at);
    if (!model->param || !model->at) abort();
    model->at->layer = calloc((size_t)capacity->n_layers, sizeof *model->at->layer);
    if (!model->at->layer) abort();
    *sizes = place_most(model);
    count_bytes(model, *sizes);
    return OK;
}

static enum status allocate(struct model *model, struct activations_sizes sizes, struct error *err)
{
    static const enum block_use use[MODEL_BLOCKS] = { BLOCK_WEIGHTS, BLOCK_GRADS, BLOCK_MOMENTS,
                                                      BLOCK_MOMENTS };
    struct backend *be = model->be;
    for (int i = 0; i < (model->options.train == MODEL_TRAIN ? MODEL_BLOCKS : 1); i++)
        TRY(be->alloc(be, use[i],
                      use[i] == BLOCK_MOMENTS ? own_moments(model) : model->layout.n_floats,
                      &model->block[i], err));
    if (copied(model)) TRY(be->reserve_copy(be, model->block[MODEL_WEIGHTS], copied(model), err));
    if (be->alloc(be, BLOCK_ACTIVATIONS, sizes.activations, &model->activations, err)) {
        if (!model->keeps_outputs || !model->options.train || model->options.recompute)
            return err->status;
        model->keeps_outputs = false; /* without the luxury, then */
        *err = (struct error){ 0 };
        sizes = place_most(model);
        count_bytes(model, sizes);
        TRY(be->alloc(be, BLOCK_ACTIVATIONS, sizes.activations, &model->activations, err));
    }
    TRY(be->alloc(be, BLOCK_FLOATS, sizes.floats, &model->floats, err));
    TRY(be->alloc(be, BLOCK_IDS, sizes.ids, &model->ids, err));
    TRY(be->alloc(be, BLOCK_SUMS, MODEL_TOTALS, &model->totals, err));
    return OK;
}

void model_place(struct model *model, int batch, int time)
{
    place(model, &model->layout.current, batch, time);
}

static void write_rope(struct model *model)
{
    const struct shape *shape = &model->layout.capacity;
    int time = model->options.sequence_length;
    float *table = calloc((size_t)time * (size_t)shape->head_dim, sizeof *table);
    if (!table) abort();
    rope_table(shape, time, table);
    model_place(model, 1, time);
    model->be->upload(model->be, model->at->rope, table);
    free(table);
}

enum status model_measure(struct model_bytes *out, const struct backend *be,
                          const struct shape *capacity, const struct model_options *options,
                          struct error *err)
{
    struct model *model = calloc(1, sizeof *model);
    if (!model) abort();
    struct activations_sizes sizes;
    struct backend on = *be;
    enum status status = prepare(model, &on, capacity, options, &sizes, err);
    if (!status) *out = model->bytes;
    model_close(model);
    return status;
}

enum status model_open(struct model **out, struct backend *be, const struct shape *capacity,
                       const struct shape *current, const struct model_options *options,
                       struct error *err)
{
    struct model *model = calloc(1, sizeof *model);
    if (!model) abort();
    struct activations_sizes sizes;
    enum status status = prepare(model, be, capacity, options, &sizes, err);
    if (!status && allocate(model, sizes, err)) {
        const struct model_bytes *b = &model->bytes;
        status = fail_in(err,
                         "the model needs %.2f GB (weights %.2f, gradients %.2f, moments %.2f, "
                         "activations %.2f)",
                         (double)b->total / 1e9, (double)b->weights / 1e9, (double)b->grads / 1e9,
                         (double)b->moments / 1e9, (double)b->activations / 1e9);
    }
    if (!status) status = model_set_shape(model, current, err);
    if (status) {
        model_close(model);
        return status;
    }
    write_rope(model);
    *out = model;
    return OK;
}

void model_close(struct model *model)
{
    if (!model) return;
    lora_close(model->lora, model->be);
    struct block *others[] = { model->activations, model->floats, model->ids, model->totals };
    for (int i = 0; i < MODEL_BLOCKS; i++)
        if (model->block[i]) model->be->release(model->be, model->block[i]);
    for (int i = 0; i < 4; i++)
        if (others[i]) model->be->release(model->be, others[i]);
    if (model->at) free(model->at->layer);
    free(model->at);
    free(model->param);
    free(model->edge);
    layout_release(&model->layout);
    free(model);
}

const struct shape *model_shape(const struct model *model) { return &model->layout.current; }

enum status model_set_shape(struct model *model, const struct shape *current, struct error *err)
{
    TRY(layout_set_shape(&model->layout, current, err));
    for (int i = 0; i < model->layout.n_slots; i++) {
        const struct slot *slot = &model->layout.slot[i];
        model->param[i] = (struct param){ .at = slot->offset,
                                          .rows = slot->rows,
                                          .cols = slot->cols,
                                          .ld = slot->ld,
                                          .decay = slot->dims == 2,
                                          .row_sum = -1,
                                          .col_sum = -1 };
    }
    return OK;
}

struct view model_view(const struct model *model, enum model_block which, const struct slot *slot)
{
    return (struct view){ model->block[which], slot->offset - model_block_at(model, which),
                          slot->rows, slot->cols, slot->ld };
}

size_t model_block_at(const struct model *model, enum model_block which)
{
    return which == MODEL_M || which == MODEL_V ? model->edge[model->options.moments.i] : 0;
}

int model_owner(const struct model *model, const struct slot *slot)
{
    int i = 0;
    while (slot->home >= model->edge[i + 1]) i++;
    return i;
}

bool model_keeps(const struct model *model, enum model_block which, const struct slot *slot)
{
    if (which == MODEL_WEIGHTS) return true;
    if (model->options.train != MODEL_TRAIN) return false;
    return which == MODEL_GRADS || model_owner(model, slot) == model->options.moments.i;
}

void model_read(struct model *model, enum model_block which, const struct slot *slot, float *to)
{
    model->be->download(model->be, to, model_view(model, which, slot));
}

void model_write(struct model *model, enum model_block which, const struct slot *slot,
                 const float *from)
{
    model->be->upload(model->be, model_view(model, which, slot), from);
}

/* Some rows at a time: the embedding's copy would be the largest thing of all. */
static void init_weights(struct model *model, const struct slot *slot, uint64_t seed)
{
    enum { ROWS = 1024 };
    struct view all = model_view(model, MODEL_WEIGHTS, slot);
    float *values = calloc((size_t)ROWS * (size_t)slot->cols, sizeof *values);
    if (!values) abort();
    for (int from = 0; from < slot->rows; from += ROWS) {
        int rows = slot->rows - from < ROWS ? slot->rows - from : ROWS;
        init_rows(&model->layout, slot, seed, from, rows, values);
        model->be->upload(model->be, view_rows(all, from, rows), values);
    }
    free(values);
}

void model_init(struct model *model, uint64_t seed)
{
    for (int i = 0; i < model->layout.n_slots; i++) {
        const struct slot *slot = &model->layout.slot[i];
        for (int which = MODEL_M; which <= MODEL_V; which++)
            if (model_keeps(model, (enum model_block)which, slot))
                model->be->zero(model->be, model_view(model, (enum model_block)which, slot));
        init_weights(model, slot, seed);
    }
}
