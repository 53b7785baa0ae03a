#include "trainer/collector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/activations.h"

#define BIT(k) (1u << (k))

unsigned collector_offers(void) { return BIT(STATISTICS) - 1; }

static bool by_the_optimizer(const struct scoring *scoring)
{
    return scoring_needs(scoring) == BIT(STAT_WG_ABS);
}

bool collector_is_needed(const struct search_options *options)
{
    return options->update != UPDATE_NONE || !by_the_optimizer(&options->scoring);
}

bool collector_sees_inputs(const struct search_options *options)
{
    unsigned inputs = BIT(STAT_OBS) | BIT(STAT_X_SUM) | BIT(STAT_X_SQ) | BIT(STAT_X_ABS_SQ);
    return options->update != UPDATE_NONE || (scoring_needs(&options->scoring) & inputs);
}

bool collector_runs_forward(const struct search_options *options)
{
    return scoring_needs(&options->scoring) & BIT(STAT_KEEP);
}

/* ---- what is needed -------------------------------------------------------------------------- */

static bool needs(const struct collector *c, enum statistic k)
{
    return c->scores && statistics_need(&c->statistics, k);
}

static struct channels *channel(struct collector *c, enum statistic k)
{
    return &c->statistics.channel[k - STAT_UNITS];
}

/* Is one of them needed that is taken from weights, and from gradients, in every step? */
static bool needs_gradients(const struct collector *c)
{
    return c->mean || needs(c, STAT_WG_ABS) || needs(c, STAT_WG_MAX) || needs(c, STAT_WG_LINE) ||
           needs(c, STAT_W2G2) || needs(c, STAT_MIX_ABS);
}

static bool needs_inputs(const struct collector *c)
{
    if (c->obs || c->compensation) return true;
    if (c->bypass && bypass_is_started(c->bypass)) return false;
    return needs(c, STAT_X_SUM) || needs(c, STAT_X_SQ) || needs(c, STAT_X_ABS_SQ);
}

/* ---- activations, while the forward runs --------------------------------------------------- */

static double *numbers_at(struct collector *c, enum statistic k, enum model_place place, int i)
{
    if (!needs(c, k)) return NULL;
    struct channels *to = channel(c, k);
    return place == PLACE_NORM ? to->stem[i] : place == PLACE_FFN ? to->ffn[i] : to->attention[i];
}

static void add_powers(const float *x, int rows, int n, double *sum, double *square)
{
    for (int r = 0; r < rows; r++, x += n)
        for (int j = 0; j < n; j++) {
            if (sum) sum[j] += x[j];
            if (square) square[j] += (double)x[j] * x[j];
        }
}

/* The square of the mean of |x| over each sequence. */
static void add_sequences(const float *x, int batch, int time, int n, double *to)
{
    double *mean = malloc((size_t)n * sizeof *mean);
    if (!mean) abort();
    for (int b = 0; b < batch; b++) {
        memset(mean, 0, (size_t)n * sizeof *mean);
        for (int t = 0; t < time; t++, x += n)
            for (int j = 0; j < n; j++) mean[j] += fabs(x[j]) / time;
        for (int j = 0; j < n; j++) to[j] += mean[j] * mean[j];
    }
    free(mean);
}

static void see(void *user, enum model_place place, int i, struct view x)
{
    struct collector *c = user;
    if (place == PLACE_STREAM) return;
    double *sequences = numbers_at(c, STAT_X_ABS_SQ, place, i);
    const struct activations *at = c->model->at;
    c->model->be->download(c->model->be, c->x, x);
    add_powers(c->x, x.rows, x.cols, numbers_at(c, STAT_X_SUM, place, i),
               numbers_at(c, STAT_X_SQ, place, i));
    if (sequences) add_sequences(c->x, at->batch, at->time, x.cols, sequences);
    if (c->obs) obs_see(c->obs, place, i, c->x, x.rows);
    if (c->compensation) compensation_see(c->compensation, place, i, c->x, x.rows);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Numbers of the largest tensor, and of the widest activations of a batch. */
static size_t largest_tensor(const struct model *model)
{
    size_t most = 1;
    for (int i = 0; i < model->layout.n_slots; i++) {
        size_t n = (size_t)model->layout.slot[i].rows * (size_t)model->layout.slot[i].cols;
        if (n > most) most = n;
    }
    return most;
}

static size_t widest_activations(const struct model *model)
{
    const struct shape *s = model_shape(model);
    int most = s->hidden_size;
    for (int l = 0; l < s->n_layers; l++) {
        int q = s->layer[l].q_heads * s->head_dim, f = s->layer[l].ffn;
        if (most < (q > f ? q : f)) most = q > f ? q : f;
    }
    return (size_t)most * (size_t)model->options.batch_size *
           (size_t)model->options.sequence_length;
}

static enum status allocate(struct collector *c, struct error *err)
{
    size_t n = largest_tensor(c->model);
    c->w = malloc(n * sizeof *c->w);
    c->g = malloc(n * sizeof *c->g);
    if (needs_inputs(c)) c->x = malloc(widest_activations(c->model) * sizeof *c->x);
    if (needs(c, STAT_WG_MEAN_ABS)) c->mean = calloc(c->model->layout.n_floats, sizeof *c->mean);
    if (!c->w || !c->g || (needs_inputs(c) && !c->x) || (needs(c, STAT_WG_MEAN_ABS) && !c->mean))
        return fail(err, E_MEMORY, "no memory for the statistics of the criterion");
    return OK;
}

enum status collector_open(struct collector **out, struct model *model, const struct search *search,
                           struct error *err)
{
    const struct search_options *o = &search->options;
    struct collector *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->model = model;
    c->scores = !by_the_optimizer(&o->scoring);
    c->updates = o->update == UPDATE_OBS;
    c->observer = (struct observer){ see, c };
    statistics_init(&c->statistics, &o->scoring, &search->shape, o->space.head_unit);
    unit_sums_init(&c->sums, &model->layout, o->space.head_unit, o->scoring.embedding_in_stem);
    if (needs(c, STAT_WG_MAX)) scores_init(&c->step, &search->shape, o->space.head_unit);
    if (c->updates || needs(c, STAT_OBS)) obs_open(&c->obs, model, o, err);
    if (!err->status && o->update == UPDATE_BIAS) compensation_open(&c->compensation, model, err);
    if (!err->status && needs(c, STAT_KEEP)) bypass_open(&c->bypass, model, search, err);
    if (!err->status) allocate(c, err);
    if (err->status)
        collector_close(c);
    else
        *out = c;
    return err->status;
}

void collector_close(struct collector *c)
{
    if (!c) return;
    statistics_release(&c->statistics);
    scores_release(&c->step);
    unit_sums_release(&c->sums);
    obs_close(c->obs);
    bypass_close(c->bypass);
    compensation_close(c->compensation);
    free(c->mean);
    free(c->w);
    free(c->g);
    free(c->x);
    free(c);
}

/* ---- a step ---------------------------------------------------------------------------------- */

void collector_begin(struct collector *c)
{
    if (needs_inputs(c)) c->model->observer = &c->observer;
}

static void add_mean(struct collector *c, const struct slot *slot)
{
    for (int r = 0; r < slot->rows; r++)
        for (int j = 0; j < slot->cols; j++) {
            size_t at = (size_t)r * (size_t)slot->cols + (size_t)j;
            c->mean[slot->home + (size_t)r * (size_t)slot->ld + (size_t)j] += c->w[at] * c->g[at];
        }
}

static void add_tensor(struct collector *c, const struct slot *slot)
{
    static const enum statistic sums[] = { STAT_WG_ABS, STAT_WG_LINE, STAT_W2G2, STAT_MIX_ABS };
    model_read(c->model, MODEL_WEIGHTS, slot, c->w);
    model_read(c->model, MODEL_GRADS, slot, c->g);
    for (int i = 0; i < 4; i++)
        if (needs(c, sums[i]))
            unit_sums_add(&c->sums, sums[i], slot, c->w, c->g, &c->statistics.unit[sums[i]]);
    if (needs(c, STAT_WG_MAX)) unit_sums_add(&c->sums, STAT_WG_MAX, slot, c->w, c->g, &c->step);
    if (c->mean) add_mean(c, slot);
}

static void add_largest(struct collector *c)
{
    for (int a = 0; a < scores_arrays(&c->step); a++) {
        int n;
        double *from = scores_array(&c->step, a, &n);
        double *to = scores_array(&c->statistics.unit[STAT_WG_MAX], a, &n);
        for (int j = 0; j < n; j++) to[j] += from[j];
    }
    scores_fade(&c->step, &c->statistics.shape, 0);
}

void collector_end(struct collector *c, int64_t tokens)
{
    const struct layout *layout = &c->model->layout;
    c->model->observer = NULL;
    for (int i = 0; needs_gradients(c) && i < layout->n_slots; i++) add_tensor(c, &layout->slot[i]);
    if (needs(c, STAT_WG_MAX)) add_largest(c);
    c->statistics.steps++;
    c->statistics.tokens += (double)tokens;
    if (c->scores) statistics_step(&c->statistics);
}

/* ---- a choice -------------------------------------------------------------------------------- */

/* The mean of w g of every weight, as values and as their factor. */
static void read_mean(struct collector *c, const struct slot *slot)
{
    size_t cols = (size_t)slot->cols;
    for (size_t r = 0; r < (size_t)slot->rows; r++)
        memcpy(c->w + r * cols, c->mean + slot->home + r * (size_t)slot->ld, cols * sizeof *c->w);
    for (size_t i = 0; i < cols * (size_t)slot->rows; i++)
        c->g[i] = (float)(1 / c->statistics.steps);
}

static void take_tensor(struct collector *c, const struct slot *slot)
{
    struct scores *unit = c->statistics.unit;
    model_read(c->model, MODEL_WEIGHTS, slot, c->w);
    for (int k = STAT_W_ABS; k <= STAT_W_SQ; k++)
        if (needs(c, k)) unit_sums_add(&c->sums, k, slot, c->w, NULL, &unit[k]);
    for (int k = STAT_COL_ABS; k <= STAT_COL_SQ; k++)
        if (needs(c, k)) unit_sums_columns(&c->sums, k, slot, c->w, channel(c, k));
    if (!c->mean) return;
    read_mean(c, slot);
    unit_sums_add(&c->sums, STAT_WG_MEAN_ABS, slot, c->w, c->g, &unit[STAT_WG_MEAN_ABS]);
}

/* Those that are taken now replace what was there. */
static void clear_now(struct collector *c)
{
    for (int k = 0; k < STATISTICS; k++) {
        if (statistic_is_per_step(k) || !needs(c, k)) continue;
        if (k < STAT_UNITS)
            scores_fade(&c->statistics.unit[k], &c->statistics.shape, 0);
        else
            channels_fade(channel(c, k), 0);
    }
}

static void take_all(struct collector *c)
{
    const struct layout *layout = &c->model->layout;
    clear_now(c);
    for (int i = 0; i < layout->n_slots; i++) take_tensor(c, &layout->slot[i]);
}

static void start_bypass(struct collector *c, const struct search *search)
{
    struct scores importance;
    scores_init(&importance, &c->statistics.shape, c->sums.unit);
    take_all(c);
    criterion_find("wanda_sp")->score(&c->statistics, search, &importance);
    bypass_start(c->bypass, &importance);
    scores_release(&importance);
}

void collector_look(struct collector *c, const struct search *search,
                    const struct model_batch *batch)
{
    if (!c->bypass) return;
    if (!bypass_is_started(c->bypass)) start_bypass(c, search);
    bypass_look(c->bypass, batch, search->step);
}

static void take_keep(struct collector *c)
{
    struct scores *to = &c->statistics.unit[STAT_KEEP];
    for (int a = 0; a < scores_arrays(to); a++) {
        int n;
        const double *from = scores_array(&c->bypass->keep.s, a, &n);
        memcpy(scores_array(to, a, &n), from, (size_t)n * sizeof *from);
    }
}

enum status collector_score(struct collector *c, const struct search *search, struct scores *out,
                            struct error *err)
{
    if (!c->scores) return OK;
    if (c->bypass)
        take_keep(c);
    else
        take_all(c);
    if (needs(c, STAT_OBS)) TRY(obs_losses(c->obs, &c->statistics.unit[STAT_OBS], err));
    statistics_score(&c->statistics, search, out);
    return OK;
}

enum status collector_remove(struct collector *c, const struct removal *removal, struct error *err)
{
    if (c->updates) TRY(obs_update(c->obs, removal, err));
    if (c->obs) obs_remove(c->obs, &c->statistics.shape, removal);
    if (c->compensation) compensation_remove(c->compensation, removal);
    if (c->bypass) bypass_remove(c->bypass, &c->statistics.shape, removal);
    if (c->step.block) scores_remove(&c->step, &c->statistics.shape, removal);
    statistics_remove(&c->statistics, removal);
    return OK;
}

void collector_fade(struct collector *c, double keep)
{
    statistics_fade(&c->statistics, keep);
    if (c->obs) obs_fade(c->obs, keep);
    if (c->compensation) compensation_fade(c->compensation, keep);
    if (c->mean) memset(c->mean, 0, c->model->layout.n_floats * sizeof *c->mean);
}
