/* What is compared with what: the catalog, the deep-thin shape, Pareto fronts, stability, depth. */
#include "search/base/rng.h"
#include "search/catalog.h"
#include "search/deep_thin.h"
#include "search/depth.h"
#include "search/pareto.h"
#include "search/stability.h"
#include "tests/support/check.h"

/* ---- catalog: parameter counts as published -------------------------------------------------- */

static void published(const char *name, int64_t params)
{
    const struct catalog_entry *entry = catalog_find(name);
    CHECK(entry, "%s", name);
    struct shape shape = catalog_shape(entry);
    CHECK_INT(shape_params(&shape), params);
}

static void test_catalog(void)
{
    struct error err = { 0 };
    for (int i = 0; i < catalog_size(); i++) {
        struct shape shape = catalog_shape(catalog_at(i));
        CHECK_OK(shape_check(&shape, &err), err);
    }
    published("SmolLM-135M", 134515008);
    published("SmolLM2-360M", 361821120);
    published("SmolLM-1.7B", 1711376384);
    published("Qwen2.5-0.5B", 494032768);
    published("Llama-3.2-1B", 1235814400);
    published("TinyLlama-1.1B", 1100048384);
    published("OLMo-1B", 1176764416 + 33 * 2048); /* and gains that OLMo has not */
    CHECK(!catalog_find("GPT-5"), "no such entry");
}

static void test_catalog_by_size(void)
{
    struct shape source = catalog_shape(catalog_find("SmolLM-1.7B"));
    struct human human;
    struct error err = { 0 };
    CHECK_STR(catalog_nearest(&source, 130000000, 0)->name, "SmolLM-135M");
    CHECK_STR(catalog_nearest(&source, 140000000, 140000000)->name, "SmolLM-360M");
    CHECK(!catalog_nearest(&source, 1000, (int64_t)1e12), "nothing is that large");
    for (int64_t target = 20000000; target < 1600000000; target = target * 5 / 4) {
        CHECK_OK(catalog_human_shape(&source, target, &human, &err), err);
        CHECK(fabs(human.error) <= HUMAN_TOLERANCE, "%lld: %g", (long long)target, human.error);
        CHECK_INT(human.shape.vocab_size, source.vocab_size);
    }
    enum status status = catalog_human_shape(&source, (int64_t)1e12, &human, &err);
    CHECK_INT(status, E_INPUT);
    CHECK_STR(err.text, "no shape of the catalog has 1000000000000 parameters or more");
}

/* ---- deep and thin ------------------------------------------------------------------------- */

static void test_deep_thin(void)
{
    struct shape source = catalog_shape(catalog_find("MobileLLM-350M"));
    struct shape small = catalog_shape(catalog_find("MobileLLM-125M"));
    struct human human;
    struct error err = { 0 };
    CHECK_OK(deep_thin_shape(&source, shape_params(&small), &human, &err), err);
    CHECK(shape_equal(&human.shape, &small), "MobileLLM-125M is drawn again: %d %d %d",
          human.shape.hidden_size, human.shape.n_layers, human.shape.layer[0].ffn);

    struct shape tiny = source;
    tiny.vocab_size = 259;
    tiny.head_dim = 16;
    for (int64_t target = 300000; target < 900000000; target = target * 4 / 3) {
        CHECK_OK(deep_thin_shape(&tiny, target, &human, &err), err);
        CHECK_OK(shape_check(&human.shape, &err), err);
        CHECK_INT(human.params, shape_params(&human.shape));
        CHECK(fabs(human.error) <= HUMAN_TOLERANCE, "%lld: %g", (long long)target, human.error);
        double aspect = (double)human.shape.hidden_size / human.shape.n_layers;
        double ratio = (double)human.shape.layer[0].ffn / human.shape.hidden_size;
        CHECK(aspect > 9 && aspect < 40, "%lld: aspect %g", (long long)target, aspect);
        CHECK(ratio > 1.99 && ratio < 3.34, "%lld: ffn %g d", (long long)target, ratio);
    }
    enum status status = deep_thin_shape(&source, 1000, &human, &err);
    CHECK_INT(status, E_INPUT);
    CHECK_STR(err.text, "no deep-thin shape has 1000 parameters with head_dim 64 and a vocabulary "
                        "of 32000");
}

/* ---- Pareto -------------------------------------------------------------------------------- */

static bool dominated(const struct pareto_point *p, int n, int i)
{
    for (int j = 0; j < n; j++)
        if (p[j].x <= p[i].x && p[j].y <= p[i].y && (p[j].x < p[i].x || p[j].y < p[i].y))
            return true;
    return false;
}

static void test_pareto(void)
{
    struct rng rng;
    struct pareto_point p[60];
    bool on[60];
    rng_init(&rng, 4);
    for (int round = 0; round < 500; round++) {
        int n = (int)rng_below(&rng, 61), count = 0, range = 1 + (int)rng_below(&rng, 40);
        for (int i = 0; i < n; i++) {
            p[i] = (struct pareto_point){ (double)rng_below(&rng, (uint64_t)range) - 5,
                                          (double)rng_below(&rng, (uint64_t)range) };
            if (rng_below(&rng, 30) == 0) p[i].y = NAN;
        }
        int got = pareto_front(p, n, on);
        for (int i = 0; i < n; i++) {
            bool want = !isnan(p[i].x) && !isnan(p[i].y) && !dominated(p, n, i);
            CHECK_INT(on[i], want);
            count += want;
        }
        CHECK_INT(got, count);
    }
}

/* ---- stability ----------------------------------------------------------------------------- */

static double slow_rank(const double *x, int n, int i)
{
    double below = 0, same = 0;
    for (int j = 0; j < n; j++) {
        below += x[j] < x[i];
        same += x[j] == x[i];
    }
    return below + (same - 1) / 2;
}

static void test_stability(void)
{
    struct rng rng;
    rng_init(&rng, 6);
    for (int round = 0; round < 100; round++) {
        double a[20], b[20], ab = 0, aa = 0, bb = 0, ma = 0, mb = 0;
        int n = 2 + (int)rng_below(&rng, 19);
        for (int i = 0; i < n; i++) {
            a[i] = (double)rng_below(&rng, 9);
            b[i] = a[i] * (double)rng_below(&rng, 3);
        }
        for (int i = 0; i < n; i++) {
            ma += slow_rank(a, n, i) / n;
            mb += slow_rank(b, n, i) / n;
        }
        for (int i = 0; i < n; i++) {
            double x = slow_rank(a, n, i) - ma, y = slow_rank(b, n, i) - mb;
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
        double got = stability_rank_correlation(a, b, n);
        if (aa * bb > 0)
            CHECK_NEAR(got, ab / sqrt(aa * bb), 1e-12);
        else
            CHECK(isnan(got), "%g", got);
    }
    int x[] = { 5, 1, 9, 3 }, y[] = { 3, 7, 5 };
    CHECK_NEAR(stability_overlap(x, 4, y, 3), 2.0 / 5, 1e-15);
    CHECK_NEAR(stability_overlap(x, 4, x, 4), 1, 0);
    CHECK_NEAR(stability_chance_overlap(50, 50, 100), 25.0 / 75, 1e-15);
}

static void test_depth(void)
{
    CHECK_NEAR(depth_influence(90, 100), 0.1, 1e-15);
    CHECK_NEAR(depth_angle(0, 100), 0.5, 1e-15);
    CHECK_NEAR(depth_angle(100.0000001, 100), 0, 1e-15);
    double angle[] = { 0.4, 0.2, 0.3, 0.1 };
    CHECK_INT(depth_least_block(angle, 4, 1), 3);
    CHECK_INT(depth_least_block(angle, 4, 2), 1); /* a block at 3 would leave the model */
}

int main(void)
{
    test_catalog();
    test_catalog_by_size();
    test_deep_thin();
    test_pareto();
    test_stability();
    test_depth();
    puts("ok");
    return 0;
}
