/* Properties of searches under every way of scoring: the order of the source's units does not
 * matter, and a checkpoint in the middle of anything leads to the same end. */
#include "search/base/rng.h"
#include "search/criterion.h"
#include "search/search.h"
#include "tests/support/check.h"

enum { MAX_REMOVALS = 400, WIDTH = 32, LAYERS = 4 };

/* ---- a source whose units may be shuffled ---------------------------------------------------- */

/* Which unit of the unshuffled source each unit is. */
struct shuffle {
    int kv[LAYERS][WIDTH], query[LAYERS][WIDTH], ffn[LAYERS][WIDTH], stem[WIDTH];
};

static void permute(struct rng *rng, int *map, int n, bool really)
{
    for (int i = 0; i < n; i++) map[i] = i;
    for (int i = n - 1; i > 0 && really; i--) {
        int j = (int)rng_below(rng, (uint64_t)i + 1), swap = map[i];
        map[i] = map[j];
        map[j] = swap;
    }
}

static struct shuffle shuffled(const struct shape *s, uint64_t seed, bool really)
{
    struct shuffle to;
    struct rng rng;
    rng_init(&rng, seed);
    permute(&rng, to.stem, s->hidden_size, really);
    for (int l = 0; l < s->n_layers; l++) {
        int kv = s->layer[l].kv_heads, r = s->layer[l].q_heads / kv, within[WIDTH];
        permute(&rng, to.kv[l], kv, really);
        permute(&rng, to.ffn[l], s->layer[l].ffn, really);
        for (int g = 0; g < kv; g++) {
            permute(&rng, within, r, really);
            for (int i = 0; i < r; i++) to.query[l][g * r + i] = to.kv[l][g] * r + within[i];
        }
    }
    return to;
}

static double number(int64_t step, int type, int l, int index)
{
    uint64_t key = rng_mix((uint64_t)step, (uint64_t)((type * 10 + l) * 1000 + index));
    return 0.1 + (double)(key >> 11) * 0x1p-53;
}

/* The sums of one step, added to the table as a trainer adds them. */
static void add_step(struct scores *t, const struct search *s, const struct shuffle *to)
{
    bool query = t->unit == HEAD_UNIT_QUERY;
    for (int l = 0; l < t->n_layers; l++) {
        const int *map = query ? s->map.query[l] : s->map.kv[l];
        for (int j = 0; j < t->n_heads[l]; j++)
            t->heads[l][j] += number(s->step, 0, l, (query ? to->query : to->kv)[l][map[j]]) *
                              (double)t->heads_params[l];
        for (int j = 0; j < t->n_ffn[l]; j++)
            t->ffn[l][j] +=
                number(s->step, 1, l, to->ffn[l][s->map.ffn[l][j]]) * (double)t->ffn_params[l];
    }
    for (int j = 0; j < t->n_stem; j++)
        t->stem[j] += number(s->step, 2, 0, to->stem[s->map.stem[j]]) * (double)t->stem_params;
    t->weight++;
}

/* ---- searches of every kind ---------------------------------------------------------------- */

static struct shape a_source(struct rng *rng, bool uniform)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = 8 + (int)rng_below(rng, 20);
    s.head_dim = 4;
    s.vocab_size = 30;
    s.tie_word_embeddings = rng_below(rng, 2);
    for (int l = 0; l < 3; l++) {
        int kv = 2 + (int)rng_below(rng, 4);
        s.layer[l] = (struct layer_shape){ kv * (2 + (int)rng_below(rng, 3)), kv,
                                           6 + (int)rng_below(rng, 20) };
        if (uniform) s.layer[l] = s.layer[0];
    }
    s.n_layers = 3;
    return s;
}

static struct search_options an_option(struct rng *rng, bool uniform)
{
    static const enum normalise ways[] = { NORMALISE_NONE,    NORMALISE_PARAMETER,
                                           NORMALISE_FLOP,    NORMALISE_MILLISECOND,
                                           NORMALISE_Z_SCORE, NORMALISE_SHARE };
    struct search_options o;
    search_options_init(&o);
    o.space.scope = uniform ? SCOPE_UNIFORM : SCOPE_PER_LAYER;
    o.space.head_unit = rng_below(rng, 2) ? HEAD_UNIT_QUERY : HEAD_UNIT_KV_GROUP;
    o.scoring.normalise = ways[rng_below(rng, 6)];
    o.scoring.reduce = rng_below(rng, 3) ? REDUCE_SUM : REDUCE_MEAN;
    o.scoring.ema = rng_below(rng, 2) ? 0.7 : 0;
    o.scoring.embedding_in_stem = rng_below(rng, 2);
    for (int t = 0; t < GROUP_TYPES; t++) o.scoring.unit_milliseconds[t] = 0.1 + 0.3 * t;
    o.schedule.warmup_steps = 3;
    o.schedule.steps_per_unit = 1 + (int)rng_below(rng, 3);
    o.schedule.channels_per_unit = 1 + (int)rng_below(rng, 5);
    o.schedule.credits[GROUP_HEADS] = 2;
    if (rng_below(rng, 3) == 0) o.schedule.rounds = 1 + (int)rng_below(rng, 5);
    if (rng_below(rng, 3) == 0 && o.scoring.ema == 0) o.schedule.calibration_steps = 1;
    if (rng_below(rng, 3) == 0) o.stop.round_to = 8;
    o.stop.ratio = 0.5;
    o.tokens_per_step = 10;
    return o;
}

struct run {
    struct search search;
    struct scores scores;
    struct shuffle to;
    int n;
    struct removal log[MAX_REMOVALS];
};

static void run_open(struct run *run, const struct shape *source, const struct search_options *o,
                     struct shuffle to)
{
    struct error err = { 0 };
    CHECK_OK(search_open(&run->search, source, o, 1, &err), err);
    search_init_scores(&run->search, &run->scores);
    run->to = to;
    run->n = 0;
}

static void run_close(struct run *run)
{
    scores_release(&run->scores);
    search_close(&run->search);
}

static void run_steps(struct run *run, int64_t until)
{
    while (!search_is_over(&run->search) && run->search.step < until) {
        if (search_counts(&run->search)) add_step(&run->scores, &run->search, &run->to);
        search_step(&run->search);
        while (search_decide(&run->search, &run->scores, &run->log[run->n]))
            CHECK(++run->n < MAX_REMOVALS, "too many removals");
    }
}

/* ---- the properties ------------------------------------------------------------------------ */

static int original(const struct shuffle *to, const struct removal *r, int l, int index)
{
    if (index < 0) return -1;
    if (r->type == GROUP_STEM) return to->stem[index];
    if (r->type == GROUP_FFN) return to->ffn[l][index];
    return r->unit == HEAD_UNIT_QUERY ? to->query[l][index] : to->kv[l][index];
}

static int compare_ints(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* The same units of the unshuffled source, layer by layer (KV groups in any order). */
static void check_same_units(const struct removal *a, const struct shuffle *pa,
                             const struct removal *b, const struct shuffle *pb,
                             const struct shape *before)
{
    CHECK_INT(a->type, b->type);
    CHECK_INT(a->layer, b->layer);
    CHECK_STR(a->shape_hash, b->shape_hash);
    for (int l = 0; l < before->n_layers; l++) {
        int first, n = removal_of_layer(a, before, l, &first), x[WIDTH], y[WIDTH];
        for (int i = 0; i < n; i++) {
            x[i] = original(pa, a, l, a->source_index[first + i]);
            y[i] = original(pb, b, l, b->source_index[first + i]);
        }
        qsort(x, (size_t)n, sizeof *x, compare_ints);
        qsort(y, (size_t)n, sizeof *y, compare_ints);
        for (int i = 0; i < n; i++) CHECK_INT(x[i], y[i]);
    }
}

static void test_order_does_not_matter(const struct shape *source, const struct search_options *o,
                                       uint64_t seed)
{
    static struct run plain, mixed;
    struct shape shape = *source;
    run_open(&plain, source, o, shuffled(source, seed, false));
    run_open(&mixed, source, o, shuffled(source, seed, true));
    run_steps(&plain, INT64_MAX);
    run_steps(&mixed, INT64_MAX);
    CHECK_INT(plain.n, mixed.n);
    CHECK_INT(plain.search.step, mixed.search.step);
    for (int i = 0; i < plain.n; i++) {
        check_same_units(&plain.log[i], &plain.to, &mixed.log[i], &mixed.to, &shape);
        removal_shrink(&plain.log[i], &shape);
    }
    run_close(&plain);
    run_close(&mixed);
}

static void test_checkpoint_anywhere(const struct shape *source, const struct search_options *o,
                                     struct rng *rng)
{
    static struct run whole, part;
    struct shuffle to = shuffled(source, 0, false);
    struct error err = { 0 };
    run_open(&whole, source, o, to);
    run_steps(&whole, INT64_MAX);
    int64_t stop = 1 + (int64_t)rng_below(rng, (uint64_t)whole.search.step);

    run_open(&part, source, o, to); /* runs to a checkpoint, */
    run_steps(&part, stop);
    double *kept = malloc((size_t)scores_count(&part.scores) * sizeof *kept), weight;
    scores_get(&part.scores, kept);
    weight = part.scores.weight;
    int64_t params[3] = { part.scores.heads_params[0], part.scores.ffn_params[1],
                          part.scores.stem_params };
    run_close(&part);

    CHECK_OK(search_open(&part.search, source, o, 1, &err), err); /* and is built again */
    for (int i = 0; i < part.n; i++) CHECK_OK(search_apply(&part.search, &part.log[i], &err), err);
    CHECK_OK(search_seek(&part.search, stop, &err), err);
    search_init_scores(&part.search, &part.scores);
    CHECK(params[0] == part.scores.heads_params[0] && params[1] == part.scores.ffn_params[1] &&
              params[2] == part.scores.stem_params,
          "the parameters of a unit are not those of the table that was kept");
    scores_set(&part.scores, kept);
    part.scores.weight = weight;
    run_steps(&part, INT64_MAX);
    CHECK_INT(part.n, whole.n);
    for (int i = 0; i < whole.n; i++) {
        const struct removal *a = &whole.log[i], *b = &part.log[i];
        CHECK(a->step == b->step && a->type == b->type && !strcmp(a->shape_hash, b->shape_hash) &&
                  !memcmp(a->source_index, b->source_index, (size_t)a->n * sizeof(int)) &&
                  !memcmp(a->min_score, b->min_score, sizeof a->min_score),
              "removal %d differs after a checkpoint at step %lld", i + 1, (long long)stop);
    }
    free(kept);
    run_close(&whole);
    run_close(&part);
}

/* Round i of k ends with the first removal at or below its share, and takes nothing more. */
static void test_rounds(void)
{
    static struct run run;
    struct rng rng;
    rng_init(&rng, 77);
    struct shape source = a_source(&rng, true);
    struct search_options o;
    search_options_init(&o);
    o.schedule.warmup_steps = 2;
    o.schedule.steps_per_unit = 10;
    o.schedule.calibration_steps = 3;
    o.schedule.rounds = 4;
    o.tokens_per_step = 1;
    run_open(&run, &source, &o, shuffled(&source, 0, false));
    double whole = (double)shape_params(&source);
    CHECK_INT(search_steps_planned(&run.search), 42);
    for (int step = 0; step < 42; step++) {
        int in_unit = (step - 2) % 10;
        CHECK_INT(search_counts(&run.search), step >= 2 && in_unit >= 7);
        run_steps(&run, step + 1);
        int round = (step + 1 - 2) / 10;
        double target = whole - whole * 0.5 * round / 4;
        if (step < 11) continue;
        CHECK((double)run.search.params <= target && (double)run.search.params_before > target,
              "round %d: %lld, then %lld, target %g", round, (long long)run.search.params_before,
              (long long)run.search.params, target);
        CHECK_INT(run.log[run.n - 1].step, 2 + 10 * round);
    }
    CHECK(search_is_over(&run.search), "four rounds and no more");
    run_close(&run);
}

static void test_scoring_check(void)
{
    struct scoring s;
    struct error err = { 0 };
    scoring_init(&s);
    CHECK_OK(scoring_check(&s, 1u << STAT_WG_ABS, &err), err);
    snprintf(s.name, sizeof s.name, "flap");
    enum status status = scoring_check(&s, 1u << STAT_WG_ABS | 1u << STAT_X_SQ, &err);
    CHECK_INT(status, E_INPUT);
    CHECK_STR(err.text,
              "criterion flap needs statistics that are not collected here: x_sum, col_sq");
}

int main(void)
{
    test_rounds();
    test_scoring_check();
    int per_type[GROUP_TYPES] = { 0 };
    for (uint64_t seed = 0; seed < 250; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        bool uniform = seed % 2;
        struct shape source = a_source(&rng, uniform);
        struct search_options o = an_option(&rng, uniform);
        test_order_does_not_matter(&source, &o, seed);
        test_checkpoint_anywhere(&source, &o, &rng);
        if (uniform) {
            o.space.index = INDEX_SHARED;
            test_checkpoint_anywhere(&source, &o, &rng);
            o.space.index = INDEX_OWN;
        }
        static struct run run;
        run_open(&run, &source, &o, shuffled(&source, seed, false));
        run_steps(&run, INT64_MAX);
        for (int i = 0; i < run.n; i++) per_type[run.log[i].type]++;
        run_close(&run);
    }
    printf("removals: %d heads, %d ffn, %d stem\n", per_type[0], per_type[1], per_type[2]);
    for (int t = 0; t < GROUP_TYPES; t++) CHECK(per_type[t] > 100, "%d", per_type[t]);
    puts("ok");
    return 0;
}
