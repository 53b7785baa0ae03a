/* Learning from a teacher: the loss against the formula computed from both models' logits, the
 * gradient against differences of that loss, and the two ends of the mixture. */
#include "tests/trainer/fixture.h"

static struct model *open_teacher(struct fixture *f, int hidden)
{
    struct error err = { 0 };
    struct model_options options = { .batch_size = 3, .sequence_length = 9 };
    struct shape shape = fixture_shape(1, true, false);
    struct model *teacher;
    shape.hidden_size = hidden;
    CHECK_OK(model_open(&teacher, f->be, &shape, &shape, &options, &err), err);
    struct model *student = f->model;
    f->model = teacher;
    fixture_randomise(f, 0.4);
    f->model = student;
    return teacher;
}

static double log_softmax(const float *logit, int v, double t)
{
    double total = 0;
    for (int i = 0; i < 31; i++) total += exp(logit[i] / t);
    return logit[v] / t - log(total);
}

static double want_loss(struct fixture *f, struct model *teacher, struct distill d)
{
    static float p[27 * 31], q[27 * 31];
    double sum = 0;
    model_logits(f->model, &f->batch, q);
    model_logits(teacher, &f->batch, p);
    for (int n = 0; n < 27; n++) {
        if (f->targets[n] < 0) continue;
        sum -= (1 - d.weight) * log_softmax(q + n * 31, f->targets[n], 1);
        for (int v = 0; v < 31; v++) {
            double log_p = log_softmax(p + n * 31, v, d.temperature);
            double log_q = log_softmax(q + n * 31, v, d.temperature);
            sum += d.weight * d.temperature * d.temperature * exp(log_p) * (log_p - log_q);
        }
    }
    return sum;
}

/* Moves one weight of every tensor and compares slopes. */
static void check_slopes(struct fixture *f, struct model *teacher, struct distill d)
{
    const float h = 4e-3f;
    for (int i = 0; i < f->model->layout.n_slots; i++) {
        const struct slot *slot = &f->model->layout.slot[i];
        float *w = fixture_read(f, MODEL_WEIGHTS, slot), *g = fixture_read(f, MODEL_GRADS, slot);
        size_t k = (size_t)rng_below(&f->rng, fixture_size(slot));
        float was = w[k];
        double side[2];
        for (int s = 0; s < 2; s++) {
            w[k] = was + (s ? h : -h);
            model_write(f->model, MODEL_WEIGHTS, slot, w);
            side[s] = want_loss(f, teacher, d);
        }
        w[k] = was;
        model_write(f->model, MODEL_WEIGHTS, slot, w);
        CHECK_NEAR((side[1] - side[0]) / (2 * (double)h), g[k], 0.03 * (1 + fabs((double)g[k])));
        free(w), free(g);
    }
}

static void test_mixture(const char *backend, bool tied)
{
    struct fixture f;
    struct error err = { 0 };
    struct shape shape = fixture_shape(2, tied, false);
    struct distill d = { 0.7, 2.5 };
    fixture_open(&f, &shape, backend);
    struct model *teacher = open_teacher(&f, 14);
    CHECK_OK(model_set_teacher(f.model, teacher, d, &err), err);
    double loss = model_gradient(f.model, &f.batch, 1, false);
    CHECK_NEAR(loss, want_loss(&f, teacher, d), 1e-3);
    check_slopes(&f, teacher, d);
    CHECK(fabs(fixture_loss(&f) - loss) > 1e-3, "model_loss is not plain cross-entropy");
    model_close(teacher);
    fixture_close(&f);
}

/* weight 0 is plain training, to the last digit or nearly; another vocabulary is refused. */
static void test_ends(const char *backend)
{
    struct fixture f;
    struct error err = { 0 };
    struct shape shape = fixture_shape(1, true, false);
    fixture_open(&f, &shape, backend);
    double plain = model_gradient(f.model, &f.batch, 1, false);
    struct model *teacher = open_teacher(&f, 14);
    CHECK_OK(model_set_teacher(f.model, teacher, (struct distill){ 0, 2 }, &err), err);
    CHECK_NEAR(model_gradient(f.model, &f.batch, 1, false), plain, 1e-3);
    model_close(teacher);

    struct model_options options = { .batch_size = 3, .sequence_length = 9 };
    shape.vocab_size = 32;
    CHECK_OK(model_open(&teacher, f.be, &shape, &shape, &options, &err), err);
    CHECK(model_set_teacher(f.model, teacher, (struct distill){ 1, 2 }, &err) == E_INPUT &&
              strstr(err.text, "has 32 tokens, the model's 31"),
          "%s", err.text);
    model_close(teacher);
    fixture_close(&f);
}

/* z * log^2 Z joins the loss and its gradient, not the validation. */
static void test_z_loss(const char *backend)
{
    static float logits[27 * 31];
    struct fixture f;
    struct error err = { 0 };
    struct shape shape = fixture_shape(2, false, false);
    fixture_open(&f, &shape, backend);
    double plain = model_gradient(f.model, &f.batch, 1, false), want = plain;
    model_logits(f.model, &f.batch, logits);
    for (int n = 0; n < 27; n++) {
        double log_sum = (double)logits[n * 31] - log_softmax(logits + n * 31, 0, 1);
        if (f.targets[n] >= 0) want += 0.05 * log_sum * log_sum;
    }
    CHECK_OK(model_set_z_loss(f.model, 0.05, &err), err);
    CHECK_NEAR(model_gradient(f.model, &f.batch, 1, false), want, 1e-4 * want);
    const struct slot *slot = layout_slot(&f.model->layout, SLOT_HEAD, -1);
    float *w = fixture_read(&f, MODEL_WEIGHTS, slot), *g = fixture_read(&f, MODEL_GRADS, slot);
    const float h = 4e-3f, was = w[40];
    double side[2];
    for (int s = 0; s < 2; s++) {
        w[40] = was + (s ? h : -h);
        model_write(f.model, MODEL_WEIGHTS, slot, w);
        side[s] = model_gradient(f.model, &f.batch, 1, false);
    }
    CHECK_NEAR((side[1] - side[0]) / (2 * (double)h), g[40], 0.03 * (1 + fabs((double)g[40])));
    w[40] = was;
    model_write(f.model, MODEL_WEIGHTS, slot, w);
    CHECK_NEAR(fixture_loss(&f), plain, 1e-4 * plain);
    free(w), free(g);
    fixture_close(&f);
}

int main(void)
{
    static const char *const backends[] = { "ref", "cpu" };
    for (int i = 0; i < 2; i++) {
        test_mixture(backends[i], true);
        test_mixture(backends[i], false);
        test_ends(backends[i]);
        test_z_loss(backends[i]);
    }
    puts("ok");
    return 0;
}
