/* Saliency summed in the optimizer's pass against the sums taken from dumped w and g. */
#include "tests/trainer/fixture.h"

static int index_of(const struct slot *slot, const struct shape *s, bool row_side, int i)
{
    enum slot_axis axis = row_side ? slot->row_axis : slot->col_axis;
    int queries =
        slot->layer < 0 ? 1 : s->layer[slot->layer].q_heads / s->layer[slot->layer].kv_heads;
    return axis == AXIS_KV ? i / s->head_dim : axis == AXIS_Q ? i / s->head_dim / queries : i;
}

/* The sums of |w g| from weights and gradients read out before the step. */
static void naive_scores(struct fixture *f, bool embedding, struct scores *scores)
{
    const struct shape *s = model_shape(f->model);
    for (int i = 0; i < f->model->layout.n_slots; i++) {
        const struct slot *slot = &f->model->layout.slot[i];
        if (!embedding && (slot->kind == SLOT_EMBED || slot->kind == SLOT_HEAD)) continue;
        float *w = fixture_read(f, MODEL_WEIGHTS, slot), *g = fixture_read(f, MODEL_GRADS, slot);
        for (int at = 0; at < slot->rows * slot->cols; at++)
            for (int side = 0; side < 2; side++) {
                enum slot_axis axis = side ? slot->row_axis : slot->col_axis;
                int unit = index_of(slot, s, side, side ? at / slot->cols : at % slot->cols);
                double value = fabs((double)w[at] * g[at]);
                if (axis == AXIS_STEM) scores->stem[unit] += value;
                if (axis == AXIS_FFN) scores->ffn[slot->layer][unit] += value;
                if (axis == AXIS_KV || axis == AXIS_Q) scores->heads[slot->layer][unit] += value;
            }
        free(w), free(g);
    }
}

static void close_to(const double *got, const double *want, int n, const char *what)
{
    for (int i = 0; i < n; i++)
        CHECK(want[i] > 0 && fabs(got[i] - want[i]) <= 1e-5 * want[i], "%s %d: %g, want %g", what,
              i, got[i], want[i]);
}

static void saliency_is_right(const char *backend, bool tied, bool embedding)
{
    static const int stem[] = { 4 };
    struct removal removal = { .type = GROUP_STEM, .layer = -1, .n = 1 };
    struct shape shape = fixture_shape(2, tied, true);
    struct fixture f;
    struct saliency *saliency;
    struct error err = { 0 };
    memcpy(removal.position, stem, sizeof stem);
    fixture_open(&f, &shape, backend);
    CHECK_OK(saliency_open(&saliency, f.model, HEAD_UNIT_KV_GROUP, &err), err);
    saliency->without_embedding = !embedding;
    for (int round = 0; round < 2; round++) { /* at the source's shape, and at a smaller one */
        struct scores got, want;
        scores_init(&got, model_shape(f.model), HEAD_UNIT_KV_GROUP);
        scores_init(&want, model_shape(f.model), HEAD_UNIT_KV_GROUP);
        for (int step = 1; step <= 2; step++) {
            model_gradient(f.model, &f.batch, 1, false);
            naive_scores(&f, embedding, &want);
            optim_step(f.model, &fixture_adamw, 1e-3, step, saliency);
        }
        saliency_collect(saliency, &got);
        CHECK_NEAR(got.weight, 2, 0);
        close_to(got.stem, want.stem, got.n_stem, "stem");
        for (int l = 0; l < 3; l++) {
            close_to(got.heads[l], want.heads[l], got.n_heads[l], "head");
            close_to(got.ffn[l], want.ffn[l], got.n_ffn[l], "ffn");
        }
        scores_release(&got);
        scores_release(&want);
        CHECK_OK(surgery_remove(f.model, &removal, &err), err);
    }
    saliency_close(saliency);
    fixture_close(&f);
    printf("ok saliency %s tied %d embedding %d\n", backend, tied, embedding);
}

int main(void)
{
    saliency_is_right("cpu", true, true);
    saliency_is_right("cpu", false, true);
    saliency_is_right("cpu", false, false);
    saliency_is_right("ref", true, true);
    saliency_is_right("ref", true, false);
    return 0;
}
