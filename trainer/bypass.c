#include "trainer/bypass.h"

#include <stdlib.h>
#include <string.h>

static const enum slot_kind kinds[] = { SLOT_O, SLOT_DOWN }; /* by enum group_type */

static const struct slot *matrix(const struct bypass *b, int type, int l)
{
    return layout_slot(&b->model->layout, kinds[type], l);
}

static size_t size_of(const struct slot *slot) { return (size_t)slot->rows * (size_t)slot->cols; }

/* ---- life ------------------------------------------------------------------------------------ */

static void measure(const struct bypass *b, size_t *all, size_t *most)
{
    *all = *most = 1;
    for (int type = GROUP_HEADS; type <= GROUP_FFN; type++)
        for (int l = 0; l < model_shape(b->model)->n_layers; l++) {
            size_t n = size_of(matrix(b, type, l));
            *all += n;
            *most = n > *most ? n : *most;
        }
}

enum status bypass_open(struct bypass **out, struct model *model, const struct search *search,
                        struct error *err)
{
    struct bypass *b = calloc(1, sizeof *b);
    size_t all, most;
    if (!b) abort();
    b->model = model;
    keep_init(&b->keep, search);
    measure(b, &all, &most);
    b->kept = malloc(all * sizeof *b->kept);
    b->masked = malloc(most * sizeof *b->masked);
    if (!b->kept || !b->masked) {
        bypass_close(b);
        return fail(err, E_MEMORY, "no memory for copies of Wo and Wdown, %.2f GB",
                    4e-9 * (double)all);
    }
    *out = b;
    return OK;
}

void bypass_close(struct bypass *b)
{
    if (!b) return;
    keep_release(&b->keep);
    free(b->kept);
    free(b->masked);
    free(b);
}

void bypass_start(struct bypass *b, const struct scores *importance)
{
    keep_start(&b->keep, importance);
}

void bypass_remove(struct bypass *b, const struct shape *before, const struct removal *removal)
{
    keep_remove(&b->keep, before, removal);
}

/* ---- weights with zeros in them ------------------------------------------------------------ */

typedef void visitor(struct bypass *b, const struct slot *slot, float *kept, const double *mask,
                     int n);

/* Every matrix of a layer that learns, with its copy and its units' entries in the mask. */
static void each(struct bypass *b, const struct scores *mask, visitor *visit)
{
    float *kept = b->kept;
    for (int type = GROUP_HEADS; type <= GROUP_FFN; type++)
        for (int l = 0; l < mask->n_layers; l++) {
            const struct slot *slot = matrix(b, type, l);
            if (!b->keep.learns[type][l]) continue;
            bool heads = type == GROUP_HEADS;
            visit(b, slot, kept, heads ? mask->heads[l] : mask->ffn[l],
                  heads ? mask->n_heads[l] : mask->n_ffn[l]);
            kept += size_of(slot);
        }
}

static void take(struct bypass *b, const struct slot *slot, float *kept, const double *mask, int n)
{
    (void)mask, (void)n;
    model_read(b->model, MODEL_WEIGHTS, slot, kept);
}

static void put_back(struct bypass *b, const struct slot *slot, float *kept, const double *mask,
                     int n)
{
    (void)mask, (void)n;
    model_write(b->model, MODEL_WEIGHTS, slot, kept);
}

static void put_masked(struct bypass *b, const struct slot *slot, float *kept, const double *mask,
                       int n)
{
    size_t cols = (size_t)slot->cols, span = cols / (size_t)n;
    for (size_t r = 0; r < (size_t)slot->rows; r++)
        for (size_t c = 0; c < cols; c++)
            b->masked[r * cols + c] = mask[c / span] != 0 ? kept[r * cols + c] : 0;
    model_write(b->model, MODEL_WEIGHTS, slot, b->masked);
}

void bypass_look(struct bypass *b, const struct model_batch *batch, int64_t step)
{
    struct scores mask[KEEP_MAX_MASKS] = { 0 };
    double loss[KEEP_MAX_MASKS];
    int64_t n;
    int K = b->keep.options.masks;
    for (int k = 0; k < K; k++) {
        scores_init(&mask[k], model_shape(b->model), b->keep.s.unit);
        keep_draw(&b->keep, step, k, &mask[k]);
    }
    each(b, &mask[0], take);
    for (int k = 0; k < K; k++) {
        each(b, &mask[k], put_masked);
        loss[k] = model_loss(b->model, batch, &n) / (double)n;
    }
    each(b, &mask[0], put_back);
    keep_learn(&b->keep, mask, loss);
    for (int k = 0; k < K; k++) scores_release(&mask[k]);
}
