/*
 * Moments kept in shares: the models of all ranks in one process. Together they do to weights,
 * moments and saliency what one model does that keeps them all, through steps and removals.
 */
#include "tests/trainer/fixture.h"
#include "trainer/saliency.h"

enum { MOST = 40 };

static const struct optim_options options = { 0.9, 0.95, 1e-8, 0.1, 1.0 };

/* `all` keeps everything, share[i] the moments of the i-th of n runs. */
struct ranks {
    struct fixture all;
    struct model *share[MOST];
    struct saliency *saliency[MOST + 1]; /* the last is that of `all` */
    int n;
};

static void ranks_open(struct ranks *r, const struct shape *shape, const char *backend, int n)
{
    struct error err = { 0 };
    fixture_open(&r->all, shape, backend);
    r->n = n;
    for (int i = 0; i < n; i++) {
        struct model_options o = r->all.model->options;
        o.moments = (struct portion){ i, n };
        CHECK_OK(model_open(&r->share[i], r->all.be, shape, shape, &o, &err), err);
        CHECK_OK(saliency_open(&r->saliency[i], r->share[i], HEAD_UNIT_KV_GROUP, &err), err);
    }
    CHECK_OK(saliency_open(&r->saliency[n], r->all.model, HEAD_UNIT_KV_GROUP, &err), err);
}

static void ranks_close(struct ranks *r)
{
    for (int i = 0; i <= r->n; i++) saliency_close(r->saliency[i]);
    for (int i = 0; i < r->n; i++) model_close(r->share[i]);
    fixture_close(&r->all);
}

static float *read(struct model *model, enum model_block which, const struct slot *slot)
{
    float *values = calloc((size_t)slot->rows * (size_t)slot->cols, sizeof *values);
    model_read(model, which, slot, values);
    return values;
}

/* What the ranks do among themselves after a step. */
static void spread(struct ranks *r)
{
    for (int s = 0; s < r->all.model->layout.n_slots; s++) {
        float *values = read(r->all.model, MODEL_WEIGHTS, &r->all.model->layout.slot[s]);
        for (int i = 0; i < r->n; i++)
            model_write(r->share[i], MODEL_WEIGHTS, &r->share[i]->layout.slot[s], values);
        free(values);
    }
}

static void same(struct model *a, struct model *b, enum model_block which, int s)
{
    const struct slot *slot = &a->layout.slot[s];
    float *x = read(a, which, slot), *y = read(b, which, &b->layout.slot[s]);
    CHECK(!memcmp(x, y, (size_t)slot->rows * (size_t)slot->cols * sizeof *x), "%s of block %d",
          slot->name, (int)which);
    free(x), free(y);
}

/* Every slot is with one of them, and is there what it is with `all`. */
static void compare(struct ranks *r)
{
    for (int s = 0; s < r->all.model->layout.n_slots; s++) {
        int keepers = 0;
        for (int i = 0; i < r->n; i++) {
            const struct slot *slot = &r->share[i]->layout.slot[s];
            if (!model_keeps(r->share[i], MODEL_M, slot)) continue;
            CHECK_INT(model_owner(r->share[i], slot), i);
            keepers++;
            same(r->all.model, r->share[i], MODEL_WEIGHTS, s);
            same(r->all.model, r->share[i], MODEL_M, s);
            same(r->all.model, r->share[i], MODEL_V, s);
        }
        CHECK_INT(keepers, 1);
    }
}

static void compare_saliency(struct ranks *r)
{
    struct scores all, sum;
    scores_init(&all, model_shape(r->all.model), HEAD_UNIT_KV_GROUP);
    scores_init(&sum, model_shape(r->all.model), HEAD_UNIT_KV_GROUP);
    saliency_collect(r->saliency[r->n], &all);
    for (int i = 0; i < r->n; i++) saliency_collect(r->saliency[i], &sum);
    for (int a = 0; a < scores_arrays(&all); a++) {
        int n;
        const double *x = scores_array(&all, a, &n), *y = scores_array(&sum, a, &n);
        for (int i = 0; i < n; i++)
            CHECK(x[i] > 0 && fabs(x[i] - y[i]) < 1e-5 * x[i], "%g %g", x[i], y[i]);
    }
    scores_release(&all);
    scores_release(&sum);
}

static void step(struct ranks *r, int64_t number)
{
    struct model *all = r->all.model;
    for (int i = 0; i <= r->n; i++) {
        struct model *model = i < r->n ? r->share[i] : all;
        model_gradient(model, &r->all.batch, 1. / 23, false);
        double norm = optim_step(model, &options, 1e-2, number, r->saliency[i]);
        CHECK(norm > 0, "%g", norm);
    }
    compare(r);
    compare_saliency(r);
    spread(r);
}

static void remove_everywhere(struct ranks *r, struct removal removal)
{
    struct error err = { 0 };
    for (int i = 0; i < r->n; i++) CHECK_OK(surgery_remove(r->share[i], &removal, &err), err);
    CHECK_OK(surgery_remove(r->all.model, &removal, &err), err);
    compare(r);
}

static void through_steps_and_removals(const char *backend, int n, bool bias)
{
    struct shape shape = fixture_shape(2, !bias, bias);
    struct ranks r = { 0 };
    ranks_open(&r, &shape, backend, n);
    spread(&r);
    step(&r, 1);
    remove_everywhere(&r, (struct removal){ .type = GROUP_STEM, .layer = -1, .n = 1, .position = { 4 } });
    step(&r, 2);
    for (int ffn = 35; ffn > 15; ffn--) /* past a multiple: up moves up behind gate */
        remove_everywhere(&r, (struct removal){ .type = GROUP_FFN, .layer = 1, .n = 1, .position = { ffn % 7 } });
    for (int kv = 4; kv > 1; kv--)
        remove_everywhere(&r, (struct removal){ .type = GROUP_HEADS, .layer = 2, .n = 1, .position = { 0 } });
    step(&r, 3);
    ranks_close(&r);
}

static void add_up(void)
{
    struct shape shape = fixture_shape(2, true, false);
    struct error err = { 0 };
    struct backend *be;
    CHECK_OK(backend_open(&be, "cpu", 1, &err), err);
    for (int n = 1; n < MOST; n++) {
        struct model_options o = { .batch_size = 1, .sequence_length = 8, .train = MODEL_TRAIN };
        struct model_bytes all, one;
        size_t sum = 0;
        CHECK_OK(model_measure(&all, be, &shape, &o, &err), err);
        for (int i = 0; i < n; i++) {
            o.moments = (struct portion){ i, n };
            CHECK_OK(model_measure(&one, be, &shape, &o, &err), err);
            CHECK_INT(one.total - one.moments, all.total - all.moments);
            if (n == 2) CHECK(one.moments < 0.6 * (double)all.moments, "%zu", one.moments);
            sum += one.moments;
        }
        CHECK_INT(sum, all.moments);
    }
    backend_close(be);
}

/* Moments that do not start at 0, in the kernels of a GPU. */
static void on_a_gpu(const char *backend)
{
    struct error err = { 0 };
    struct backend *be;
    if (backend_open(&be, backend, 1, &err)) {
        printf("without %s: %s\n", backend, err.text);
        return;
    }
    backend_close(be);
    through_steps_and_removals(backend, 2, true);
    through_steps_and_removals(backend, 3, false);
}

int main(void)
{
    add_up();
    through_steps_and_removals("ref", 2, true);
    through_steps_and_removals("cpu", 2, false);
    through_steps_and_removals("cpu", 3, true);
    through_steps_and_removals("cpu", 37, false); /* more than there are slots: some have none */
    on_a_gpu("cuda-f32");
    on_a_gpu("cuda-exact");
    return 0;
}
