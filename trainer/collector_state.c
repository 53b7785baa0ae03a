/* What a collector holds, as one array of doubles: steps, tokens, the tables, the moments, the
 * Hessians, the keep probabilities, the sums of inputs, the running means. */
#include "trainer/collector.h"

/* A walk along the array; `out` or `in` is NULL when only counting or going the other way. */
struct walk {
    double *out;
    const double *in;
    int64_t n;
};

static void one(struct walk *w, double *value)
{
    if (w->out) w->out[w->n] = *value;
    if (w->in) *value = w->in[w->n];
    w->n++;
}

static void table(struct walk *w, struct scores *s)
{
    if (!s->block) return;
    if (w->out) scores_get(s, w->out + w->n);
    if (w->in) scores_set(s, w->in + w->n);
    w->n += scores_count(s);
}

static void channels(struct walk *w, struct channels *c)
{
    if (!c->block) return;
    if (w->out) channels_get(c, w->out + w->n);
    if (w->in) channels_set(c, w->in + w->n);
    w->n += channels_count(c);
}

static void hessians(struct walk *w, struct obs *obs)
{
    if (!obs) return;
    if (w->out) obs_get(obs, w->out + w->n);
    if (w->in) obs_set(obs, w->in + w->n);
    w->n += obs_count(obs);
}

static void keep(struct walk *w, struct bypass *bypass)
{
    if (!bypass) return;
    double started = bypass->keep.started;
    one(w, &started);
    bypass->keep.started = started != 0;
    one(w, &bypass->keep.baseline);
    table(w, &bypass->keep.s);
}

static void mean(struct walk *w, struct collector *c)
{
    const struct layout *layout = &c->model->layout;
    for (int i = 0; c->mean && i < layout->n_slots; i++) {
        const struct slot *slot = &layout->slot[i];
        for (int r = 0; r < slot->rows; r++)
            for (int j = 0; j < slot->cols; j++) {
                float *at = &c->mean[slot->home + (size_t)r * (size_t)slot->ld + (size_t)j];
                double value = *at;
                one(w, &value);
                *at = (float)value;
            }
    }
}

static void visit(struct walk *w, struct collector *c)
{
    struct statistics *st = &c->statistics;
    one(w, &st->steps);
    one(w, &st->tokens);
    for (int k = 0; k < STAT_UNITS; k++) table(w, &st->unit[k]);
    for (int k = 0; k < STATISTICS - STAT_UNITS; k++) channels(w, &st->channel[k]);
    for (int i = 0; i < 4; i++) table(w, &st->moment[i]);
    hessians(w, c->obs);
    keep(w, c->bypass);
    if (c->compensation) {
        one(w, &c->compensation->tokens);
        channels(w, &c->compensation->sum);
    }
    mean(w, c);
}

int64_t collector_count(struct collector *c)
{
    struct walk w = { 0 };
    visit(&w, c);
    return w.n;
}

void collector_get(struct collector *c, double *out)
{
    struct walk w = { .out = out };
    visit(&w, c);
}

void collector_set(struct collector *c, const double *in)
{
    struct walk w = { .in = in };
    visit(&w, c);
}
