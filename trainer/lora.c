#include "trainer/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "search/base/rng.h"
#include "trainer/init.h"

const char *const lora_targets[] = { "q", "k", "v", "o", "gate", "up", "down", NULL };

static const enum slot_kind kinds[LORA_TARGETS] = { SLOT_Q,    SLOT_K,  SLOT_V,   SLOT_O,
                                                    SLOT_GATE, SLOT_UP, SLOT_DOWN };

enum { MOST_MAPS = 3 }; /* that share an input */

static size_t padded(int n, int multiple)
{
    return (size_t)((n + multiple - 1) / multiple) * (size_t)multiple;
}

static bool is_target(const struct lora_options *options, enum slot_kind kind)
{
    for (int i = 0; i < LORA_TARGETS; i++)
        if (kinds[i] == kind) return options->targets >> i & 1;
    return false;
}

/* ---- what lies where ------------------------------------------------------------------- */

static void place_adapter(struct lora *lora, const struct slot *slot, int multiple)
{
    struct adapter *adapter = &lora->adapter[lora->n++];
    adapter->slot = slot;
    adapter->a = lora->n_floats;
    adapter->s = adapter->a + padded(lora->options.rank, multiple) * (size_t)slot->ld;
    lora->n_floats = adapter->s + padded(slot->rows, multiple) * (size_t)lora->ld;
}

static void place_all(struct lora *lora, const struct layout *layout, int multiple)
{
    size_t n = (size_t)layout->n_slots;
    lora->adapter = calloc(n, sizeof *lora->adapter);
    lora->index = calloc(n, sizeof *lora->index);
    if (!lora->adapter || !lora->index) abort();
    lora->ld = (int)padded(lora->options.rank, multiple);
    for (int i = 0; i < layout->n_slots; i++) {
        const struct slot *slot = &layout->slot[i];
        bool wanted = is_target(&lora->options, slot->kind);
        lora->index[i] = wanted ? lora->n : -1;
        if (wanted) place_adapter(lora, slot, multiple);
    }
    lora->gain = lora->n_floats;
    lora->n_floats += padded(layout->capacity.hidden_size, multiple);
}

static size_t hidden_floats(const struct lora *lora, const struct model_options *model)
{
    size_t rows = (size_t)model->batch_size * (size_t)model->sequence_length;
    return 2 * MOST_MAPS * rows * (size_t)lora->ld;
}

static void count_bytes(struct lora *lora, const struct backend *be,
                        const struct model_options *model)
{
    const int *element = be->element_bytes;
    struct model_bytes *b = &lora->bytes;
    b->weights = lora->n_floats * (size_t)element[BLOCK_WEIGHTS];
    b->grads = lora->n_floats * (size_t)element[BLOCK_GRADS];
    b->moments = 2 * lora->n_floats * (size_t)element[BLOCK_MOMENTS];
    b->activations = hidden_floats(lora, model) * (size_t)element[BLOCK_ACTIVATIONS];
    b->total = b->weights + b->grads + b->moments + b->activations;
}

static void set_params(struct lora *lora)
{
    lora->param = calloc(2 * (size_t)lora->n + 1, sizeof *lora->param);
    if (!lora->param) abort();
    for (int i = 0; i < lora->n; i++) {
        const struct adapter *adapter = &lora->adapter[i];
        struct view a = lora_a(lora, MODEL_WEIGHTS, adapter);
        struct view s = lora_s(lora, MODEL_WEIGHTS, adapter);
        struct param plain = { .decay = true, .row_sum = -1, .col_sum = -1 };
        lora->param[i] = lora->param[lora->n + i] = plain;
        lora->param[i].at = a.at, lora->param[i].rows = a.rows;
        lora->param[i].cols = a.cols, lora->param[i].ld = a.ld;
        lora->param[lora->n + i].at = s.at, lora->param[lora->n + i].rows = s.rows;
        lora->param[lora->n + i].cols = s.cols, lora->param[lora->n + i].ld = s.ld;
    }
}

static struct lora *prepare(const struct layout *layout, const struct backend *be,
                            const struct model_options *model, const struct lora_options *options)
{
    struct lora *lora = calloc(1, sizeof *lora);
    if (!lora) abort();
    lora->options = *options;
    place_all(lora, layout, be->multiple);
    count_bytes(lora, be, model);
    set_params(lora);
    return lora;
}

enum status lora_measure(struct model_bytes *out, const struct backend *be,
                         const struct shape *shape, const struct model_options *model,
                         const struct lora_options *options, struct error *err)
{
    struct layout layout;
    TRY(layout_init(&layout, shape, be->multiple, err));
    struct lora *lora = prepare(&layout, be, model, options);
    *out = lora->bytes;
    lora_close(lora, NULL);
    layout_release(&layout);
    return OK;
}

static enum status allocate(struct lora *lora, struct model *model, struct error *err)
{
    static const enum block_use use[MODEL_BLOCKS] = { BLOCK_WEIGHTS, BLOCK_GRADS, BLOCK_MOMENTS,
                                                      BLOCK_MOMENTS };
    struct backend *be = model->be;
    for (int i = 0; i < MODEL_BLOCKS; i++)
        TRY(be->alloc(be, use[i], lora->n_floats, &lora->block[i], err));
    return be->alloc(be, BLOCK_ACTIVATIONS, hidden_floats(lora, &model->options), &lora->hidden,
                     err);
}

enum status lora_attach(struct model *model, const struct lora_options *options, struct error *err)
{
    model->lora = prepare(&model->layout, model->be, &model->options, options);
    if (!allocate(model->lora, model, err)) return OK;
    return fail_in(err, "the adapters need %.2f GB beside the model",
                   (double)model->lora->bytes.total / 1e9);
}

void lora_close(struct lora *lora, struct backend *be)
{
    if (!lora) return;
    for (int i = 0; i < MODEL_BLOCKS; i++)
        if (lora->block[i]) be->release(be, lora->block[i]);
    if (lora->hidden) be->release(be, lora->hidden);
    free(lora->adapter);
    free(lora->index);
    free(lora->param);
    free(lora);
}

/* ---- views --------------------------------------------------------------------------------- */

const struct adapter *lora_find(const struct lora *lora, const struct model *model,
                                const struct slot *slot)
{
    int i = lora ? lora->index[slot - model->layout.slot] : -1;
    return i < 0 ? NULL : &lora->adapter[i];
}

struct view lora_a(const struct lora *lora, enum model_block which, const struct adapter *adapter)
{
    return (struct view){ lora->block[which], adapter->a, lora->options.rank, adapter->slot->cols,
                          adapter->slot->ld };
}

struct view lora_s(const struct lora *lora, enum model_block which, const struct adapter *adapter)
{
    return (struct view){ lora->block[which], adapter->s, adapter->slot->rows, lora->options.rank,
                          lora->ld };
}

int64_t lora_params(const struct lora *lora)
{
    int64_t sum = 0;
    for (int i = 0; i < 2 * lora->n; i++) sum += (int64_t)lora->param[i].rows * lora->param[i].cols;
    return sum;
}

/* ---- training ------------------------------------------------------------------------------ */

static float *room_for(struct view v)
{
    float *values = calloc((size_t)v.rows * (size_t)v.cols + 1, sizeof *values);
    if (!values) abort();
    return values;
}

void lora_init(struct model *model, uint64_t seed)
{
    const struct lora *lora = model->lora;
    struct backend *be = model->be;
    for (int i = 0; i < lora->n; i++) {
        const struct adapter *adapter = &lora->adapter[i];
        struct view a = lora_a(lora, MODEL_WEIGHTS, adapter);
        float *values = room_for(a);
        uint64_t key = rng_mix(init_key(adapter->slot->name), seed);
        double bound = 1 / sqrt((double)a.cols);
        for (int k = 0; k < a.rows * a.cols; k++) {
            double unit = (double)(rng_mix(key, (uint64_t)k) >> 11) * 0x1p-53;
            values[k] = (float)((2 * unit - 1) * bound);
        }
        be->upload(be, a, values);
        free(values);
        be->zero(be, lora_s(lora, MODEL_WEIGHTS, adapter));
        for (int m = MODEL_M; m <= MODEL_V; m++) {
            be->zero(be, lora_a(lora, (enum model_block)m, adapter));
            be->zero(be, lora_s(lora, (enum model_block)m, adapter));
        }
    }
}

/* With S = f B the gradient of S is that of B over f. Adam divides such factors out but for
 * epsilon, so S moves by f times what B would have. */
void lora_begin(struct model *model, const struct optim_options *options, double lr, int64_t step)
{
    const struct lora *lora = model->lora;
    struct backend *be = model->be;
    double f = lora->options.alpha / lora->options.rank;
    for (int side = 0; side < 2; side++)
        be->sum_squares(be, model->totals, MODEL_SQUARES, lora->block[MODEL_GRADS],
                        lora->param + side * lora->n, lora->n, side ? f * f : 1, side);
    for (int side = 0; side < 2; side++) {
        double times = side ? f : 1;
        struct adamw adamw = { .weights = lora->block[MODEL_WEIGHTS],
                               .grads = lora->block[MODEL_GRADS],
                               .m = lora->block[MODEL_M],
                               .v = lora->block[MODEL_V],
                               .param = lora->param + side * lora->n,
                               .n_params = lora->n,
                               .lr = lr * times,
                               .beta1 = options->beta1,
                               .beta2 = options->beta2,
                               .epsilon = options->epsilon / times,
                               .weight_decay = options->weight_decay / times,
                               .clip_norm = options->clip_norm,
                               .squares = model->totals,
                               .squares_at = MODEL_SQUARES,
                               .step = step };
        be->adamw(be, &adamw);
    }
}

double lora_step(struct model *model, const struct optim_options *options, double lr, int64_t step)
{
    lora_begin(model, options, lr, step);
    return sqrt(model_total(model, MODEL_SQUARES));
}

/* ---- the end ----------------------------------------------------------------------------- */

static void add_product(float *w, const float *s, const float *a, int rows, int cols, int rank)
{
    double *row = calloc((size_t)cols + 1, sizeof *row);
    if (!row) abort();
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < cols; c++) row[c] = w[(size_t)r * (size_t)cols + (size_t)c];
        for (int k = 0; k < rank; k++)
            for (int c = 0; c < cols; c++)
                row[c] += (double)s[(size_t)r * (size_t)rank + (size_t)k] *
                          a[(size_t)k * (size_t)cols + (size_t)c];
        for (int c = 0; c < cols; c++) w[(size_t)r * (size_t)cols + (size_t)c] = (float)row[c];
    }
    free(row);
}

void lora_merge(struct model *model)
{
    struct lora *lora = model->lora;
    struct backend *be = model->be;
    for (int i = 0; i < lora->n; i++) {
        const struct adapter *adapter = &lora->adapter[i];
        struct view a = lora_a(lora, MODEL_WEIGHTS, adapter);
        struct view s = lora_s(lora, MODEL_WEIGHTS, adapter);
        struct view w = model_view(model, MODEL_WEIGHTS, adapter->slot);
        float *of_a = room_for(a), *of_s = room_for(s), *of_w = room_for(w);
        be->download(be, of_a, a), be->download(be, of_s, s), be->download(be, of_w, w);
        add_product(of_w, of_s, of_a, w.rows, w.cols, lora->options.rank);
        be->upload(be, w, of_w);
        free(of_a), free(of_s), free(of_w);
    }
    lora_close(lora, be);
    model->lora = NULL;
}
