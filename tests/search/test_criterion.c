#include "search/cost.h"
#include "search/search.h"
#include "search/statistics.h"
#include "tests/search/criterion_oracle.h"
#include "tests/search/tiny_trainer.h"

static struct shape uneven(void)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = 6;
    s.head_dim = 4;
    s.vocab_size = 11;
    s.tie_word_embeddings = true;
    shape_set_layers(&s, 3, (struct layer_shape){ 4, 2, 7 });
    s.layer[1] = (struct layer_shape){ 3, 1, 5 };
    s.layer[2] = (struct layer_shape){ 6, 2, 9 };
    return s;
}

/* ---- the comparison ------------------------------------------------------------------------ */

static struct search opened(const struct shape *shape, const struct scoring *scoring,
                            enum head_unit unit)
{
    struct search search;
    struct search_options o;
    struct error err = { 0 };
    search_options_init(&o);
    o.space.scope = SCOPE_PER_LAYER;
    o.space.head_unit = unit;
    o.scoring = *scoring;
    o.stop.ratio = 0.1;
    CHECK_OK(search_open(&search, shape, &o, 5, &err), err);
    return search;
}

static void check_table(const struct tiny *t, const struct scoring *scoring, struct scores *got)
{
    for (int l = 0; l < got->n_layers; l++)
        for (int type = 0; type < GROUP_TYPES; type++) {
            int n = type == GROUP_STEM  ? (l ? 0 : got->n_stem)
                    : type == GROUP_FFN ? got->n_ffn[l]
                                        : got->n_heads[l];
            for (int j = 0; j < n; j++) {
                struct unit u = { t, got->unit, (enum group_type)type, l, j };
                double want = oracle_value(&u, scoring), have = *table_entry(got, type, l, j);
                CHECK(fabs(have - want) <= 1e-10 * fabs(want), "%s, %s %d of layer %d: %g, not %g",
                      scoring->name, group_names[type], j, l, have, want);
            }
        }
}

static void compare(const struct tiny *t, const struct scoring *scoring, enum head_unit unit)
{
    struct search search = opened(&t->shape, scoring, unit);
    struct statistics st;
    struct scores got;
    statistics_init(&st, scoring, &t->shape, unit);
    search_init_scores(&search, &got);
    collect(&st, t);
    statistics_score(&st, &search, &got);
    CHECK(got.weight == 1, "a table of averages");
    check_table(t, scoring, &got);
    statistics_release(&st);
    scores_release(&got);
    search_close(&search);
}

static void test_criteria_against_the_oracle(const struct tiny *t)
{
    static const char *const names[] = { "param_first", "vectorize",    "param_second", "param_mix",
                                         "fisher",      "magnitude_l1", "magnitude_l2", "wanda_sp",
                                         "flap",        "minitron" };
    struct scoring scoring;
    for (int unit = 0; unit < HEAD_UNITS; unit++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            scoring_init(&scoring);
            snprintf(scoring.name, sizeof scoring.name, "%s", names[i]);
            compare(t, &scoring, (enum head_unit)unit);
        }
        scoring_init(&scoring);
        scoring.reduce = REDUCE_MAX;
        compare(t, &scoring, (enum head_unit)unit);
        scoring_init(&scoring);
        scoring.abs_after = true;
        compare(t, &scoring, (enum head_unit)unit);
    }
}

/* SAAP, from the steps of each unit of one layer's FFN. */
static void test_saap(const struct tiny *t)
{
    struct scoring scoring;
    scoring_init(&scoring);
    snprintf(scoring.name, sizeof scoring.name, "saap");
    struct search search = opened(&t->shape, &scoring, HEAD_UNIT_KV_GROUP);
    struct statistics st;
    struct scores got;
    statistics_init(&st, &scoring, &t->shape, HEAD_UNIT_KV_GROUP);
    search_init_scores(&search, &got);
    collect(&st, t);
    statistics_score(&st, &search, &got);

    enum { L1_FFN = 5 };
    double x[2][STEPS][L1_FFN], mean[2][L1_FFN] = { { 0 } }, var[2][L1_FFN] = { { 0 } },
                                s2[2] = { 0 };
    for (int s = 0; s < STEPS; s++)
        for (int j = 0; j < L1_FFN; j++) {
            struct unit u = { t, HEAD_UNIT_KV_GROUP, GROUP_FFN, 1, j };
            x[0][s][j] = lines_in_step(&u, s);
            struct tiny one = *t; /* the same step three times: its own mean */
            for (int i = 0; i < one.n; i++)
                for (int k = 0; k < STEPS; k++) one.m[i].g[k] = t->m[i].g[s];
            u.t = &one;
            x[1][s][j] = over_elements(&u, mix);
        }
    for (int k = 0; k < 2; k++) {
        for (int s = 0; s < STEPS; s++) {
            double all = 0;
            for (int j = 0; j < L1_FFN; j++) all += x[k][s][j] / L1_FFN;
            for (int j = 0; j < L1_FFN; j++) mean[k][j] += (x[k][s][j] /= all) / STEPS;
        }
        for (int j = 0; j < L1_FFN; j++) {
            for (int s = 0; s < STEPS; s++) var[k][j] += pow(x[k][s][j] - mean[k][j], 2) / STEPS;
            s2[k] += var[k][j] / L1_FFN;
        }
    }
    for (int j = 0; j < L1_FFN; j++) {
        double cv = sqrt(var[0][j] + var[1][j]) / (mean[0][j] + mean[1][j]);
        double want = (mean[0][j] / (2 * s2[0]) + mean[1][j] / (2 * s2[1])) * (1 + cv) +
                      log(sqrt(s2[0]) * sqrt(s2[1]));
        CHECK_NEAR(got.ffn[1][j], want, 1e-8 * fabs(want));
    }
    statistics_release(&st);
    scores_release(&got);
    search_close(&search);
}

/* ---- what is divided by -------------------------------------------------------------------- */

/* What the model saves without one unit of layer l, in the coin of the normaliser. */
static double saved(const struct shape *s, enum normalise by, enum group_type type,
                    enum head_unit unit, int l)
{
    struct shape less = *s;
    group_set_count(&less, type, unit, l, group_count(s, type, unit, l) - 1);
    struct cost a = cost_of(s, 2048), b = cost_of(&less, 2048);
    if (by == NORMALISE_PARAMETER) return (double)(a.params - b.params);
    if (by == NORMALISE_FLOP) return (double)(a.flops_per_token - b.flops_per_token);
    return (double)(a.kv_bytes_per_token - b.kv_bytes_per_token);
}

static void test_normalisers(void)
{
    struct shape s = uneven();
    struct scoring scoring;
    for (int unit = 0; unit < HEAD_UNITS; unit++)
        for (int type = 0; type < GROUP_TYPES; type++)
            for (int l = 0; l < s.n_layers; l++)
                for (int by = NORMALISE_PARAMETER; by <= NORMALISE_KV_BYTE; by++) {
                    struct scores table;
                    bool query = unit == HEAD_UNIT_QUERY && type == GROUP_HEADS;
                    if (by == NORMALISE_KV_BYTE && (type != GROUP_HEADS || query)) continue;
                    scoring_init(&scoring);
                    scoring.normalise = (enum normalise)by;
                    scores_init(&table, &s, (enum head_unit)unit);
                    table.weight = 3;
                    struct search search = { .source = s, .shape = s };
                    struct scale scale = scoring_scale(&scoring, &search, &table, type, l);
                    double entries = query ? s.layer[l].kv_heads : 1;
                    CHECK_NEAR(scale.divisor * entries,
                               3 * saved(&s, (enum normalise)by, type, (enum head_unit)unit, l),
                               1e-6);
                    CHECK(scale.offset == 0, "%g", scale.offset);
                    scores_release(&table);
                }
}

static void test_z_score(void)
{
    struct shape s = uneven();
    struct scoring scoring;
    struct scores table;
    scoring_init(&scoring);
    scoring.normalise = NORMALISE_Z_SCORE;
    scores_init(&table, &s, HEAD_UNIT_KV_GROUP);
    for (int j = 0; j < 5; j++) table.ffn[1][j] = j * j; /* 0 1 4 9 16: mean 6, variance 34.8 */
    struct search search = { .source = s, .shape = s };
    struct scale scale = scoring_scale(&scoring, &search, &table, GROUP_FFN, 1);
    CHECK_NEAR(scale.offset, 6, 1e-12);
    CHECK_NEAR(scale.divisor, sqrt(34.8), 1e-12);
    scale =
        scoring_scale(&scoring, &search, &table, GROUP_STEM, 0); /* all alike: no division by 0 */
    CHECK(scale.divisor == 1, "%g", scale.divisor);
    scores_release(&table);
}

static void test_embedding_out_of_the_stem(void)
{
    struct shape s = uneven();
    struct scores table;
    scores_init(&table, &s, HEAD_UNIT_KV_GROUP);
    int64_t with = table.stem_params;
    scores_set_embedding(&table, &s, false);
    CHECK_INT(with - table.stem_params, s.vocab_size);
    scores_fade(&table, &s, 0);
    CHECK_INT(with - table.stem_params, s.vocab_size);
    scores_release(&table);
}

/* ---- motion -------------------------------------------------------------------------------- */

/* Every table marks its channels by source; after removals the maps must agree. */
static void test_tables_move_with_the_units(void)
{
    for (int kind = 0; kind < 2 * HEAD_UNITS; kind++) { /* either unit, with the stem and without */
        int unit = kind / 2;
        struct shape s = uneven();
        struct scoring scoring;
        struct removal r;
        struct statistics st;
        struct scores scores;
        scoring_init(&scoring);
        snprintf(scoring.name, sizeof scoring.name, "flap");
        struct search search = opened(&s, &scoring, (enum head_unit)unit);
        search.options.schedule.channels_per_unit = 30;
        search.options.schedule.warmup_steps = 0;
        search.options.stop.ratio = 0.6;
        search.options.space.types[GROUP_STEM] = kind % 2;
        statistics_init(&st, &scoring, &s, (enum head_unit)unit);
        search_init_scores(&search, &scores);
        struct channels *c = &st.channel[STAT_X_SUM - STAT_UNITS];
        for (int l = 0; l < 3; l++) {
            for (int i = 0; i < c->n_attention[l]; i++) c->attention[l][i] = i;
            for (int i = 0; i < c->n_ffn[l]; i++) c->ffn[l][i] = i;
        }
        for (int k = 0; k < 7; k++)
            for (int i = 0; i < c->n_stem; i++) c->stem[k][i] = i;
        int removals = 0;
        while (!search_is_over(&search)) {
            search_step(&search);
            for (int a = 0; a < scores_arrays(&scores); a++) {
                int n;
                double *x = scores_array(&scores, a, &n);
                for (int j = 0; j < n; j++)
                    x[j] = (double)(1 + rng_mix((uint64_t)a, (uint64_t)(j + search.step)) % 100);
            }
            while (search_decide(&search, &scores, &r)) {
                statistics_remove(&st, &r);
                removals++;
                CHECK(shape_equal(&st.shape, &search.shape), "shapes part");
            }
        }
        CHECK(removals >= 4, "%d", removals);
        for (int l = 0; l < 3; l++) {
            CHECK_INT(c->n_attention[l], search.shape.layer[l].q_heads * 4);
            for (int i = 0; i < c->n_attention[l]; i++)
                CHECK_INT(c->attention[l][i], search.map.query[l][i / 4] * 4 + i % 4);
            for (int i = 0; i < c->n_ffn[l]; i++) CHECK_INT(c->ffn[l][i], search.map.ffn[l][i]);
        }
        for (int k = 0; k < 7; k++)
            for (int i = 0; i < c->n_stem; i++) CHECK_INT(c->stem[k][i], search.map.stem[i]);
        statistics_release(&st);
        scores_release(&scores);
        search_close(&search);
    }
}

static void test_random_is_a_function_of_the_source_index(void)
{
    struct shape s = uneven();
    struct scoring scoring;
    struct statistics st;
    struct scores a, b;
    scoring_init(&scoring);
    snprintf(scoring.name, sizeof scoring.name, "random");
    struct search search = opened(&s, &scoring, HEAD_UNIT_KV_GROUP);
    statistics_init(&st, &scoring, &s, HEAD_UNIT_KV_GROUP);
    search_init_scores(&search, &a);
    search_init_scores(&search, &b);
    search_step(&search);
    statistics_score(&st, &search, &a);
    search.map.ffn[2][0] = 8; /* as if channel 8 lay at 0 */
    statistics_score(&st, &search, &b);
    CHECK(b.ffn[2][0] == a.ffn[2][8] && b.ffn[2][1] == a.ffn[2][1], "it belongs to the channel");
    search_step(&search);
    statistics_score(&st, &search, &b);
    CHECK(b.ffn[2][1] != a.ffn[2][1], "and to the step");
    statistics_release(&st);
    scores_release(&a);
    scores_release(&b);
    search_close(&search);
}

static void test_names_and_needs(void)
{
    struct scoring s;
    for (int i = 0; criterion_names[i]; i++) {
        const struct criterion *c = criterion_find(criterion_names[i]);
        CHECK(c && !strcmp(c->name, criterion_names[i]), "%s", criterion_names[i]);
    }
    CHECK(!criterion_find("astrology"), "there is no such thing");
    scoring_init(&s);
    CHECK_INT(scoring_needs(&s), 1u << STAT_WG_ABS);
    s.reduce = REDUCE_MAX;
    CHECK_INT(scoring_needs(&s), 1u << STAT_WG_MAX);
    CHECK_STR(statistic_names[STAT_COL_SQ], "col_sq");
}

int main(void)
{
    struct rng rng;
    struct tiny t;
    struct shape shape = uneven();
    rng_init(&rng, 11);
    tiny_init(&t, &shape, &rng);
    test_criteria_against_the_oracle(&t);
    test_saap(&t);
    test_normalisers();
    test_z_score();
    test_embedding_out_of_the_stem();
    test_tables_move_with_the_units();
    test_random_is_a_function_of_the_source_index();
    test_names_and_needs();
    tiny_release(&t);
    puts("ok");
    return 0;
}
