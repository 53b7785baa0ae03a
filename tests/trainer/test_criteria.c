/*
 * Every criterion against an oracle that reads weights and gradients out in every step, runs
 * the model again in doubles, and asks of every element which unit it belongs to. Unequal
 * layers, grouped queries, tied and not; again at the shape after a removal of every type.
 */
#include "tests/trainer/criteria_oracle.h"
#include "trainer/collector.h"

static void compare(const double *got, int n, struct unit u)
{
    for (u.j = 0; u.j < n; u.j++) {
        double want = oracle(&u, n), unsure = strcmp(options->scoring.name, "saap") ? 2e-4 : 2e-3;
        CHECK(fabs(got[u.j] - want) <= unsure * fabs(want) + 1e-12,
              "%s: %s %d of layer %d: %g, want %g", options->scoring.name, group_names[u.type], u.j,
              u.layer, got[u.j], want);
    }
}

/* ---- running ------------------------------------------------------------------------------- */

static void train(struct collector *c, int step)
{
    collector_begin(c);
    model_gradient(f.model, &f.batch, 1 / 27.0, false);
    seen_step();
    collector_end(c, 27);
    optim_step(f.model, &fixture_adamw, 1e-2, step, NULL);
}

/* One choice: some steps, the scores of all units. */
static void choose(struct collector *c, struct search *search, struct scores *scores, int from)
{
    struct error err = { 0 };
    for (int s = 0; s < STEPS; s++) train(c, from + s);
    seen_now();
    CHECK_OK(collector_score(c, search, scores, &err), err);
    enum head_unit head = options->space.head_unit;
    compare(scores->stem, scores->n_stem, (struct unit){ GROUP_STEM, head, -1, 0 });
    for (int l = 0; l < SLOW_LAYERS; l++) {
        compare(scores->ffn[l], scores->n_ffn[l], (struct unit){ GROUP_FFN, head, l, 0 });
        compare(scores->heads[l], scores->n_heads[l], (struct unit){ GROUP_HEADS, head, l, 0 });
    }
}

/* One unit of every type goes, in layer 1 (by query: query heads 1 and 2 of its two groups). */
static void remove_some(struct collector *c, struct search *search)
{
    bool query = options->space.head_unit == HEAD_UNIT_QUERY;
    struct removal r[] = {
        { .type = GROUP_HEADS, .unit = options->space.head_unit, .layer = 1, .n = query ? 2 : 1 },
        { .type = GROUP_FFN, .layer = 1, .n = 1, .position = { 3 } },
        { .type = GROUP_STEM, .layer = -1, .n = 1, .position = { 5 } },
    };
    if (query) r[0].position[0] = 1, r[0].position[1] = 2;
    for (int i = 0; i < 3; i++) {
        struct error err = { 0 };
        CHECK_OK(collector_remove(c, &r[i], &err), err);
        CHECK_OK(surgery_remove(f.model, &r[i], &err), err);
        removal_shrink(&r[i], &search->shape);
    }
}

static void check_criterion(const struct search_options *o, bool tied)
{
    struct shape shape = fixture_shape(2, tied, true);
    struct error err = { 0 };
    struct search search;
    struct scores scores;
    struct collector *c;
    options = o;
    fixture_open(&f, &shape, "cpu");
    CHECK_OK(search_open(&search, &shape, o, 1, &err), err);
    CHECK_OK(collector_open(&c, f.model, &search, &err), err);
    search_init_scores(&search, &scores);
    choose(c, &search, &scores, 1);
    seen_clear();
    remove_some(c, &search);
    collector_fade(c, 0);
    scores_release(&scores);
    search_init_scores(&search, &scores);
    choose(c, &search, &scores, 1 + STEPS);
    seen_clear();
    scores_release(&scores);
    collector_close(c);
    search_close(&search);
    fixture_close(&f);
    printf("ok %s%s\n", o->scoring.name, tied ? ", tied" : "");
}

static struct search_options options_of(const char *name)
{
    struct search_options o;
    search_options_init(&o);
    o.space.scope = SCOPE_PER_LAYER;
    snprintf(o.scoring.name, sizeof o.scoring.name, "%s", name);
    return o;
}

int main(void)
{
    static const char *const names[] = { "magnitude_l1", "magnitude_l2", "param_second",
                                         "param_mix",    "fisher",       "vectorize",
                                         "wanda_sp",     "flap",         "minitron",
                                         "saap",         "obs" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct search_options o = options_of(names[i]);
        if (i % 3 == 2) o.space.head_unit = HEAD_UNIT_QUERY;
        if (i % 4 == 3) o.scoring.embedding_in_stem = false;
        check_criterion(&o, i % 2);
    }
    struct search_options max = options_of("param_first"), after = max, query = options_of("obs");
    max.scoring.reduce = REDUCE_MAX;
    after.scoring.abs_after = true;
    query.space.head_unit = HEAD_UNIT_QUERY;
    check_criterion(&max, true);
    check_criterion(&after, false);
    check_criterion(&query, true);
    return 0;
}
