#include "tests/trainer/fixture.h"

static void overfits_one_batch(const char *backend)
{
    struct shape shape = fixture_shape(2, true, true);
    struct fixture f;
    fixture_open(&f, &shape, backend);
    model_init(f.model, 11);
    int n = 0;
    for (int i = 0; i < 27; i++) { /* one target an id, so that it can be learnt */
        f.targets[i] = (f.ids[i] * 7 + 3) % 31;
        n++;
    }
    double first = fixture_loss(&f) / n;
    CHECK_NEAR(first, log(31), 0.5);
    for (int step = 1; step <= 120; step++) {
        model_gradient(f.model, &f.batch, 1.0 / n, false);
        optim_step(f.model, &fixture_adamw, 1e-2, step, NULL);
    }
    double last = fixture_loss(&f) / n;
    CHECK(last < 0.02, "%s: loss %g after 120 steps on one batch, %g at first", backend, last,
          first);
    printf("ok overfit %s: %.3f -> %.5f\n", backend, first, last);
    fixture_close(&f);
}

/* Rows 0 and 1..2 as two micro-batches give the gradients of the batch. */
static void accumulates(void)
{
    struct shape shape = fixture_shape(2, false, true);
    struct fixture f;
    fixture_open(&f, &shape, "cpu");
    double whole = model_gradient(f.model, &f.batch, 0.1, false);
    float *want[64];
    for (int i = 0; i < f.model->layout.n_slots; i++)
        want[i] = fixture_read(&f, MODEL_GRADS, &f.model->layout.slot[i]);
    struct model_batch first = { f.ids, f.targets, 1, 9 },
                       rest = { f.ids + 9, f.targets + 9, 2, 9 };
    model_gradient_begin(f.model, &first, 0.1, false);
    double parts = model_gradient(f.model, &rest, 0.1, true);
    CHECK_NEAR(parts, whole, 1e-4);
    for (int i = 0; i < f.model->layout.n_slots; i++) {
        float *got = fixture_read(&f, MODEL_GRADS, &f.model->layout.slot[i]);
        for (size_t k = 0; k < fixture_size(&f.model->layout.slot[i]); k++)
            CHECK_NEAR(got[k], want[i][k], 1e-5 * (1 + fabs(want[i][k])));
        free(got), free(want[i]);
    }
    fixture_close(&f);
}

/* All weights after three steps, for comparing runs to the bit. */
static float *train3(int threads, bool recompute, size_t *n)
{
    struct shape shape = fixture_shape(2, true, true);
    struct fixture f;
    fixture_open_mode(&f, &shape, "cpu", threads, recompute);
    float *all = calloc((size_t)shape_params(&shape), sizeof *all);
    *n = 0;
    for (int step = 1; step <= 3; step++) {
        model_gradient(f.model, &f.batch, 1, false);
        optim_step(f.model, &fixture_adamw, 1e-2, step, NULL);
    }
    for (int i = 0; i < f.model->layout.n_slots; i++) {
        model_read(f.model, MODEL_WEIGHTS, &f.model->layout.slot[i], all + *n);
        *n += fixture_size(&f.model->layout.slot[i]);
    }
    fixture_close(&f);
    return all;
}

static void same_bits(void)
{
    size_t n;
    float *a = train3(2, false, &n);
    for (int threads = 1; threads <= 3; threads++) {
        float *b = train3(threads, false, &n), *c = train3(threads, true, &n);
        CHECK(!memcmp(a, b, n * sizeof *a), "%d threads change bits", threads);
        CHECK(!memcmp(a, c, n * sizeof *a), "recomputation changes bits");
        free(b), free(c);
    }
    free(a);
}

static void schedules(void)
{
    struct lr_schedule wsd = { LR_WSD, 2, 0.1, 0.2, 10, 100 };
    struct lr_schedule cosine = { LR_COSINE, 2, 0.1, 0, 10, 100 };
    struct lr_schedule constant = { LR_CONSTANT, 2, 0.1, 0.2, 10, 100 };
    CHECK_NEAR(lr_at(&wsd, 1), 0.2, 1e-12);
    CHECK_NEAR(lr_at(&wsd, 10), 2, 1e-12);
    CHECK_NEAR(lr_at(&wsd, 81), 2, 1e-12);
    CHECK_NEAR(lr_at(&wsd, 91), 2 * (0.1 + 0.9 * 0.5), 1e-12);
    CHECK_NEAR(lr_at(&wsd, 101), 0.2, 1e-12);
    CHECK_NEAR(lr_at(&cosine, 11), 2, 1e-12);
    CHECK_NEAR(lr_at(&cosine, 56), 2 * 0.55, 1e-12);
    CHECK_NEAR(lr_at(&cosine, 500), 0.2, 1e-12);
    CHECK_NEAR(lr_at(&constant, 1000000), 2, 0);
}

static void infinite_gradients_change_nothing(void)
{
    struct shape shape = fixture_shape(1, true, false);
    struct fixture f;
    fixture_open(&f, &shape, "cpu");
    model_gradient(f.model, &f.batch, 1e38, false);
    double before = fixture_loss(&f), norm = optim_step(f.model, &fixture_adamw, 1, 1, NULL);
    CHECK(!isfinite(norm), "%g", norm);
    CHECK_NEAR(fixture_loss(&f), before, 0);
    fixture_close(&f);
}

int main(void)
{
    overfits_one_batch("cpu");
    overfits_one_batch("ref");
    accumulates();
    same_bits();
    schedules();
    infinite_gradients_change_nothing();
    return 0;
}
