/* When a search removes and when it ends: the run of the paper, budgets, stops, and what is
 * refused. */
#include "search/base/rng.h"
#include "search/plan.h"
#include "search/search.h"
#include "tests/support/check.h"

/* ---- the digitised run (methods.md 1.2) ---------------------------------------------------- */

/* Scores of the reported kind: heads least at first, then FFN, then the stem joins. */
static void reported_scores(struct scores *s, const struct search *search)
{
    double F = search->shape.layer[0].ffn / 8192.0, H = search->shape.layer[0].q_heads / 32.0;
    double d = search->shape.hidden_size / 2048.0;
    double level[3] = { 1.63e-7 + 2.1e-6 * (1 - H) * (1 - H), 1.88e-7 / (0.6 + 0.4 * F),
                        2.51e-7 / (0.6 + 0.4 * d) };
    s->weight = 1;
    for (int l = 0; l < s->n_layers; l++) {
        for (int j = 0; j < s->n_heads[l]; j++)
            s->heads[l][j] = level[0] * (double)s->heads_params[l] * (1 + j % 7);
        for (int j = 0; j < s->n_ffn[l]; j++)
            s->ffn[l][j] = level[1] * (double)s->ffn_params[l] * (1 + j % 7);
    }
    for (int j = 0; j < s->n_stem; j++)
        s->stem[j] = level[2] * (double)s->stem_params * (1 + j % 7);
}

static int64_t formula(const struct shape *s)
{
    int64_t f = s->layer[0].ffn, H = s->layer[0].q_heads, d = s->hidden_size;
    return 1048576LL * (500 + 9 * ((8192 - f) + 64 * (32 - H) + 2 * (2048 - d)));
}

static void test_digitised_run(void)
{
    struct shape source;
    struct search_options o;
    struct search s;
    struct scores scores;
    struct removal r;
    struct error err = { 0 };
    shape_init(&source);
    source.hidden_size = 2048;
    source.head_dim = 64;
    source.vocab_size = 49152;
    source.tie_word_embeddings = true;
    shape_set_layers(&source, 24, (struct layer_shape){ 32, 32, 8192 });
    CHECK_INT(shape_params(&source), 1711376384);
    shape_set_layers(&source, 2, source.layer[0]); /* the formula does not depend on the depth */
    search_options_init(&o);
    o.schedule.steps_per_unit = 9;
    o.stop.ratio = 1 - 469.0 / 1711;
    o.tokens_per_step = 1048576;
    CHECK_OK(search_open(&s, &source, &o, 0, &err), err);
    scores_init(&scores, &source, HEAD_UNIT_KV_GROUP);

    int64_t seen = 0, per_type[3] = { 0 }, credit[3] = { 64, 1, 2 };
    while (!search_is_over(&s)) {
        struct shape before = s.shape;
        search_step(&s);
        if (!schedule_unit_ends(&s.options.schedule, s.step)) continue;
        bool due = search_tokens(&s) == formula(&before) + 9 * 1048576LL;
        if (due) reported_scores(&scores, &s);
        bool removed = search_decide(&s, &scores, &r);
        CHECK_INT(removed, due); /* a choice exactly one unit after the last is paid for */
        if (!removed) continue;
        CHECK_INT(r.tokens, formula(&s.shape) - (credit[r.type] - 1) * 9 * 1048576LL);
        seen++;
        per_type[r.type]++;
        CHECK(!search_decide(&s, &scores, &r), "one choice a unit");
    }
    int64_t target = plan_target(&o, &source);
    CHECK(s.params <= target && s.params_before > target, "%lld", (long long)s.params);
    CHECK(per_type[0] > 3 && per_type[1] > 1000 && per_type[2] > 100, "all types take part");
    printf("digitised run: %lld removals, H %d, F %d, d %d, %.2f B tokens\n", (long long)seen,
           s.shape.layer[0].q_heads, s.shape.layer[0].ffn, s.shape.hidden_size,
           (double)search_tokens(&s) / 1e9);
    scores_release(&scores);
    search_close(&s);
}

/* ---- pace and stop ------------------------------------------------------------------------- */

static struct shape small(void)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = 32;
    s.head_dim = 8;
    s.vocab_size = 100;
    s.tie_word_embeddings = true;
    shape_set_layers(&s, 2, (struct layer_shape){ 4, 2, 64 });
    return s;
}

static void any_scores(struct scores *s, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (int l = 0; l < s->n_layers; l++) {
        for (int j = 0; j < s->n_heads[l]; j++) s->heads[l][j] = rng_uniform(&rng);
        for (int j = 0; j < s->n_ffn[l]; j++) s->ffn[l][j] = rng_uniform(&rng);
    }
    for (int j = 0; j < s->n_stem; j++) s->stem[j] = rng_uniform(&rng);
}

static int64_t steps_of(const struct search_options *o, const struct shape *source, int *removals)
{
    struct search s;
    struct scores scores;
    struct removal r;
    struct error err = { 0 };
    CHECK_OK(search_open(&s, source, o, 0, &err), err);
    scores_init(&scores, source, HEAD_UNIT_KV_GROUP);
    *removals = 0;
    while (!search_is_over(&s)) {
        search_step(&s);
        any_scores(&scores, (uint64_t)s.step);
        while (search_decide(&s, &scores, &r)) ++*removals;
    }
    int64_t steps = s.step;
    CHECK_INT(search_steps_planned(&s), steps);
    scores_release(&scores);
    search_close(&s);
    return steps;
}

static void test_fit_keeps_the_budget(void)
{
    struct shape source = small();
    for (int64_t budget = 3; budget < 2000; budget = budget * 3 / 2) {
        struct search_options o;
        int n;
        search_options_init(&o);
        o.schedule.warmup_steps = 10;
        o.schedule.fit_steps = budget;
        int64_t took = steps_of(&o, &source, &n) - 10;
        CHECK(took <= budget * 2 && took * 4 + 2 >= budget, "budget %lld, took %lld",
              (long long)budget, (long long)took);
    }
}

static void test_stop_by_time_includes_its_last_step(void)
{
    struct shape source = small();
    struct search_options o;
    int n;
    search_options_init(&o);
    o.space.types[GROUP_HEADS] = o.space.types[GROUP_STEM] = false;
    o.schedule.warmup_steps = 10;
    o.schedule.steps_per_unit = 3;
    o.start_step = 5;
    o.tokens_per_step = 100;
    o.stop = (struct search_stop){ .kind = STOP_STEPS, .count = 22 };
    CHECK_INT(steps_of(&o, &source, &n), 27);
    CHECK_INT(n, 4); /* at 13, 16, 19 and 22 steps */
    o.stop = (struct search_stop){ .kind = STOP_TOKENS, .count = 2101 };
    CHECK_INT(steps_of(&o, &source, &n), 27);
    CHECK_INT(n, 4);
    o.stop.count = 2100;
    CHECK_INT(steps_of(&o, &source, &n), 26);
    CHECK_INT(n, 3);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void open_says(const struct shape *source, const struct search_options *o, const char *want)
{
    struct search s;
    struct error err = { 0 };
    CHECK_INT(search_open(&s, source, o, 0, &err), E_INPUT);
    CHECK_STR(err.text, want);
}

static void test_open_refuses(void)
{
    struct shape source = small();
    struct search_options o;
    search_options_init(&o);
    o.stop.ratio = 0.99;
    open_says(&source, &o,
              "stop: the space leaves at least 996 parameters, above the target 217; lower the "
              "floors, free layers or add types");
    o.stop = (struct search_stop){ .kind = STOP_PARAMS, .count = 99999999 };
    open_says(&source, &o, "stop: the source has 21792 parameters, not above the target 99999999");
    search_options_init(&o);
    o.space.frozen[2] = true;
    open_says(&source, &o, "frozen_layers names layer 2; the source has 2 layers");
    search_options_init(&o);
    o.space.floors[GROUP_FFN] = 65;
    open_says(&source, &o, "the floor of ffn is 65; layer 0 of the source has 64");
    search_options_init(&o);
    o.scoring.normalise = NORMALISE_KV_BYTE;
    open_says(
        &source, &o,
        "normalise kv_byte needs space.types [\"heads\"] and head_unit kv_group: nothing else "
        "saves KV cache");
    search_options_init(&o);
    source.layer[1].ffn = 63;
    open_says(&source, &o,
              "scope uniform needs layers that are alike, and layer 1 differs from layer 0; freeze "
              "it or use scope per_layer");
    o.space.frozen[0] = o.space.frozen[1] = true;
    o.space.types[GROUP_STEM] = false;
    open_says(&source, &o,
              "the space leaves nothing to remove: every type is out, frozen or at its floor");
}

int main(void)
{
    test_digitised_run();
    test_fit_keeps_the_budget();
    test_stop_by_time_includes_its_last_step();
    test_open_refuses();
    puts("ok");
    return 0;
}
