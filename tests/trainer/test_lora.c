/* Adapters: gradients against differences of the loss, the step against AdamW on A and B as they
 * are written, the merged model against the adapted one, and what stays frozen. */
#include "tests/trainer/fixture.h"
#include "trainer/lora.h"

static const struct lora_options some = { 3, 12, 0x6b }; /* q, k, o, up, down */

static float *read_view(struct fixture *f, struct view v)
{
    float *values = calloc((size_t)v.rows * (size_t)v.cols, sizeof *values);
    f->be->download(f->be, values, v);
    return values;
}

static void fill(struct fixture *f, struct view v, double size)
{
    float *values = calloc((size_t)v.rows * (size_t)v.cols, sizeof *values);
    for (int i = 0; i < v.rows * v.cols; i++) values[i] = (float)(size * rng_normal(&f->rng));
    f->be->upload(f->be, v, values);
    free(values);
}

/* A model that is adapted, its S not zero. */
static void open_adapted(struct fixture *f, const char *backend, int queries, bool recompute)
{
    struct shape shape = fixture_shape(queries, queries == 1, queries == 2);
    struct error err = { 0 };
    fixture_open_mode(f, &shape, backend, 2, recompute);
    model_close(f->model);
    struct model_options options = {
        .batch_size = 3, .sequence_length = 9, .train = MODEL_ADAPT, .recompute = recompute
    };
    CHECK_OK(model_open(&f->model, f->be, &shape, &shape, &options, &err), err);
    fixture_randomise(f, 0.3);
    CHECK_OK(lora_attach(f->model, &some, &err), err);
    lora_init(f->model, 5);
    for (int i = 0; i < f->model->lora->n; i++)
        fill(f, lora_s(f->model->lora, MODEL_WEIGHTS, &f->model->lora->adapter[i]), 0.2);
}

static void check_slope(struct fixture *f, struct view x, struct view gradient, const char *name)
{
    size_t n = (size_t)x.rows * (size_t)x.cols;
    float *was = read_view(f, x), *g = read_view(f, gradient);
    float *u = calloc(n, sizeof *u), *moved = calloc(n, sizeof *moved);
    double want = 0, size = 0, value[2], h = 3e-3;
    for (size_t k = 0; k < n; k++) {
        u[k] = (float)rng_normal(&f->rng);
        want += (double)u[k] * g[k], size += (double)g[k] * g[k];
    }
    for (int side = 0; side < 2; side++) {
        for (size_t k = 0; k < n; k++) moved[k] = (float)(was[k] + (side ? h : -h) * u[k]);
        f->be->upload(f->be, x, moved);
        value[side] = fixture_loss(f);
    }
    f->be->upload(f->be, x, was);
    double slope = (value[1] - value[0]) / (2 * h);
    CHECK(size > 0 && fabs(slope - want) <= 0.01 * sqrt(size), "%s: slope %g, gradient %g (|g| %g)",
          name, slope, want, sqrt(size));
    free(was), free(g), free(u), free(moved);
}

static void test_gradients(const char *backend, int queries, bool recompute)
{
    struct fixture f;
    open_adapted(&f, backend, queries, recompute);
    const struct lora *lora = f.model->lora;
    CHECK_INT(lora->n, 15);
    for (int twice = 0; twice < 2; twice++) model_gradient(f.model, &f.batch, 0.5, twice);
    for (int i = 0; i < lora->n; i++) {
        const struct adapter *a = &lora->adapter[i];
        check_slope(&f, lora_a(lora, MODEL_WEIGHTS, a), lora_a(lora, MODEL_GRADS, a),
                    a->slot->name);
        check_slope(&f, lora_s(lora, MODEL_WEIGHTS, a), lora_s(lora, MODEL_GRADS, a),
                    a->slot->name);
    }
    fixture_close(&f);
}

/* AdamW on one number. */
static double adamw(double w, const double *g, int steps, double lr, double clip)
{
    double m = 0, v = 0;
    for (int t = 1; t <= steps; t++) {
        m = 0.9 * m + 0.1 * g[t - 1] * clip,
        v = 0.95 * v + 0.05 * g[t - 1] * g[t - 1] * clip * clip;
        w -= lr * 0.1 * w + lr * m / (1 - pow(0.9, t)) / (sqrt(v / (1 - pow(0.95, t))) + 1e-3);
    }
    return w;
}

/* S moves as f B does, f = alpha / rank = 4. */
static void test_step(const char *backend)
{
    struct fixture f;
    struct optim_options o = fixture_adamw;
    o.epsilon = 1e-3, o.clip_norm = 0.5;
    open_adapted(&f, backend, 1, false);
    const struct adapter *a = &f.model->lora->adapter[3];
    struct view s = lora_s(f.model->lora, MODEL_WEIGHTS, a), x = lora_a(f.model->lora, 0, a);
    float *s_was = read_view(&f, s), *x_was = read_view(&f, x);
    model_gradient(f.model, &f.batch, 1, false);
    float *s_g = read_view(&f, lora_s(f.model->lora, MODEL_GRADS, a));
    float *x_g = read_view(&f, lora_a(f.model->lora, MODEL_GRADS, a));
    double norm = lora_step(f.model, &o, 1e-2, 1), clip = o.clip_norm / (norm + 1e-6);
    CHECK(norm > 0.5, "%g", norm);
    lora_step(f.model, &o, 1e-2, 2); /* the same gradients again */
    float *s_now = read_view(&f, s), *x_now = read_view(&f, x);
    for (int k = 0; k < 3; k++) {
        double g_b[2] = { 4 * (double)s_g[k], 4 * (double)s_g[k] }, g_a[2] = { x_g[k], x_g[k] };
        CHECK_NEAR(s_now[k], 4 * adamw(s_was[k] / 4.0, g_b, 2, 1e-2, clip), 1e-6);
        CHECK_NEAR(x_now[k], adamw(x_was[k], g_a, 2, 1e-2, clip), 1e-6);
        CHECK(fabs((double)(s_now[k] - s_was[k])) > 1e-4, "did not move");
    }
    free(s_was), free(x_was), free(s_g), free(x_g), free(s_now), free(x_now);
    fixture_close(&f);
}

/* Training moves the adapters and nothing else; merged, the model computes what it did. */
static void test_frozen_then_merged(const char *backend)
{
    struct fixture f;
    open_adapted(&f, backend, 2, false);
    const struct slot *o = layout_slot(&f.model->layout, SLOT_O, 1);
    const struct slot *v = layout_slot(&f.model->layout, SLOT_V, 1);
    float *o_was = fixture_read(&f, MODEL_WEIGHTS, o), *v_was = fixture_read(&f, MODEL_WEIGHTS, v);
    double first = 0, last = 0;
    for (int i = 0; i < 30; i++) {
        last = model_gradient(f.model, &f.batch, 1.0 / 23, false);
        if (!i) first = last;
        lora_step(f.model, &fixture_adamw, 1e-2, i + 1);
    }
    CHECK(last < 0.8 * first, "loss %g, then %g", first, last);
    float *o_now = fixture_read(&f, MODEL_WEIGHTS, o);
    CHECK(!memcmp(o_was, o_now, fixture_size(o) * sizeof *o_now), "a frozen weight moved");
    float *adapted = fixture_logits(&f);
    lora_merge(f.model);
    CHECK(!f.model->lora, "adapters are still there");
    float *merged = fixture_logits(&f), *o_merged = fixture_read(&f, MODEL_WEIGHTS, o);
    float *v_now = fixture_read(&f, MODEL_WEIGHTS, v);
    for (int i = 0; i < 27 * 31; i++) CHECK_NEAR(merged[i], adapted[i], 2e-4);
    CHECK(memcmp(o_was, o_merged, fixture_size(o) * sizeof *o_was), "nothing was merged");
    CHECK(!memcmp(v_was, v_now, fixture_size(v) * sizeof *v_was), "v is not a target");
    free(o_was), free(v_was), free(o_now), free(adapted), free(merged), free(o_merged), free(v_now);
    fixture_close(&f);
}

/* A fresh adapter changes nothing, and is small. */
static void test_start_and_size(void)
{
    struct fixture f;
    struct error err = { 0 };
    struct shape shape = fixture_shape(2, true, true);
    struct model_bytes bytes, plain;
    fixture_open(&f, &shape, "cpu");
    float *before = fixture_logits(&f);
    CHECK_OK(lora_attach(f.model, &some, &err), err);
    lora_init(f.model, 1);
    float *after = fixture_logits(&f);
    CHECK(!memcmp(before, after, 27 * 31 * sizeof *after), "a fresh adapter changes the logits");
    CHECK_OK(lora_measure(&bytes, f.be, &shape, &f.model->options, &some, &err), err);
    CHECK(bytes.total == f.model->lora->bytes.total, "measured %zu", bytes.total);
    CHECK(lora_params(f.model->lora) < layout_params(&f.model->layout) / 2, "many");
    free(before), free(after);
    fixture_close(&f);

    struct model_options train = { .batch_size = 3, .sequence_length = 9, .train = MODEL_TRAIN },
                         adapt = { .batch_size = 3, .sequence_length = 9, .train = MODEL_ADAPT };
    CHECK_OK(backend_open(&f.be, "cpu", 1, &err), err);
    CHECK_OK(model_measure(&plain, f.be, &shape, &train, &err), err);
    CHECK_OK(model_measure(&bytes, f.be, &shape, &adapt, &err), err);
    CHECK(bytes.total == plain.weights + plain.activations, "%zu", bytes.total);
    backend_close(f.be);
}

/* Rounding to bf16 moves the gradients of the adapters by little. */
static void test_bf16(void)
{
    struct fixture f[2];
    for (int i = 0; i < 2; i++) {
        open_adapted(&f[i], i ? "cpu-bf16-plain" : "ref", 2, false);
        model_gradient(f[i].model, &f[i].batch, 0.5, false);
    }
    const struct lora *lora = f[0].model->lora, *brief = f[1].model->lora;
    for (int i = 0; i < lora->n; i++) {
        struct view a = lora_a(lora, MODEL_GRADS, &lora->adapter[i]);
        float *want = read_view(&f[0], a);
        float *got = read_view(&f[1], lora_a(brief, MODEL_GRADS, &brief->adapter[i]));
        double off = 0, size = 0;
        for (int k = 0; k < a.rows * a.cols; k++)
            off += pow((double)got[k] - want[k], 2), size += pow(want[k], 2);
        CHECK(off < 0.03 * 0.03 * size, "%s: %g of its size off", lora->adapter[i].slot->name,
              sqrt(off / size));
        free(want), free(got);
    }
    fixture_close(&f[0]), fixture_close(&f[1]);
}

int main(void)
{
    static const char *const backends[] = { "ref", "cpu" };
    for (int i = 0; i < 2; i++) {
        test_gradients(backends[i], 1, false);
        test_gradients(backends[i], 2, true);
        test_step(backends[i]);
        test_frozen_then_merged(backends[i]);
    }
    test_bf16();
    test_start_and_size();
    puts("ok");
    return 0;
}
