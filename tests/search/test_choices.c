/* Ways to choose a unit that the paper does not take: one index in all layers, types that shrink
 * alike, measured milliseconds, protected ends. Each against its definition, spelled out. */
#include "search/base/rng.h"
#include "search/search.h"
#include "tests/support/check.h"

enum { LAYERS = 4, KV = 3, PER_KV = 2, FFN = 9, STEM = 8, HEAD_DIM = 4 };

static struct shape a_source(void)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = STEM;
    s.head_dim = HEAD_DIM;
    s.vocab_size = 20;
    s.tie_word_embeddings = true;
    shape_set_layers(&s, LAYERS, (struct layer_shape){ KV * PER_KV, KV, FFN });
    return s;
}

static struct search_options an_option(void)
{
    struct search_options o;
    search_options_init(&o);
    o.schedule.warmup_steps = 0;
    o.schedule.channels_per_unit = 1000;
    o.stop.ratio = 0.6;
    return o;
}

/* The raw score of unit `index` of the source: what is compared must not depend on where it lies.
 */
static double raw(int type, int l, int index)
{
    return 1 + (double)(rng_mix((uint64_t)(type * 10 + l), (uint64_t)index) >> 44);
}

static void fill(const struct search *s, struct scores *t)
{
    bool query = t->unit == HEAD_UNIT_QUERY;
    for (int l = 0; l < LAYERS; l++) {
        const int *heads = query ? s->map.query[l] : s->map.kv[l];
        for (int j = 0; j < t->n_heads[l]; j++) t->heads[l][j] = raw(0, l, heads[j]);
        for (int j = 0; j < t->n_ffn[l]; j++) t->ffn[l][j] = raw(1, l, s->map.ffn[l][j]);
    }
    for (int j = 0; j < t->n_stem; j++) t->stem[j] = raw(2, 0, s->map.stem[j]);
    t->weight = 1;
}

/* One removal of a search whose units have the raw scores above. */
static bool next(struct search *s, struct scores *t, struct removal *r)
{
    fill(s, t);
    if (!search_unit_ended(s)) search_step(s);
    return search_decide(s, t, r);
}

/* ---- one index in all layers --------------------------------------------------------------- */

static bool has(const int *map, int n, int index)
{
    for (int j = 0; j < n; j++)
        if (map[j] == index) return true;
    return false;
}

/* The mean over the layers (by query: and over their KV groups) of unit i; INFINITY: gone. */
static double mean_of(const struct search *s, enum group_type type, bool query, int i)
{
    double sum = 0;
    for (int l = 0; l < LAYERS; l++) {
        const int *map = type == GROUP_FFN ? s->map.ffn[l] : query ? s->map.query[l] : s->map.kv[l];
        int n = type == GROUP_FFN ? s->shape.layer[l].ffn
                : query           ? s->shape.layer[l].q_heads
                                  : s->shape.layer[l].kv_heads;
        for (int g = 0; g < (query ? KV : 1); g++) {
            if (!has(map, n, g * PER_KV + i)) return INFINITY;
            sum += raw(type, l, g * PER_KV + i) / LAYERS / (query ? KV : 1);
        }
    }
    return sum;
}

static void check_shared(const struct search *before, const struct removal *r)
{
    bool query = r->type == GROUP_HEADS && r->unit == HEAD_UNIT_QUERY;
    int n = r->type == GROUP_FFN ? FFN : query ? PER_KV : KV, best = 0;
    if (r->type == GROUP_STEM) return;
    for (int i = 1; i < n; i++)
        if (mean_of(before, r->type, query, i) < mean_of(before, r->type, query, best)) best = i;
    CHECK_INT(r->n, LAYERS * (query ? KV : 1));
    for (int e = 0; e < r->n; e++)
        CHECK_INT(query ? r->source_index[e] % PER_KV : r->source_index[e], best);
    CHECK_NEAR(r->min_score[r->type], mean_of(before, r->type, query, best), 1e-9);
}

static void test_shared_index(enum head_unit unit)
{
    struct shape source = a_source();
    struct search_options o = an_option();
    struct search s, replayed;
    struct scores t;
    struct removal r;
    struct error err = { 0 };
    o.space.index = INDEX_SHARED;
    o.space.types[GROUP_STEM] = false;
    o.stop.ratio = 0.4;
    o.space.head_unit = unit;
    o.scoring.normalise = NORMALISE_NONE;
    CHECK_OK(search_open(&s, &source, &o, 1, &err), err);
    CHECK_OK(search_open(&replayed, &source, &o, 1, &err), err);
    search_init_scores(&s, &t);
    int seen[GROUP_TYPES] = { 0 };
    while (next(&s, &t, &r)) {
        check_shared(&replayed, &r);
        CHECK_OK(search_apply(&replayed, &r, &err), err);
        CHECK(shape_is_uniform(&s.shape), "layers differ");
        seen[r.type]++;
    }
    CHECK(seen[GROUP_HEADS] && seen[GROUP_FFN] > 2, "%d heads, %d ffn", seen[0], seen[1]);
    scores_release(&t);
    search_close(&s);
    search_close(&replayed);
}

/* ---- types that shrink alike --------------------------------------------------------------- */

static double gone(const struct search *s, enum group_type type, int l)
{
    int n = group_count(&s->source, type, s->options.space.head_unit, l);
    return (double)(n - group_count(&s->shape, type, s->options.space.head_unit, l)) / n;
}

/* The type and layer that have lost the least lose next: their least unit. */
static void test_share(enum scope scope)
{
    struct shape source = a_source();
    struct search_options o = an_option();
    struct search s, before;
    struct scores t;
    struct removal r;
    struct error err = { 0 };
    int n = 0;
    o.space.scope = scope;
    o.scoring.normalise = NORMALISE_SHARE;
    CHECK_OK(search_open(&s, &source, &o, 1, &err), err);
    CHECK_OK(search_open(&before, &source, &o, 1, &err), err);
    search_init_scores(&s, &t);
    for (; next(&s, &t, &r); n++) {
        double least = 1;
        for (int type = 0; type < GROUP_TYPES; type++)
            for (int l = 0; l < LAYERS; l++)
                if (space_allows(&s.options.space, &source, &before.shape, type, l))
                    least = fmin(least, gone(&before, type, l));
        CHECK_NEAR(gone(&before, r.type, r.layer < 0 ? 0 : r.layer), least, 1e-9);
        CHECK_NEAR(r.min_score[r.type], least, 1e-9);
        int l = r.type == GROUP_STEM || r.layer < 0 ? 0 : r.layer;
        const int *map = index_map_of(&before.map, r.type, HEAD_UNIT_KV_GROUP, l);
        for (int j = 0; j < group_count(&before.shape, r.type, HEAD_UNIT_KV_GROUP, l); j++)
            CHECK(raw(r.type, l, map[j]) >= raw(r.type, l, r.source_index[0]),
                  "unit %d is worth less than the one that went", map[j]);
        CHECK_OK(search_apply(&before, &r, &err), err);
    }
    CHECK(n > 5, "%d removals", n);
    scores_release(&t);
    search_close(&s);
    search_close(&before);
}

/* ---- measured milliseconds ----------------------------------------------------------------- */

static void test_latency(void)
{
    struct shape source = a_source();
    struct search search = { .source = source, .shape = source };
    struct scoring *scoring = &search.options.scoring;
    struct scores t;
    scoring_init(scoring);
    scoring->normalise = NORMALISE_MILLISECOND;
    scoring->latency[GROUP_FFN] = (struct latency){ 3, { 2, 4, 8 }, { 10, 11, 19 } };
    scoring->latency[GROUP_STEM] = (struct latency){ 2, { 4, 8 }, { 5, 5 } };
    scoring->unit_milliseconds[GROUP_HEADS] = 0.25;
    scores_init(&t, &source, HEAD_UNIT_QUERY);
    t.weight = 1;
    static const int count[] = { 9, 8, 5, 4, 3, 2, 1 }; /* beyond the points: as between the last */
    static const double slope[] = { 2, 2, 2, 0.5, 0.5, 0.5, 0.5 };
    for (int i = 0; i < 7; i++) {
        search.shape.layer[1].ffn = count[i];
        CHECK_NEAR(scoring_scale(scoring, &search, &t, GROUP_FFN, 1).divisor, slope[i] / LAYERS,
                   1e-12);
    }
    CHECK_NEAR(scoring_scale(scoring, &search, &t, GROUP_STEM, 0).divisor, 1e-6, 1e-18);
    CHECK_NEAR(scoring_scale(scoring, &search, &t, GROUP_HEADS, 0).divisor, 0.25 / KV, 1e-12);
    scores_release(&t);
}

/* ---- protected ends ------------------------------------------------------------------------ */

static void test_range(void)
{
    struct shape source = a_source();
    struct search_options o = an_option();
    struct search s;
    struct scores t;
    struct removal r;
    struct error err = { 0 };
    o.space.scope = SCOPE_PER_LAYER;
    o.space.first_layer = 1, o.space.last_layer = 2;
    o.space.types[GROUP_STEM] = false;
    o.stop.ratio = 0.3;
    CHECK_OK(search_open(&s, &source, &o, 1, &err), err);
    search_init_scores(&s, &t);
    while (next(&s, &t, &r)) CHECK(r.layer == 1 || r.layer == 2, "layer %d", r.layer);
    CHECK(s.params < s.params_source, "nothing went");
    for (int l = 0; l < LAYERS; l += 3) CHECK_INT(s.shape.layer[l].ffn, FFN);
    scores_release(&t);
    search_close(&s);
    o.space.last_layer = LAYERS;
    CHECK_INT(search_open(&s, &source, &o, 1, &err), E_INPUT);
    CHECK_STR(err.text, "layers names layer 4; the source has 4 layers");
}

int main(void)
{
    test_shared_index(HEAD_UNIT_KV_GROUP);
    test_shared_index(HEAD_UNIT_QUERY);
    test_share(SCOPE_UNIFORM);
    test_share(SCOPE_PER_LAYER);
    test_latency();
    test_range();
    puts("ok");
    return 0;
}
