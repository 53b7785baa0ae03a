#include "trainer/optim.h"

#include <assert.h>
#include <math.h>

const char *const lr_names[] = { "constant", "wsd", "cosine", "linear", NULL };

/* What is left of 1 when `done` of `length` steps are behind, along a line or half a cosine. */
static double fall(enum lr_kind kind, double done, double length)
{
    double share = length > 0 ? done / length : 1;
    if (share <= 0) return 1;
    if (share >= 1) return 0;
    return kind == LR_COSINE ? 0.5 * (1 + cos(3.14159265358979324 * share)) : 1 - share;
}

double lr_at(const struct lr_schedule *s, int64_t step)
{
    double total = (double)s->total_steps, warmup = (double)s->warmup_steps, from = warmup;
    if (step <= s->warmup_steps) return s->peak * (double)step / warmup;
    if (s->kind == LR_CONSTANT) return s->peak;
    if (s->kind == LR_WSD) from = fmax(warmup, total * (1 - s->decay_fraction));
    double left = fall(s->kind, (double)(step - 1) - from, total - from);
    return s->peak * (s->min_ratio + (1 - s->min_ratio) * left);
}

/* The slots that have their moments here follow one another: *n from the returned one on. */
static int own_slots(const struct model *model, int *n)
{
    int first = 0, end;
    const struct layout *layout = &model->layout;
    while (first < layout->n_slots && !model_keeps(model, MODEL_M, &layout->slot[first])) first++;
    for (end = first; end < layout->n_slots;) {
        if (!model_keeps(model, MODEL_M, &layout->slot[end])) break;
        end++;
    }
    *n = end - first;
    return first;
}

void optim_begin(struct model *model, const struct optim_options *options, double lr, int64_t step,
                 struct saliency *saliency)
{
    struct backend *be = model->be;
    assert(!model->spoilt);
    int n, first = own_slots(model, &n);
    be->sum_squares(be, model->totals, MODEL_SQUARES, model->block[MODEL_GRADS], model->param,
                    model->layout.n_slots, 1, false);
    struct adamw adamw = { .weights = model->block[MODEL_WEIGHTS],
                           .grads = model->block[MODEL_GRADS],
                           .m = model->block[MODEL_M],
                           .v = model->block[MODEL_V],
                           .param = (saliency ? saliency_params(saliency) : model->param) + first,
                           .n_params = n,
                           .moments_at = model_block_at(model, MODEL_M),
                           .lr = lr,
                           .beta1 = options->beta1,
                           .beta2 = options->beta2,
                           .epsilon = options->epsilon,
                           .weight_decay = options->weight_decay,
                           .clip_norm = options->clip_norm,
                           .squares = model->totals,
                           .squares_at = MODEL_SQUARES,
                           .step = step,
                           .sums = saliency ? saliency->sums : NULL,
                           .n_sums = saliency ? saliency->n_sums : 0 };
    if (n) be->adamw(be, &adamw);
    if (model_shares_moments(model))
        be->spread(be, model->block[MODEL_WEIGHTS], model->edge, model->options.moments.n);
    if (saliency) saliency->steps++;
}

double optim_step(struct model *model, const struct optim_options *options, double lr, int64_t step,
                  struct saliency *saliency)
{
    optim_begin(model, options, lr, step, saliency);
    return sqrt(model_total(model, MODEL_SQUARES));
}
