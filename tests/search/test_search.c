/* Random searches beside an oracle (oracle.h), and replayed, resumed and read back. */
#include "search/plan.h"
#include "tests/search/oracle.h"
#include "tests/support/check.h"

enum { MAX_REMOVALS = 600 };

/* ---- random searches --------------------------------------------------------------------- */

static int between(struct rng *rng, int low, int high)
{
    return low + (int)rng_below(rng, (uint64_t)(high - low + 1));
}

static struct layer_shape random_layer(struct rng *rng)
{
    int kv = between(rng, 1, 4);
    return (struct layer_shape){ kv * between(rng, 1, 4), kv, between(rng, 2, 24) };
}

static struct shape random_shape(struct rng *rng, bool uniform)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = between(rng, 4, 24);
    s.head_dim = 2 * between(rng, 1, 3);
    s.vocab_size = between(rng, 2, 30);
    s.tie_word_embeddings = between(rng, 0, 1);
    s.qkv_bias = between(rng, 0, 1);
    s.output_bias = between(rng, 0, 1);
    shape_set_layers(&s, between(rng, 1, 4), random_layer(rng));
    for (int l = 0; !uniform && l < s.n_layers; l++) s.layer[l] = random_layer(rng);
    return s;
}

static struct search_options random_options(struct rng *rng, const struct shape *source)
{
    struct search_options o;
    search_options_init(&o);
    o.space.scope = between(rng, 0, 1) ? SCOPE_PER_LAYER : SCOPE_UNIFORM;
    o.space.head_unit = between(rng, 0, 1) ? HEAD_UNIT_QUERY : HEAD_UNIT_KV_GROUP;
    for (int t = 0; t < GROUP_TYPES; t++) o.space.types[t] = between(rng, 0, 3) > 0;
    if (between(rng, 0, 2) == 0) o.space.frozen[between(rng, 0, source->n_layers - 1)] = true;
    if (between(rng, 0, 2) == 0) o.space.floors[GROUP_FFN] = between(rng, 1, 2);
    if (between(rng, 0, 2) == 0) o.space.layer_floors[GROUP_FFN][0] = between(rng, 1, 2);
    o.schedule.warmup_steps = between(rng, 0, 5);
    o.schedule.steps_per_unit = between(rng, 1, 4);
    o.schedule.channels_per_unit = between(rng, 0, 1) ? 1 : between(rng, 2, 9);
    o.stop.ratio = between(rng, 1, 6) / 10.0;
    if (between(rng, 0, 4) == 0)
        o.stop = (struct search_stop){ .kind = STOP_STEPS, .count = between(rng, 5, 60) };
    if (between(rng, 0, 1)) o.stop.round_to = 8;
    o.n_snapshots = 3;
    o.snapshots[0] = 0.05;
    o.snapshots[1] = 0.06;
    o.snapshots[2] = 0.3;
    o.start_step = between(rng, 0, 7);
    o.tokens_per_step = 1000;
    return o;
}

/* Fills the table as a trainer would whose units have these sums at this unit of time. */
static void fill(struct scores *s, const struct search *search, uint64_t seed)
{
    bool query = s->unit == HEAD_UNIT_QUERY;
    for (int l = 0; l < s->n_layers; l++) {
        const int *heads = query ? search->map.query[l] : search->map.kv[l];
        for (int j = 0; j < s->n_heads[l]; j++) s->heads[l][j] = made_up(seed, 0, l, heads[j]);
        for (int j = 0; j < s->n_ffn[l]; j++)
            s->ffn[l][j] = made_up(seed, 1, l, search->map.ffn[l][j]);
    }
    for (int j = 0; j < s->n_stem; j++) s->stem[j] = made_up(seed, 2, 0, search->map.stem[j]);
}

static void check_near_or_none(double got, double want)
{
    if (isinf(want))
        CHECK(isnan(got), "got %g, want none", got);
    else
        CHECK_NEAR(got, want, 1e-12 * fabs(want));
}

static void check_against(const struct removal *r, const struct verdict *v,
                          const struct search *search)
{
    CHECK(v->any, "the oracle would stop here");
    CHECK_INT(r->type, v->type);
    CHECK_INT(r->layer, v->layer);
    int k = 0;
    for (int l = 0; l < search->source.n_layers; l++) {
        bool query = r->type == GROUP_HEADS && r->unit == HEAD_UNIT_QUERY;
        int entries = r->type == GROUP_STEM || r->layer >= 0 ? v->n[l]
                      : query                                ? search->source.layer[l].kv_heads
                                                             : 1;
        for (int i = 0; i < entries; i++, k++)
            CHECK_INT(r->source_index[k], v->n[l] ? v->index[l][i] : -1);
    }
    CHECK_INT(r->n, k);
    for (int t = 0; t < GROUP_TYPES; t++) check_near_or_none(r->min_score[t], v->min_score[t]);
    check_near_or_none(r->runner_up, v->runner_up);
}

/* The maps name exactly the oracle's survivors. */
static void check_survivors(const struct search *s, const struct oracle *o)
{
    for (int j = 0; j < s->shape.hidden_size; j++) CHECK(o->stem[s->map.stem[j]], "stem %d", j);
    CHECK_INT(s->shape.hidden_size, alive(o->stem));
    for (int l = 0; l < s->shape.n_layers; l++) {
        const struct layer_shape *layer = &s->shape.layer[l], *was = &s->source.layer[l];
        CHECK_INT(layer->kv_heads, alive(o->kv[l]));
        CHECK_INT(layer->q_heads, alive(o->query[l]));
        CHECK_INT(layer->ffn, alive(o->ffn[l]));
        for (int j = 0; j < layer->ffn; j++) CHECK(o->ffn[l][s->map.ffn[l][j]], "ffn %d", j);
        for (int q = 0; q < layer->q_heads; q++) { /* and each query still reads its own key */
            int kv = q / (layer->q_heads / layer->kv_heads), source = s->map.query[l][q];
            CHECK(o->query[l][source], "query %d", q);
            CHECK_INT(s->map.kv[l][kv], source / (was->q_heads / was->kv_heads));
        }
    }
}

static void table_params(const struct oracle *o, double params[3][ORACLE_LAYERS])
{
    for (int t = 0; t < 3; t++)
        for (int l = 0; l < o->source.n_layers; l++) params[t][l] = entry_params(o, t, l);
}

static int rounding; /* removals after the stop, in all searches */

/* A whole search beside the oracle; returns the removals. */
static int run_beside_oracle(struct search *s, struct scores *scores, struct oracle *o,
                             struct removal *log)
{
    int n = 0;
    long pruned = 0, counted = 0; /* steps since the warm-up; those whose scores counted */
    long source_params = oracle_params(o);
    double params[3][ORACLE_LAYERS];
    while (!search_is_over(s)) {
        long since = (long)(s->step - s->options.start_step - s->options.schedule.warmup_steps);
        CHECK(!search_counts(s) || since >= 0, "scores count before the warm-up is over");
        if (search_counts(s)) {
            counted++;
            scores->weight++;
        }
        search_step(s);
        if (since >= 0) pruned++;
        bool unit = pruned && pruned % s->options.schedule.steps_per_unit == 0 && since >= 0;
        uint64_t seed = (uint64_t)s->step;
        if (unit) {
            o->credit -= (long)s->options.schedule.channels_per_unit;
            fill(scores, s, seed);
            table_params(o, params);
            CHECK_INT(counted, o->credit < 0 ? s->options.schedule.steps_per_unit : 0);
        }
        double weight = (double)counted;
        while (search_decide(s, scores, &log[n])) {
            CHECK(unit && o->credit < 0, "no choice was due");
            o->stopped = oracle_stops(o, source_params, (long)s->step);
            rounding += o->stopped;
            struct verdict v = oracle_choose(o, seed, params, weight);
            check_against(&log[n], &v, s);
            oracle_remove(o, &v);
            o->credit += oracle_credit(o, v.type);
            CHECK_INT(log[n].params, oracle_params(o));
            CHECK_INT(log[n].step, s->step);
            CHECK_INT(log[n].ordinal, n + 1);
            check_survivors(s, o);
            CHECK(++n < MAX_REMOVALS, "too many");
        }
        if (unit) {
            o->stopped = oracle_stops(o, source_params, (long)s->step);
            CHECK(o->credit >= 0 || !oracle_choose(o, seed, params, weight).any,
                  "a choice was left out");
            for (int j = 0; j < scores->n_stem; j++) CHECK(scores->stem[j] == 0, "not cleared");
            CHECK(scores->weight == 0, "not cleared");
            counted = 0;
        }
    }
    return n;
}

/* ---- replay ---------------------------------------------------------------------------------- */

static void check_same(const struct search *a, const struct search *b)
{
    CHECK(shape_equal(&a->shape, &b->shape), "shapes differ");
    CHECK_INT(a->step, b->step);
    CHECK_INT(a->spent, b->spent);
    CHECK_INT(a->ordinal, b->ordinal);
    CHECK_INT(a->params, b->params);
    CHECK_INT(a->params_before, b->params_before);
    for (int l = 0; l < a->shape.n_layers; l++) {
        const struct layer_shape *n = &a->shape.layer[l];
        CHECK(!memcmp(a->map.kv[l], b->map.kv[l], (size_t)n->kv_heads * sizeof(int)), "kv");
        CHECK(!memcmp(a->map.query[l], b->map.query[l], (size_t)n->q_heads * sizeof(int)), "q");
        CHECK(!memcmp(a->map.ffn[l], b->map.ffn[l], (size_t)n->ffn * sizeof(int)), "ffn");
    }
    CHECK(!memcmp(a->map.stem, b->map.stem, (size_t)a->shape.hidden_size * sizeof(int)), "stem");
}

static struct removal through_json(const struct removal *r)
{
    struct buf text;
    struct emit e;
    struct field f;
    struct error err = { 0 };
    struct removal back;
    buf_init(&text, 64 * 1024);
    emit_init(&e, &text);
    emit_begin(&e, '{');
    removal_emit(r, &e);
    emit_end(&e);
    json_t *json = field_parse(text.bytes, text.len, &err);
    field_root(&f, json, &err);
    removal_read(&back, &f);
    CHECK_OK(field_end(&f), err);
    json_decref(json);
    buf_release(&text);
    return back;
}

static void refuse(struct search *s, struct removal bad, const char *what)
{
    struct error err = { 0 };
    int ordinal = s->ordinal;
    int64_t params = s->params, step = s->step;
    enum status status = search_apply(s, &bad, &err);
    CHECK(status == E_CONFLICT, "%s: status %d", what, status);
    CHECK(*err.text, "%s: refused without words", what);
    CHECK(s->ordinal == ordinal && s->params == params && s->step == step, "%s: state moved", what);
}

/* Every removal with one thing wrong. */
static void refuse_all(struct search *s, const struct removal *r)
{
    struct removal bad = *r;
    bad.ordinal++;
    refuse(s, bad, "ordinal");
    bad = *r;
    bad.step++;
    refuse(s, bad, "step");
    bad = *r;
    bad.tokens += 5;
    refuse(s, bad, "tokens");
    bad = *r;
    bad.params++;
    refuse(s, bad, "params");
    bad = *r;
    bad.shape_hash[5] = bad.shape_hash[5] == '0' ? '1' : '0';
    refuse(s, bad, "hash");
    bad = *r;
    bad.source_index[r->n - 1]++;
    refuse(s, bad, "index");
    bad = *r;
    bad.position[0] = 9999;
    refuse(s, bad, "position");
    bad = *r;
    bad.n++;
    refuse(s, bad, "entries");
    bad = *r;
    bad.type = (bad.type + 1) % GROUP_TYPES;
    refuse(s, bad, "type");
}

static void check_replay(const struct search *end, const struct removal *log, int n)
{
    struct search s;
    struct error err = { 0 };
    struct search_options o = end->options;
    CHECK_OK(search_open(&s, &end->source, &o, 7, &err), err);
    for (int i = 0; i < n; i++) {
        struct removal r = through_json(&log[i]);
        refuse_all(&s, &r);
        CHECK_OK(search_apply(&s, &r, &err), err);
        char hash[HASH_HEX];
        shape_hash(&s.shape, hash);
        CHECK_STR(hash, log[i].shape_hash);
    }
    CHECK_OK(search_seek(&s, end->step, &err), err);
    check_same(&s, end);
    search_close(&s);
}

/* Stop anywhere, come back, go on: the rest is the same. */
static void check_resume(const struct search *end, const struct removal *log, int n,
                         struct rng *rng)
{
    struct search s;
    struct scores scores;
    struct error err = { 0 };
    struct removal r;
    int64_t stop = between(rng, 0, (int)end->step);
    CHECK_OK(search_open(&s, &end->source, &end->options, 7, &err), err);
    int i = 0;
    for (; i < n && log[i].step <= stop; i++) CHECK_OK(search_apply(&s, &log[i], &err), err);
    CHECK_OK(search_seek(&s, stop, &err), err);
    scores_init(&scores, &s.shape, s.options.space.head_unit);
    while (!search_is_over(&s)) {
        bool count = search_counts(&s);
        search_step(&s);
        fill(&scores, &s, (uint64_t)s.step);
        scores.weight = count ? (double)s.options.schedule.steps_per_unit : 1;
        for (; search_decide(&s, &scores, &r); i++)
            CHECK(!memcmp(r.source_index, log[i].source_index, (size_t)r.n * sizeof(int)) &&
                      r.step == log[i].step && r.type == log[i].type,
                  "removal %d differs", i);
    }
    CHECK_INT(i, n);
    check_same(&s, end);
    scores_release(&scores);
    search_close(&s);
}

static void check_missing_is_noticed(const struct search *end, const struct removal *log, int n)
{
    struct search s;
    struct error err = { 0 };
    if (n < 2) return;
    CHECK_OK(search_open(&s, &end->source, &end->options, 7, &err), err);
    enum status status = search_seek(&s, end->step, &err);
    CHECK_INT(status, E_CONFLICT);
    CHECK(strstr(err.text, "removal 1 was due before step"), "%s", err.text);
    struct removal second = log[1];
    second.ordinal = 1;
    err = (struct error){ 0 };
    CHECK(log[1].step == log[0].step || search_apply(&s, &second, &err), "a gap went unnoticed");
    search_close(&s);
}

static void check_crossings(const struct search *end, const struct removal *log, int n)
{
    struct search s;
    struct error err = { 0 };
    int seen = 0;
    CHECK_OK(search_open(&s, &end->source, &end->options, 7, &err), err);
    for (int i = 0; i < n; i++) {
        int first;
        CHECK_OK(search_apply(&s, &log[i], &err), err);
        int crossed = search_crossed(&s, &first);
        if (crossed) CHECK_INT(first, seen);
        seen += crossed;
        for (int k = 0; k < s.options.n_snapshots; k++)
            CHECK_INT(s.options.snapshots[k] <= shape_ratio(s.params, s.params_source), k < seen);
    }
    search_close(&s);
}

static void test_random_searches(void)
{
    static struct removal log[MAX_REMOVALS];
    int ran = 0, removals = 0, kinds[2][2] = { { 0 } };
    for (uint64_t seed = 0; seed < 800; seed++) {
        struct rng rng;
        struct search s;
        struct scores scores;
        struct error err = { 0 };
        static struct oracle oracle;
        rng_init(&rng, seed);
        struct shape source = random_shape(&rng, seed % 3);
        struct search_options o = random_options(&rng, &source);
        if (search_open(&s, &source, &o, 7, &err)) continue;
        scores_init(&scores, &source, o.space.head_unit);
        oracle_init(&oracle, &source, &s.options);
        int n = run_beside_oracle(&s, &scores, &oracle, log);
        check_replay(&s, log, n);
        check_resume(&s, log, n, &rng);
        check_missing_is_noticed(&s, log, n);
        check_crossings(&s, log, n);
        ran++;
        removals += n;
        kinds[o.space.scope][o.space.head_unit] += n;
        scores_release(&scores);
        search_close(&s);
    }
    printf("%d searches, %d removals, %d after the stop\n", ran, removals, rounding);
    CHECK(rounding > 100, "only %d removals to round", rounding);
    CHECK(ran > 100, "only %d of the random searches were legal", ran);
    for (int k = 0; k < 4; k++)
        CHECK(kinds[k / 2][k % 2] > 200, "kind %d: %d", k, kinds[k / 2][k % 2]);
}

int main(void)
{
    test_random_searches();
    puts("ok");
    return 0;
}
