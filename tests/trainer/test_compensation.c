/*
 * FLAP's compensation: the mean over the tokens seen of what Wo and Wdown give is after a removal
 * what it was before, computed from the model once more in doubles. Both head units, one removal
 * after another; what the removal does not touch keeps its bits.
 */
#include "tests/trainer/slow_model.h"
#include "trainer/collector.h"

static struct fixture f;

/* The mean over tokens of W x + b, (hidden_size). */
static double *mean_output(const struct slow_model *s, int l, bool ffn)
{
    int C = s->shape.hidden_size;
    int n = ffn ? s->shape.layer[l].ffn : s->shape.layer[l].q_heads * s->shape.head_dim;
    const double *x = ffn ? s->act[l] : s->att[l];
    double *W =
        slow_read(&f, MODEL_WEIGHTS, l, ffn ? "mlp.down_proj.weight" : "self_attn.o_proj.weight");
    double *out =
        slow_read(&f, MODEL_WEIGHTS, l, ffn ? "mlp.down_proj.bias" : "self_attn.o_proj.bias");
    for (int r = 0; r < C; r++)
        for (int t = 0; t < SLOW_ROWS; t++) out[r] += slow_dot(&W[r * n], &x[t * n], n) / SLOW_ROWS;
    free(W);
    return out;
}

/* The inputs of a removal, moved as the weights move: those of the last unit into the hole. */
static void drop(double *x, int n, int span, int unit)
{
    for (int t = 0; t < SLOW_ROWS; t++)
        for (int i = 0; i < span; i++) x[t * n + unit * span + i] = x[t * n + n - span + i];
    for (int t = 0; t < SLOW_ROWS; t++)
        memmove(&x[t * (n - span)], &x[t * n], (size_t)(n - span) * sizeof *x);
}

static void see(struct collector *c)
{
    collector_begin(c);
    model_gradient(f.model, &f.batch, 1 / 27.0, false);
    collector_end(c, 27);
}

static void go(struct collector *c, const struct removal *r)
{
    struct error err = { 0 };
    CHECK_OK(collector_remove(c, r, &err), err);
    CHECK_OK(surgery_remove(f.model, r, &err), err);
}

static void same(const double *before, const double *after, const char *what)
{
    for (int r = 0; r < model_shape(f.model)->hidden_size; r++)
        CHECK(fabs(before[r] - after[r]) < 1e-5, "%s %d: %g, was %g", what, r, after[r], before[r]);
}

/* An FFN channel, then a KV group, of layer 1. */
static void test_means(const char *backend)
{
    struct shape shape = fixture_shape(2, true, true);
    struct search_options o;
    struct search search;
    struct collector *c;
    struct slow_model s;
    struct error err = { 0 };
    search_options_init(&o);
    o.space.scope = SCOPE_PER_LAYER;
    o.update = UPDATE_BIAS;
    snprintf(o.scoring.name, sizeof o.scoring.name, "flap");
    fixture_open(&f, &shape, backend);
    CHECK_OK(search_open(&search, &shape, &o, 1, &err), err);
    CHECK_OK(collector_open(&c, f.model, &search, &err), err);
    see(c), see(c);
    slow_run(&s, &f);

    double *before = mean_output(&s, 1, true), *after, *heads = mean_output(&s, 1, false);
    go(c, &(struct removal){ .type = GROUP_FFN, .layer = 1, .n = 1, .position = { 5 } });
    drop(s.act[1], s.shape.layer[1].ffn--, 1, 5);
    same(before, after = mean_output(&s, 1, true), "down");
    free(after);

    go(c, &(struct removal){ .type = GROUP_FFN, .layer = 1, .n = 1, .position = { 0 } });
    drop(s.act[1], s.shape.layer[1].ffn--, 1, 0);
    same(before, after = mean_output(&s, 1, true), "down, twice");
    free(after), free(before);

    int span = 2 * s.shape.head_dim;
    go(c, &(struct removal){ .type = GROUP_HEADS, .layer = 1, .n = 1, .position = { 0 } });
    drop(s.att[1], s.shape.layer[1].q_heads * s.shape.head_dim, span, 0);
    s.shape.layer[1].q_heads -= 2, s.shape.layer[1].kv_heads--;
    same(heads, after = mean_output(&s, 1, false), "o");
    free(after), free(heads);

    go(c, &(struct removal){ .type = GROUP_STEM, .layer = -1, .n = 1, .position = { 3 } });
    CHECK_INT(model_shape(f.model)->hidden_size, 21);
    slow_release(&s);
    collector_close(c);
    search_close(&search);
    fixture_close(&f);
}

/* By query, one head of both KV groups of layer 1 goes: what they gave on average stays. */
static void test_queries(void)
{
    struct shape shape = fixture_shape(3, false, true);
    struct search_options o;
    struct search search;
    struct collector *c;
    struct slow_model s;
    struct error err = { 0 };
    int h = shape.head_dim, n = 6 * h, C = shape.hidden_size;
    search_options_init(&o);
    o.space.scope = SCOPE_PER_LAYER;
    o.space.head_unit = HEAD_UNIT_QUERY;
    o.update = UPDATE_BIAS;
    fixture_open(&f, &shape, "cpu");
    CHECK_OK(search_open(&search, &shape, &o, 1, &err), err);
    CHECK_OK(collector_open(&c, f.model, &search, &err), err);
    see(c);
    slow_run(&s, &f);
    double *W = slow_read(&f, MODEL_WEIGHTS, 1, "self_attn.o_proj.weight");
    double *was = slow_read(&f, MODEL_WEIGHTS, 1, "self_attn.o_proj.bias");
    double *first = slow_read(&f, MODEL_WEIGHTS, 0, "self_attn.o_proj.bias");
    go(c, &(struct removal){ .type = GROUP_HEADS,
                             .unit = HEAD_UNIT_QUERY,
                             .layer = 1,
                             .n = 2,
                             .position = { 1, 5 } });
    double *now = slow_read(&f, MODEL_WEIGHTS, 1, "self_attn.o_proj.bias");
    for (int r = 0; r < C; r++) {
        double want = was[r];
        for (int t = 0; t < SLOW_ROWS; t++)
            for (int i = 0; i < h; i++)
                want += (W[r * n + 1 * h + i] * s.att[1][t * n + 1 * h + i] +
                         W[r * n + 5 * h + i] * s.att[1][t * n + 5 * h + i]) /
                        SLOW_ROWS;
        CHECK_NEAR(now[r], want, 1e-5);
    }
    double *untouched = slow_read(&f, MODEL_WEIGHTS, 0, "self_attn.o_proj.bias");
    CHECK(!memcmp(untouched, first, (size_t)C * sizeof *first), "layer 0 changed");
    free(W), free(was), free(now), free(first), free(untouched);
    slow_release(&s);
    collector_close(c);
    search_close(&search);
    fixture_close(&f);
}

static void test_refusal(void)
{
    struct shape shape = fixture_shape(2, true, false);
    struct search_options o;
    struct search search;
    struct error err = { 0 };
    search_options_init(&o);
    o.space.scope = SCOPE_PER_LAYER;
    o.update = UPDATE_BIAS;
    CHECK_INT(search_open(&search, &shape, &o, 1, &err), E_INPUT);
    search_source(&o, &shape);
    err = (struct error){ 0 };
    CHECK_OK(search_open(&search, &shape, &o, 1, &err), err);
    search_close(&search);
}

int main(void)
{
    test_means("ref");
    test_means("cpu");
    test_queries();
    test_refusal();
    puts("ok");
    return 0;
}
