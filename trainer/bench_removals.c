#include "trainer/bench_removals.h"

#include <stdlib.h>
#include "search/base/clock.h"
#include "search/base/rng.h"
#include "search/base/sample.h"
#include "search/search.h"
#include "trainer/surgery.h"

/* A search of the type alone that owes as many removals as there are. */
static enum status open_search(struct search *search, const struct model *model,
                               enum group_type type, struct error *err)
{
    const struct shape *shape = model_shape(model);
    struct search_options o;
    search_options_init(&o);
    for (int t = 0; t < GROUP_TYPES; t++) o.space.types[t] = t == (int)type;
    if (!shape_is_uniform(shape)) o.space.scope = SCOPE_PER_LAYER;
    o.schedule.warmup_steps = 0;
    o.schedule.channels_per_unit = 1000000;
    o.stop.kind = STOP_STEPS;
    o.stop.count = 1;
    return search_open(search, shape, &o, 1, err);
}

static void fill(struct scores *scores)
{
    for (int64_t i = 0; i < scores_count(scores); i++)
        scores->block[i] = (double)(rng_mix(1, (uint64_t)i) >> 40);
    scores->weight = 1;
}

/* Milliseconds of each of at most n removals, into ms; how many there were. */
static enum status time_type(struct model *model, enum group_type type, double *ms, int n,
                             int *done, struct error *err)
{
    struct search search;
    struct scores scores;
    struct removal *removal = malloc(sizeof *removal);
    struct error none = { 0 };
    if (!removal) abort();
    *done = 0;
    if (open_search(&search, model, type, &none)) { /* nothing to remove */
        free(removal);
        return OK;
    }
    search_init_scores(&search, &scores);
    fill(&scores);
    search_step(&search);
    while (*done < n && !err->status) {
        double start = clock_seconds();
        if (!search_decide(&search, &scores, removal)) break;
        surgery_remove(model, removal, err);
        model->be->finish(model->be);
        ms[(*done)++] = 1e3 * (clock_seconds() - start);
    }
    scores_release(&scores);
    search_close(&search);
    free(removal);
    return err->status;
}

static double mean(const double *ms, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += ms[i];
    return sum / n;
}

enum status bench_removals(struct model *model, int n, double step_ms, struct emit *e,
                           struct error *err)
{
    static const char *const keys[] = { "heads_ms", "ffn_ms", "stem_ms" };
    double *ms = malloc((size_t)n * sizeof *ms), sum = 0;
    int types = 0, done;
    if (!ms) abort();
    emit_key(e, "removal");
    emit_begin(e, '{');
    for (int t = 0; t < GROUP_TYPES && !time_type(model, t, ms, n, &done, err); t++) {
        emit_key(e, keys[t]);
        if (!done) {
            emit_null(e);
            continue;
        }
        sum += mean(ms, done);
        types++;
        emit_double(e, sample_median(ms, done));
    }
    emit_kv_double(e, "steps_per_100", types ? 100 * sum / types / step_ms : 0);
    emit_end(e);
    free(ms);
    return err->status;
}
