/*
 * Learned keep probabilities against the model once more in doubles: outputs of heads and
 * channels multiplied by the masks there, columns of Wo and Wdown set to zero here. Unequal
 * layers, grouped queries, tied embedding; both head units; ref and cpu; before and after a
 * removal of each type. The weights are afterwards what they were, to the bit.
 */
#include "tests/trainer/slow_model.h"
#include "trainer/collector.h"

enum { MASKS = 3, STEPS = 4 };

static struct fixture f;
static struct collector *c;
static struct search search;

static struct search_options options_of(enum head_unit unit)
{
    struct search_options o;
    search_options_init(&o);
    o.space.scope = SCOPE_PER_LAYER;
    o.space.types[GROUP_STEM] = false;
    o.space.head_unit = unit;
    snprintf(o.scoring.name, sizeof o.scoring.name, "bypass");
    o.scoring.keep = (struct keep_options){ 0.7, MASKS, 0.05 };
    o.stop.ratio = 0.2;
    return o;
}

/* What the step should make of the probabilities `s`, before the projection. */
static void learn_slowly(double *s, const double *m[MASKS], int n, const double *loss, double base)
{
    for (int j = 0; j < n; j++) {
        double grad = 0;
        for (int k = 0; k < MASKS; k++)
            grad += (loss[k] - base) * (m[k][j] - s[j]) / sqrt((s[j] + 1e-7) * (1 - s[j] + 1e-7)) /
                    (MASKS - 1);
        s[j] -= 0.05 * grad;
    }
}

static void project(double *s, int n, double target)
{
    double sum = INFINITY, v = 0;
    for (; sum > target; v += 1e-5) {
        sum = 0;
        for (int j = 0; j < n; j++) sum += fmin(1, fmax(0, s[j] - v));
    }
    for (int j = 0; j < n; j++) s[j] = fmin(1, fmax(0, s[j] - v));
}

/* All units of a type, layer after layer. */
static int gather(double *to, const struct scores *s, int type)
{
    int n = 0;
    for (int l = 0; l < SLOW_LAYERS; l++) {
        int here = type == GROUP_HEADS ? s->n_heads[l] : s->n_ffn[l];
        const double *from = type == GROUP_HEADS ? s->heads[l] : s->ffn[l];
        for (int j = 0; j < here; j++) to[n++] = from[j];
    }
    return n;
}

static void check_weights(float **before)
{
    for (int i = 0; i < f.model->layout.n_slots; i++) {
        const struct slot *slot = &f.model->layout.slot[i];
        float *now = fixture_read(&f, MODEL_WEIGHTS, slot);
        CHECK(!memcmp(now, before[i], fixture_size(slot) * sizeof *now), "%s changed", slot->name);
        free(now), free(before[i]);
    }
}

static void step(int at, double *base)
{
    static double s[2][128], want[128], m[MASKS][128];
    struct keep *keep = &c->bypass->keep;
    struct scores mask[MASKS];
    double loss[MASKS], mean = 0;
    float *before[64];
    int n[2] = { 0 };
    search.step = at;
    collector_begin(c);
    double told = model_gradient(f.model, &f.batch, 1 / 23.0, false);
    collector_end(c, 27);
    for (int i = 0; i < f.model->layout.n_slots; i++)
        before[i] = fixture_read(&f, MODEL_WEIGHTS, &f.model->layout.slot[i]);
    bool knows = keep->started;
    struct keep was = *keep; /* its tables are read before they move */
    for (int k = 0; k < MASKS; k++) scores_init(&mask[k], model_shape(f.model), was.s.unit);
    for (int t = 0; knows && t < 2; t++) n[t] = gather(s[t], &was.s, t);
    for (int k = 0; knows && k < MASKS; k++) {
        struct slow_model slow;
        keep_draw(&was, at, k, &mask[k]);
        slow_run_masked(&slow, &f, &mask[k]);
        loss[k] = slow.loss, mean += slow.loss / MASKS;
        slow_release(&slow);
    }
    collector_look(c, &search, &f.batch);
    check_weights(before);
    CHECK_NEAR(model_total(f.model, MODEL_LOSS), told, 0); /* not the loss of a masked model */
    if (knows) {
        *base = *base > 0 ? 0.8 * *base + 0.2 * mean : keep->baseline;
        CHECK_NEAR(keep->baseline, *base, 1e-5);
    } else {
        *base = keep->baseline;
    }
    for (int t = 0; knows && t < 2; t++) {
        const double *masks[MASKS];
        for (int k = 0; k < MASKS; k++) gather(m[k], &mask[k], t), masks[k] = m[k];
        learn_slowly(s[t], masks, n[t], loss, *base);
        project(s[t], n[t], 0.7 * keep->n_source[t]);
        gather(want, &keep->s, t);
        for (int j = 0; j < n[t]; j++) CHECK_NEAR(want[j], s[t][j], 1e-3);
    }
    for (int k = 0; k < MASKS; k++) scores_release(&mask[k]);
    optim_step(f.model, &fixture_adamw, 1e-2, at + 1, NULL);
}

/* The first probabilities are those of Wanda-sp's scores: in its order, of the right sum. */
static void check_start(void)
{
    double s[128];
    int n = gather(s, &c->bypass->keep.s, GROUP_FFN);
    double sum = 0;
    for (int j = 0; j < n; j++) sum += s[j];
    CHECK(sum > 0.5 * n && sum < 0.75 * n, "%g of %d stay", sum, n);
}

static void remove_one(enum group_type type, enum head_unit unit, int position)
{
    struct error err = { 0 };
    static struct removal r;
    r = (struct removal){ .type = type, .unit = unit, .layer = 1, .n = 1 };
    r.position[0] = position;
    if (type == GROUP_HEADS && unit == HEAD_UNIT_QUERY) r.n = 2, r.position[1] = 3;
    double moved = c->bypass->keep.s.ffn[1][c->bypass->keep.s.n_ffn[1] - 1];
    CHECK_OK(collector_remove(c, &r, &err), err);
    CHECK_OK(surgery_remove(f.model, &r, &err), err);
    removal_shrink(&r, &search.shape);
    if (type == GROUP_FFN) CHECK_NEAR(c->bypass->keep.s.ffn[1][position], moved, 0);
}

/* What the search decides from are the probabilities. */
static void check_scores(void)
{
    struct scores scores;
    struct error err = { 0 };
    search_init_scores(&search, &scores);
    CHECK_OK(collector_score(c, &search, &scores, &err), err);
    for (int l = 0; l < SLOW_LAYERS; l++)
        for (int j = 0; j < scores.n_ffn[l]; j++)
            CHECK_NEAR(scores.ffn[l][j], c->bypass->keep.s.ffn[l][j], 0);
    scores_release(&scores);
}

static void test(const char *backend, enum head_unit unit)
{
    struct shape shape = fixture_shape(2, true, unit == HEAD_UNIT_QUERY);
    struct search_options o = options_of(unit);
    struct error err = { 0 };
    double base = 0;
    fixture_open(&f, &shape, backend);
    CHECK_OK(search_open(&search, &shape, &o, 5, &err), err);
    CHECK_OK(collector_open(&c, f.model, &search, &err), err);
    step(0, &base);
    check_start();
    for (int i = 1; i < STEPS; i++) step(i, &base);
    remove_one(GROUP_HEADS, unit, 0);
    remove_one(GROUP_FFN, unit, 4);
    for (int i = STEPS; i < STEPS + 2; i++) step(i, &base);
    check_scores();
    collector_close(c);
    search_close(&search);
    fixture_close(&f);
}

int main(void)
{
    test("ref", HEAD_UNIT_KV_GROUP);
    test("cpu", HEAD_UNIT_KV_GROUP);
    test("cpu", HEAD_UNIT_QUERY);
    puts("ok");
    return 0;
}
