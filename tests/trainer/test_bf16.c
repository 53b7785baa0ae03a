/* cpu-bf16: products of rounded operands, sums in float32. The plain kernel runs everywhere; the
 * fast one is put to the same tests where the processor has it. */
#include "tests/trainer/fixture.h"
#include "tests/trainer/world.h"
#include "trainer/backend_cpu_bf16.h"
#include "trainer/backend_cpu_gemm.h"

enum { N = 37, K = 70, M = 45, STEPS = 300 };

static void round_all(struct world *w, struct view v)
{
    float *x = calloc((size_t)v.rows * (size_t)v.cols, sizeof *x);
    w->be->download(w->be, x, v);
    for (int i = 0; i < v.rows * v.cols; i++) x[i] = brief_wide(brief_of(x[i]));
    w->be->upload(w->be, v, x);
    free(x);
}

/* Results of the three linear operations one after another. */
static void products(const char *backend, bool rounded, float *to)
{
    struct world w;
    world_open(&w, backend, 2);
    struct view inp = world_take(&w, BLOCK_ACTIVATIONS, N, K);
    struct view weight = world_take(&w, BLOCK_WEIGHTS, M, K);
    struct view bias = world_take(&w, BLOCK_WEIGHTS, 1, M);
    struct view out = world_take(&w, BLOCK_ACTIVATIONS, N, M);
    struct view d_out = world_take(&w, BLOCK_ACTIVATIONS, N, M);
    struct view d_inp = world_take(&w, BLOCK_ACTIVATIONS, N, K);
    struct view d_weight = world_take(&w, BLOCK_GRADS, M, K);
    struct view all[] = { inp, weight, d_out };
    for (int i = 0; rounded && i < 3; i++) round_all(&w, all[i]);
    struct projection p = { .out = out, .weight = weight, .bias = bias, .base = out };
    struct projection back = { .out = d_out, .weight = weight };
    struct projection d = { .out = d_out, .weight = d_weight };
    w.be->linear_forward(w.be, &p, 1, inp);
    w.be->linear_backward_input(w.be, d_inp, &back, 1);
    w.be->linear_backward_weight(w.be, &d, 1, inp, true);
    w.be->download(w.be, to, out);
    w.be->download(w.be, to + N * M, d_inp);
    w.be->download(w.be, to + N * M + N * K, d_weight);
    world_close(&w);
}

static double distance(const float *a, const float *b, size_t n)
{
    double apart = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        apart += pow((double)a[i] - b[i], 2);
        size += pow(b[i], 2);
    }
    return sqrt(apart / size);
}

static void test_products(const char *backend)
{
    static float want[N * M + N * K + M * K], got[N * M + N * K + M * K];
    size_t n = sizeof got / sizeof *got;
    products("ref", true, want);
    products(backend, true, got);
    CHECK(distance(got, want, n) < 1e-6, "sums are not float32: %g", distance(got, want, n));
    products("ref", false, want);
    products(backend, false, got);
    double apart = distance(got, want, n);
    CHECK(apart < 3.5e-3 && apart > 5e-4, "rounding moves products by %g", apart);
    printf("%s: products %.2g of their size from ref\n", backend, apart);
}

/* The gradient of every matrix and bias of a model within 2 % of its size. On AMX attention rounds
 * too: matrices within 3 %, and biases, whose sums over all rows mostly cancel, within 10 %. */
static void test_gradients(const char *backend)
{
    struct shape shape = fixture_shape(2, false, true);
    struct fixture ref, f;
    fixture_open(&ref, &shape, "ref");
    fixture_open(&f, &shape, backend);
    double want = model_gradient(ref.model, &ref.batch, 1, false);
    CHECK_NEAR(model_gradient(f.model, &f.batch, 1, false), want, 2e-3 * want);
    bool attention = gemm_amx() && strcmp(backend, "cpu-bf16-plain") != 0;
    double worst = 0;
    for (int i = 0; i < f.model->layout.n_slots; i++) {
        const struct slot *slot = &f.model->layout.slot[i];
        float *a = fixture_read(&f, MODEL_GRADS, slot);
        float *b = fixture_read(&ref, MODEL_GRADS, &ref.model->layout.slot[i]);
        double apart = distance(a, b, fixture_size(slot));
        double most = !attention ? 0.02 : slot->dims == 2 ? 0.03 : 0.1;
        CHECK(apart < most, "%s: %g", slot->name, apart);
        worst = apart > worst ? apart : worst;
        free(a), free(b);
    }
    printf("%s: gradients at most %.2g of their size from ref\n", backend, worst);
    fixture_close(&ref);
    fixture_close(&f);
}

/* Ids that follow each other by a rule with noise; the same for everybody with the same seed. */
static void make_text(int32_t *ids, int n, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (int i = 0, x = 3; i < n; i++) {
        x = rng_below(&rng, 5) ? (x * 7 + 5) % 31 : (int)rng_below(&rng, 31);
        ids[i] = x;
    }
}

/* Mean loss of the last 100 of 300 steps. */
static double train(const char *backend, uint64_t seed)
{
    struct shape shape = fixture_shape(2, true, false);
    struct fixture f;
    static int32_t ids[STEPS * 27 + 1];
    double sum = 0;
    make_text(ids, STEPS * 27 + 1, seed);
    fixture_open_mode(&f, &shape, backend, 1, false);
    model_init(f.model, 1);
    for (int step = 1; step <= STEPS; step++) {
        const int32_t *at = ids + (step - 1) * 27;
        struct model_batch batch = { at, at + 1, 3, 9 };
        double loss = model_gradient(f.model, &batch, 1.0 / 27, false) / 27;
        optim_step(f.model, &fixture_adamw, 3e-3, step, NULL);
        if (step > STEPS - 100) sum += loss / 100;
    }
    fixture_close(&f);
    return sum;
}

/* Rounding is lost in what another order of the text would do. */
static void test_curve(const char *backend)
{
    double full = train("cpu", 1), other = train("cpu", 2), brief = train(backend, 1);
    printf("%s: loss %.5f, float32 %.5f, on other text %.5f\n", backend, brief, full, other);
    CHECK(full < 2.6, "float32 learned nothing: %g", full); /* log 31 = 3.43 */
    CHECK(fabs(brief - full) < 0.5 * fabs(other - full), "%g, %g, %g", full, other, brief);
}

/* The copy of the weights follows every way of changing them. */
static void test_copies(const char *backend)
{
    struct fixture f;
    struct shape shape = fixture_shape(1, true, false);
    fixture_open(&f, &shape, backend);
    const struct slot *slot = layout_slot(&f.model->layout, SLOT_UP, 0);
    double before = fixture_loss(&f);
    float *w = fixture_read(&f, MODEL_WEIGHTS, slot);
    f.be->zero(f.be, model_view(f.model, MODEL_WEIGHTS, slot));
    double zeroed = fixture_loss(&f);
    CHECK(fabs(zeroed - before) > 1e-3, "zero was not seen");
    model_write(f.model, MODEL_WEIGHTS, slot, w);
    CHECK_NEAR(fixture_loss(&f), before, 0);
    model_gradient(f.model, &f.batch, 1, false);
    optim_step(f.model, &fixture_adamw, 1e-2, 1, NULL);
    CHECK(fabs(fixture_loss(&f) - before) > 1e-3, "the step was not seen");
    free(w);
    fixture_close(&f);
}

/* A copy of some weights at a time rounds as a copy of all does, which stays between steps. */
static void test_part_of_a_copy(const char *backend)
{
    struct fixture some, all;
    struct shape shape = fixture_shape(2, true, true);
    fixture_open(&some, &shape, backend);
    fixture_open_as(&all, &shape, backend, 2,
                    (struct model_options){ .batch_size = 3, .sequence_length = 9 });
    for (int twice = 0; twice < 2; twice++) CHECK_NEAR(fixture_loss(&some), fixture_loss(&all), 0);
    fixture_close(&some), fixture_close(&all);
}

/* Three products for one: as float32, but for far less than what rounding makes. */
static void test_three_products(void)
{
    struct error err = { 0 };
    struct backend *be;
    if (backend_open(&be, "cpu-bf16x3", 2, &err)) {
        printf("cpu-bf16x3: %s\n", err.text);
        return;
    }
    backend_close(be);
    double full = train("cpu", 1), other = train("cpu", 2), brief = train("cpu-bf16x3", 1);
    printf("cpu-bf16x3: loss %.6f, float32 %.6f, on other text %.6f\n", brief, full, other);
    CHECK(fabs(brief - full) < 0.02 * fabs(other - full), "%g, %g, %g", full, other, brief);
}

int main(void)
{
    test_three_products();
    static const char *const backends[] = { "cpu-bf16-plain", "cpu-bf16" };
    for (int i = 0; i < 2; i++) {
        struct error err = { 0 };
        struct backend *be;
        if (backend_open(&be, backends[i], 2, &err)) {
            CHECK(i && err.status == E_MISSING && strstr(err.text, "float32"), "%s", err.text);
            printf("%s: %s\n", backends[i], err.text);
            break;
        }
        backend_close(be);
        test_products(backends[i]);
        test_gradients(backends[i]);
        test_copies(backends[i]);
        test_part_of_a_copy(backends[i]);
        test_curve(backends[i]);
    }
    return 0;
}
