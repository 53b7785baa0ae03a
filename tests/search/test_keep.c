/* Learned keep probabilities: drawn as often as they say, moved by the formula, projected onto
 * the share that may stay, and drawn towards what the loss asks for. */
#include "search/search.h"
#include "tests/support/check.h"

enum { LAYERS = 3, KV = 4, FFN = 20 };

static struct search search;

static void open(double rate, enum head_unit unit, int frozen)
{
    struct shape s;
    struct search_options o;
    struct error err = { 0 };
    shape_init(&s);
    s.hidden_size = 16, s.head_dim = 4, s.vocab_size = 20;
    shape_set_layers(&s, LAYERS, (struct layer_shape){ 2 * KV, KV, FFN });
    search_options_init(&o);
    o.space.types[GROUP_STEM] = false;
    o.space.head_unit = unit;
    if (frozen >= 0) o.space.frozen[frozen] = true;
    o.stop.ratio = 0.3;
    snprintf(o.scoring.name, sizeof o.scoring.name, "bypass");
    o.scoring.keep.rate = rate;
    o.scoring.keep.masks = 3;
    o.scoring.keep.learning_rate = 0.05;
    CHECK_OK(search_open(&search, &s, &o, 7, &err), err);
}

/* Importances, different for every unit. */
static void fill(struct scores *t)
{
    for (int64_t i = 0; i < scores_count(t); i++) t->block[i] = 1 + (double)(i * 7 % 97) / 10;
}

static void start(struct keep *keep)
{
    struct scores importance;
    keep_init(keep, &search);
    scores_init(&importance, &search.shape, search.options.space.head_unit);
    fill(&importance);
    keep_start(keep, &importance);
    scores_release(&importance);
}

static double sum_of(const struct keep *keep, int type)
{
    double sum = 0;
    for (int l = 0; l < LAYERS; l++) {
        int n = type ? keep->s.n_ffn[l] : keep->s.n_heads[l];
        for (int j = 0; keep->learns[type][l] && j < n; j++)
            sum += (type ? keep->s.ffn : keep->s.heads)[l][j];
    }
    return sum;
}

static void test_start(void)
{
    struct keep keep;
    double mean = 0, deviation = 0;
    open(0.6, HEAD_UNIT_KV_GROUP, -1);
    start(&keep);
    CHECK_NEAR(sum_of(&keep, 1), 0.6 * LAYERS * FFN, 0.02 * LAYERS * FFN); /* some were clipped */
    struct scores x;
    scores_init(&x, &search.shape, HEAD_UNIT_KV_GROUP);
    fill(&x);
    int n = LAYERS * FFN;
    for (int i = 0; i < n; i++) mean += x.ffn[i / FFN][i % FFN] / n;
    for (int i = 0; i < n; i++) deviation += pow(x.ffn[i / FFN][i % FFN] - mean, 2) / n;
    double shift = 0.6;
    for (int i = 0; i < n; i++)
        shift -= 1 / (1 + exp(-(x.ffn[i / FFN][i % FFN] - mean) / sqrt(deviation))) / n;
    for (int i = 0; i < n; i++) {
        double s = 1 / (1 + exp(-(x.ffn[i / FFN][i % FFN] - mean) / sqrt(deviation))) + shift;
        CHECK_NEAR(keep.s.ffn[i / FFN][i % FFN], fmin(1, fmax(0, s)), 1e-12);
    }
    scores_release(&x);
    keep_release(&keep);
    search_close(&search);
    open(0, HEAD_UNIT_KV_GROUP, -1); /* without a rate: what the stop leaves */
    start(&keep);
    CHECK_NEAR(keep.options.rate, 0.7, 1e-3);
    keep_release(&keep);
    search_close(&search);
}

static void test_draws(enum head_unit unit)
{
    struct keep keep;
    struct scores mask;
    enum { DRAWS = 4000 };
    double often[LAYERS][FFN] = { 0 };
    open(0.5, unit, 1);
    start(&keep);
    scores_init(&mask, &search.shape, unit);
    for (int i = 0; i < DRAWS; i++) {
        keep_draw(&keep, i / 3, i % 3, &mask);
        for (int l = 0; l < LAYERS; l++)
            for (int j = 0; j < FFN; j++) often[l][j] += mask.ffn[l][j] / DRAWS;
        for (int j = 0; j < mask.n_heads[1]; j++) CHECK_INT(mask.heads[1][j], 1); /* frozen */
    }
    for (int l = 0; l < LAYERS; l++)
        for (int j = 0; j < FFN; j++) CHECK_NEAR(often[l][j], l == 1 ? 1 : keep.s.ffn[l][j], 0.04);
    scores_release(&mask);
    keep_release(&keep);
    search_close(&search);
}

/* s as the formula moves it, and the least v of a fine grid that brings it below its sum. */
static void learn_slowly(double *s, const struct scores *mask, const double *loss, double base,
                         double target)
{
    int n = LAYERS * FFN;
    double sum = 0, v = 0;
    for (int i = 0; i < n; i++) {
        double grad = 0;
        for (int k = 0; k < 3; k++)
            grad += (loss[k] - base) * (mask[k].ffn[i / FFN][i % FFN] - s[i]) /
                    sqrt((s[i] + 1e-7) * (1 - s[i] + 1e-7)) / 2;
        s[i] -= 0.05 * grad;
    }
    for (;; v += 1e-5, sum = 0) {
        for (int i = 0; i < n; i++) sum += fmin(1, fmax(0, s[i] - v));
        if (sum <= target) break;
    }
    for (int i = 0; i < n; i++) s[i] = fmin(1, fmax(0, s[i] - v));
}

static void test_learning(void)
{
    struct keep keep;
    struct scores mask[3];
    double s[LAYERS * FFN], base = 0;
    open(0.5, HEAD_UNIT_KV_GROUP, -1);
    start(&keep);
    for (int k = 0; k < 3; k++) scores_init(&mask[k], &search.shape, HEAD_UNIT_KV_GROUP);
    for (int l = 0; l < LAYERS; l++) memcpy(&s[l * FFN], keep.s.ffn[l], FFN * sizeof *s);
    for (int step = 0; step < 30; step++) {
        double loss[3] = { 2 + 0.1 * (step % 5), 2.5, 1.8 - 0.01 * step };
        double mean = (loss[0] + loss[1] + loss[2]) / 3;
        base = step ? 0.8 * base + 0.2 * mean : mean;
        for (int k = 0; k < 3; k++) keep_draw(&keep, step, k, &mask[k]);
        learn_slowly(s, mask, loss, base, 0.5 * LAYERS * FFN);
        keep_learn(&keep, mask, loss);
        CHECK_NEAR(keep.baseline, base, 1e-12);
        for (int i = 0; i < LAYERS * FFN; i++) CHECK_NEAR(keep.s.ffn[i / FFN][i % FFN], s[i], 1e-3);
        for (int l = 0; l < LAYERS; l++) memcpy(&s[l * FFN], keep.s.ffn[l], FFN * sizeof *s);
        CHECK(sum_of(&keep, 0) <= 0.5 * LAYERS * KV + 2e-3, "%g heads", sum_of(&keep, 0));
    }
    for (int k = 0; k < 3; k++) scores_release(&mask[k]);
    keep_release(&keep);
    search_close(&search);
}

/* Where leaving out every third channel costs and the others are worth nothing, they part. */
static void test_it_finds_what_matters(void)
{
    struct keep keep;
    struct scores mask[3];
    double costly = 0, cheap = 0;
    open(0.5, HEAD_UNIT_KV_GROUP, -1);
    start(&keep);
    for (int k = 0; k < 3; k++) scores_init(&mask[k], &search.shape, HEAD_UNIT_KV_GROUP);
    for (int step = 0; step < 600; step++) {
        double loss[3] = { 0 };
        for (int k = 0; k < 3; k++) {
            keep_draw(&keep, step, k, &mask[k]);
            for (int l = 0; l < LAYERS; l++)
                for (int j = 0; j < FFN; j += 3) loss[k] += 0.2 * (1 - mask[k].ffn[l][j]);
        }
        keep_learn(&keep, mask, loss);
    }
    for (int l = 0; l < LAYERS; l++)
        for (int j = 0; j < FFN; j++) *(j % 3 ? &cheap : &costly) += keep.s.ffn[l][j];
    costly /= LAYERS * 7, cheap /= LAYERS * 13;
    CHECK(costly > 0.9 && cheap < 0.35, "%g for what matters, %g for the rest", costly, cheap);
    for (int k = 0; k < 3; k++) scores_release(&mask[k]);
    keep_release(&keep);
    search_close(&search);
}

static void test_the_stem_is_refused(void)
{
    struct shape s;
    struct search_options o;
    struct error err = { 0 };
    shape_init(&s);
    s.hidden_size = 16, s.head_dim = 4, s.vocab_size = 20;
    shape_set_layers(&s, 2, (struct layer_shape){ 4, 4, 20 });
    search_options_init(&o);
    snprintf(o.scoring.name, sizeof o.scoring.name, "bypass");
    CHECK_INT(search_open(&search, &s, &o, 1, &err), E_INPUT);
    CHECK(strstr(err.text, "leave the stem out"), "%s", err.text);
}

int main(void)
{
    test_start();
    test_draws(HEAD_UNIT_KV_GROUP);
    test_draws(HEAD_UNIT_QUERY);
    test_learning();
    test_it_finds_what_matters();
    test_the_stem_is_refused();
    puts("ok");
    return 0;
}
