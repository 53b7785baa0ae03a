#include "trainer/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/sample.h"
#include "search/depth.h"

static const double quantiles[] = { 0, 0.1, 0.25, 0.5, 0.75, 0.9, 1 };

enum { N_QUANTILES = sizeof quantiles / sizeof *quantiles };

/* ---- depth ----------------------------------------------------------------------------------- */

/* The stream that entered the layer before, and sums of cosines. */
struct depth {
    struct backend *be;
    float *before, *now;
    double cosines[SHAPE_MAX_LAYERS], tokens;
};

static double cosine(const float *a, const float *b, int n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 1;
}

static void see(void *user, enum model_place place, int i, struct view x)
{
    struct depth *d = user;
    if (place != PLACE_STREAM) return;
    d->be->download(d->be, d->now, x);
    for (int r = 0; i > 0 && r < x.rows; r++) {
        size_t at = (size_t)r * (size_t)x.cols;
        d->cosines[i - 1] += cosine(d->before + at, d->now + at, x.cols);
    }
    float *was = d->before;
    d->before = d->now;
    d->now = was;
    d->tokens = x.rows;
}

/* One held-out batch. */
static enum status look(struct training *t, struct depth *d, struct error *err)
{
    const struct recipe *r = &t->job->recipe;
    struct observer observer = { see, d };
    int rows = 0;
    int64_t n;
    for (; rows < t->model->options.batch_size && (uint64_t)rows < t->held.n; rows++) {
        size_t at = (size_t)rows * (size_t)r->sequence_length;
        TRY(held_out_read(&t->held, (uint64_t)rows, t->ids + at, t->targets + at, err));
    }
    struct model_batch batch = { t->ids, t->targets, rows, r->sequence_length };
    t->model->observer = &observer;
    model_loss(t->model, &batch, &n);
    t->model->observer = NULL;
    return OK;
}

static enum status measure_depth(struct training *t, struct depth *d, struct error *err)
{
    size_t n = (size_t)t->model->options.batch_size * (size_t)t->job->recipe.sequence_length *
               (size_t)model_shape(t->model)->hidden_size;
    *d = (struct depth){ .be = t->be };
    if (!t->can_validate) return OK;
    d->before = malloc(n * sizeof *d->before);
    d->now = malloc(n * sizeof *d->now);
    if (!d->before || !d->now)
        fail(err, E_MEMORY, "no memory to compare the residual stream between layers");
    else
        look(t, d, err);
    free(d->before);
    free(d->now);
    return err->status;
}

/* ---- scores ---------------------------------------------------------------------------------- */

static void emit_quantiles(struct emit *e, const double *sums, int n, struct scale by)
{
    double *sorted = malloc((size_t)n * sizeof *sorted);
    if (!sorted) abort();
    memcpy(sorted, sums, (size_t)n * sizeof *sorted);
    sample_sort(sorted, n);
    emit_begin(e, '[');
    for (int q = 0; q < N_QUANTILES; q++)
        emit_double(e, (sorted[(int)(quantiles[q] * (n - 1))] - by.offset) / by.divisor);
    emit_end(e);
    free(sorted);
}

static void emit_type(const struct training *t, struct emit *e, enum group_type type, int l)
{
    const struct scores *s = &t->scores;
    struct scale by = scoring_scale(&t->search.options.scoring, &t->search, s, type, l < 0 ? 0 : l);
    if (type == GROUP_STEM)
        emit_quantiles(e, s->stem, s->n_stem, by);
    else if (type == GROUP_FFN)
        emit_quantiles(e, s->ffn[l], s->n_ffn[l], by);
    else
        emit_quantiles(e, s->heads[l], s->n_heads[l], by);
}

static void emit_scores(const struct training *t, struct emit *e)
{
    bool scored = t->scores.weight > 0;
    for (int type = 0; type < GROUP_TYPES; type++) {
        bool given = scored && t->search.options.space.types[type];
        emit_key(e, group_names[type]);
        if (given && type == GROUP_STEM) {
            emit_type(t, e, GROUP_STEM, -1);
            continue;
        }
        emit_begin(e, '[');
        for (int l = 0; given && l < t->scores.n_layers; l++) emit_type(t, e, type, l);
        emit_end(e);
    }
}

/* ---- the event ----------------------------------------------------------------------------- */

static void tell(struct training *t, const struct depth *d)
{
    struct emit *e = event_begin(t->events, "explain");
    emit_kv_int(e, "step", t->step);
    emit_kv_int(e, "tokens", training_tokens(t));
    emit_kv_int(e, "ordinal", t->search.ordinal);
    emit_kv_double(e, "ratio", shape_ratio(t->search.params, t->search.params_source));
    emit_key(e, "influence");
    emit_begin(e, '[');
    for (int l = 0; d->tokens > 0 && l < model_shape(t->model)->n_layers; l++)
        emit_double(e, depth_influence(d->cosines[l], d->tokens));
    emit_end(e);
    emit_key(e, "quantiles");
    emit_begin(e, '[');
    for (int q = 0; q < N_QUANTILES; q++) emit_double(e, quantiles[q]);
    emit_end(e);
    emit_scores(t, e);
    event_end(t->events);
}

enum status explain_snapshot(struct training *t, struct error *err)
{
    struct depth depth;
    TRY(measure_depth(t, &depth, err));
    tell(t, &depth);
    return OK;
}
