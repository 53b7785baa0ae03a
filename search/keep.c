#include "search/keep.h"

#include <math.h>
#include "search/base/rng.h"
#include "search/plan.h"
#include "search/search.h"

static const double SMALL = 1e-7;

/* The entries of one type (GROUP_HEADS, GROUP_FFN) in layer l. */
static double *entries(const struct scores *s, int type, int l, int *n)
{
    *n = type == GROUP_HEADS ? s->n_heads[l] : s->n_ffn[l];
    return type == GROUP_HEADS ? s->heads[l] : s->ffn[l];
}

/* ---- life ------------------------------------------------------------------------------------ */

static double rate_of(const struct search *search)
{
    const struct search_options *o = &search->options;
    bool by_size = o->stop.kind == STOP_RATIO || o->stop.kind == STOP_PARAMS;
    if (o->scoring.keep.rate > 0) return o->scoring.keep.rate;
    return by_size ? (double)plan_target(o, &search->source) / (double)search->params_source : 0.5;
}

static int entries_of_source(const struct search *search, int type, int l)
{
    const struct layer_shape *layer = &search->source.layer[l];
    bool query = search->options.space.head_unit == HEAD_UNIT_QUERY;
    return type == GROUP_FFN ? layer->ffn : query ? layer->q_heads : layer->kv_heads;
}

void keep_init(struct keep *keep, const struct search *search)
{
    const struct space *space = &search->options.space;
    *keep = (struct keep){ .options = search->options.scoring.keep, .seed = search->seed };
    keep->options.rate = rate_of(search);
    scores_init(&keep->s, &search->shape, space->head_unit);
    for (int type = GROUP_HEADS; type <= GROUP_FFN; type++)
        for (int l = 0; l < search->source.n_layers; l++) {
            keep->learns[type][l] = space->types[type] && !space->frozen[l];
            if (keep->learns[type][l]) keep->n_source[type] += entries_of_source(search, type, l);
        }
}

void keep_release(struct keep *keep)
{
    scores_release(&keep->s);
    *keep = (struct keep){ 0 };
}

void keep_remove(struct keep *keep, const struct shape *before, const struct removal *removal)
{
    scores_remove(&keep->s, before, removal);
}

/* ---- the units of a type, all layers together ---------------------------------------------- */

typedef void visitor(double *s, const double *other, void *user);

/* Calls visit for every unit that learns, with its entry in another table. */
static void each(struct keep *keep, int type, const struct scores *other, visitor *visit,
                 void *user)
{
    for (int l = 0; l < keep->s.n_layers; l++) {
        int n;
        double *s = entries(&keep->s, type, l, &n);
        const double *with = other ? entries(other, type, l, &n) : NULL;
        for (int j = 0; keep->learns[type][l] && j < n; j++)
            visit(&s[j], with ? &with[j] : NULL, user);
    }
}

/* Numbers that a walk adds up or needs. */
struct walk {
    double n, sum, square, mean, deviation, shift, most, v, factor;
};

static double clip(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static void add(double *s, const double *x, void *user)
{
    struct walk *w = user;
    (void)s;
    w->n++;
    w->sum += *x;
    w->square += *x * *x;
}

static void squash(double *s, const double *x, void *user)
{
    struct walk *w = user;
    *s = 1 / (1 + exp(-(*x - w->mean) / w->deviation));
    w->shift += *s / w->n;
}

static void shift(double *s, const double *x, void *user)
{
    struct walk *w = user;
    (void)x;
    *s = clip(*s + w->shift);
}

void keep_start(struct keep *keep, const struct scores *importance)
{
    for (int type = GROUP_HEADS; type <= GROUP_FFN; type++) {
        struct walk w = { 0 };
        each(keep, type, importance, add, &w);
        if (!w.n) continue;
        w.mean = w.sum / w.n;
        double variance = w.square / w.n - w.mean * w.mean;
        w.deviation = variance > 0 ? sqrt(variance) : 1;
        each(keep, type, importance, squash, &w);
        w.shift = keep->options.rate - w.shift;
        each(keep, type, NULL, shift, &w);
    }
    keep->started = true;
}

/* ---- masks --------------------------------------------------------------------------------- */

void keep_draw(const struct keep *keep, int64_t step, int k, struct scores *mask)
{
    uint64_t key = rng_mix(rng_mix(keep->seed, (uint64_t)step), (uint64_t)k);
    for (int type = GROUP_HEADS; type <= GROUP_FFN; type++)
        for (int l = 0; l < keep->s.n_layers; l++) {
            int n;
            const double *s = entries(&keep->s, type, l, &n);
            double *m = entries(mask, type, l, &n);
            uint64_t layer = rng_mix(key, (uint64_t)(2 * l + type));
            for (int j = 0; j < n; j++) {
                double u = (double)(rng_mix(layer, (uint64_t)j) >> 11) * 0x1p-53;
                m[j] = !keep->learns[type][l] || u < s[j];
            }
        }
}

/* ---- learning ------------------------------------------------------------------------------ */

static void follow(double *s, const double *step, void *user)
{
    (void)user;
    *s -= *step;
}

static void add_clipped(double *s, const double *x, void *user)
{
    struct walk *w = user;
    (void)x;
    w->sum += clip(*s - w->v);
    if (*s > w->most) w->most = *s;
}

static void lower(double *s, const double *x, void *user)
{
    struct walk *w = user;
    (void)x;
    *s = clip(*s - w->v);
}

static double sum_above(struct keep *keep, int type, double v, double *most)
{
    struct walk w = { .v = v };
    each(keep, type, NULL, add_clipped, &w);
    *most = w.most;
    return w.sum;
}

/* By bisection, 20 times at most, to a thousandth of a unit. */
static void project(struct keep *keep, int type)
{
    double target = keep->options.rate * keep->n_source[type], most, low = 0, high;
    struct walk w = { 0 };
    if (sum_above(keep, type, 0, &high) > target) {
        for (int i = 0; i < 20; i++) {
            w.v = (low + high) / 2;
            double sum = sum_above(keep, type, w.v, &most);
            if (fabs(sum - target) < 1e-3) break;
            if (sum > target)
                low = w.v;
            else
                high = w.v;
        }
    }
    each(keep, type, NULL, lower, &w);
}

/* The step of every unit, into the first mask. */
static void make_step(const struct keep *keep, struct scores *mask, const double *factor)
{
    for (int a = 0; a < scores_arrays(mask) - 1; a++) { /* the last array is the stem's */
        int n;
        const double *s = scores_array(&keep->s, a, &n);
        double *step = scores_array(mask, a, &n);
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < keep->options.masks; k++)
                sum += factor[k] * (scores_array(&mask[k], a, &n)[j] - s[j]);
            step[j] = sum / sqrt((s[j] + SMALL) * (1 - s[j] + SMALL));
        }
    }
}

void keep_learn(struct keep *keep, struct scores *mask, const double *loss)
{
    int K = keep->options.masks;
    double mean = 0, factor[KEEP_MAX_MASKS];
    for (int k = 0; k < K; k++) mean += loss[k] / K;
    keep->baseline = keep->baseline == 0 ? mean : 0.8 * keep->baseline + 0.2 * mean;
    for (int k = 0; k < K; k++)
        factor[k] = keep->options.learning_rate * (loss[k] - keep->baseline) / (K - 1);
    make_step(keep, mask, factor);
    for (int type = GROUP_HEADS; type <= GROUP_FFN; type++) {
        each(keep, type, mask, follow, NULL);
        project(keep, type);
    }
}
