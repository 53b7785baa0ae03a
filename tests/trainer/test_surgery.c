/*
 * Surgery is exact: logits with the group's weights at zero before a removal are the
 * logits after it, for every type, tied and untied, with and without grouped queries and
 * biases; moments move as the weights do; a wrong removal changes nothing.
 */
#include "tests/trainer/fixture.h"

static struct removal removal_of(enum group_type type, int layer, int n, const int *position)
{
    struct removal r = { .type = type, .layer = layer, .n = n };
    memcpy(r.position, position, (size_t)n * sizeof *position);
    return r;
}

/* Does element (row, col) of the slot belong to what the removal takes away? Written from the
 * table of methods.md section 0, independently of surgery.c. */
static bool belongs(const struct shape *s, const struct slot *slot, int row, int col,
                    const struct removal *r, int layer, int hole)
{
    int D = s->head_dim,
        queries =
            slot->layer < 0 ? 1 : s->layer[slot->layer].q_heads / s->layer[slot->layer].kv_heads;
    if (r->type == GROUP_STEM) switch (slot->kind) {
        case SLOT_O:
        case SLOT_DOWN: return row == hole;
        case SLOT_Q_BIAS:
        case SLOT_K_BIAS:
        case SLOT_V_BIAS: return false;
        default: return col == hole;
        }
    if (slot->layer != layer) return false;
    if (r->type == GROUP_FFN)
        return slot->kind == SLOT_DOWN
                   ? col == hole
                   : (slot->kind == SLOT_GATE || slot->kind == SLOT_UP) && row == hole;
    bool query = r->unit == HEAD_UNIT_QUERY;
    int q_span = query ? D : D * queries;
    switch (slot->kind) {
    case SLOT_Q: return row / q_span == hole;
    case SLOT_Q_BIAS: return col / q_span == hole;
    case SLOT_O: return col / q_span == hole;
    case SLOT_K:
    case SLOT_V: return !query && row / D == hole;
    case SLOT_K_BIAS:
    case SLOT_V_BIAS: return !query && col / D == hole;
    default: return false;
    }
}

static int layer_of(const struct removal *r, const struct shape *s, int i)
{
    if (r->layer >= 0 || r->type == GROUP_STEM) return r->layer;
    if (r->type != GROUP_HEADS || r->unit == HEAD_UNIT_KV_GROUP) return i;
    int layer = 0;
    while (i >= s->layer[layer].kv_heads) i -= s->layer[layer++].kv_heads;
    return layer;
}

static bool taken(const struct shape *s, const struct slot *slot, int row, int col,
                  const struct removal *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->position[i] >= 0 && belongs(s, slot, row, col, r, layer_of(r, s, i), r->position[i]))
            return true;
    return false;
}

/* Sets the group's weights to zero. Returns, per block, the sum of what stays and its number. */
static void zero_group(struct fixture *f, const struct removal *r)
{
    for (int i = 0; i < f->model->layout.n_slots; i++) {
        const struct slot *slot = &f->model->layout.slot[i];
        float *values = fixture_read(f, MODEL_WEIGHTS, slot);
        for (int row = 0; row < slot->rows; row++)
            for (int col = 0; col < slot->cols; col++)
                if (taken(model_shape(f->model), slot, row, col, r))
                    values[(size_t)row * (size_t)slot->cols + (size_t)col] = 0;
        model_write(f->model, MODEL_WEIGHTS, slot, values);
        free(values);
    }
}

/* The norm's mean is over one channel fewer after a stem removal: undo that in gains and epsilon,
 * sum/d + e = (d-1)/d * (sum/(d-1) + e*d/(d-1)). */
static void undo_mean(struct fixture *f)
{
    double d = f->model->layout.current.hidden_size + 1;
    f->model->layout.current.norm_eps *= d / (d - 1);
    for (int i = 0; i < f->model->layout.n_slots; i++) {
        const struct slot *slot = &f->model->layout.slot[i];
        if (slot->kind != SLOT_ATTN_NORM && slot->kind != SLOT_FFN_NORM &&
            slot->kind != SLOT_FINAL_NORM)
            continue;
        float *values = fixture_read(f, MODEL_WEIGHTS, slot);
        for (int c = 0; c < slot->cols; c++) values[c] *= (float)sqrt(d / (d - 1));
        model_write(f->model, MODEL_WEIGHTS, slot, values);
        free(values);
    }
}

/* Moments equal to the weights plus a number per block must still be so afterwards. */
static void shadow_moments(struct fixture *f, bool check)
{
    for (int which = MODEL_M; which <= MODEL_V; which++)
        for (int i = 0; i < f->model->layout.n_slots; i++) {
            const struct slot *slot = &f->model->layout.slot[i];
            float *w = fixture_read(f, MODEL_WEIGHTS, slot);
            float *m = fixture_read(f, (enum model_block)which, slot);
            for (size_t k = 0; k < fixture_size(slot); k++) {
                float want = w[k] * (float)which;
                CHECK(!check || m[k] == want, "%s, block %d, element %zu", slot->name, which, k);
                m[k] = want;
            }
            if (!check) model_write(f->model, (enum model_block)which, slot, m);
            free(w), free(m);
        }
}

static void check_removal(struct fixture *f, const struct removal *r)
{
    struct error err = { 0 };
    zero_group(f, r);
    shadow_moments(f, false);
    float *before = fixture_logits(f);
    CHECK_OK(surgery_remove(f->model, r, &err), err);
    shadow_moments(f, true);
    if (r->type == GROUP_STEM) undo_mean(f);
    float *after = fixture_logits(f);
    for (int i = 0; i < 27 * 31; i++) CHECK_NEAR(after[i], before[i], 1e-5 * (1 + fabs(before[i])));
    free(before), free(after);
    CHECK_INT(layout_params(&f->model->layout), shape_params(model_shape(f->model)));
}

static void check_shape(int queries, bool tied, bool bias)
{
    static const int one[] = { 1 }, each[] = { 2, 0, 1 }, last[] = { 16, -1, 7 }, stem[] = { 20 };
    static const int end[] = { 1, 0, 2 };
    struct shape shape = fixture_shape(queries, tied, bias);
    const struct removal removals[] = {
        removal_of(GROUP_HEADS, 2, 1, one),  removal_of(GROUP_FFN, 1, 1, one),
        removal_of(GROUP_STEM, -1, 1, one),  removal_of(GROUP_FFN, -1, 3, last),
        removal_of(GROUP_HEADS, -1, 3, end), removal_of(GROUP_STEM, -1, 1, stem),
        removal_of(GROUP_FFN, -1, 3, each),  removal_of(GROUP_STEM, -1, 1, stem + 0),
    };
    struct fixture f;
    fixture_open(&f, &shape, "cpu");
    for (size_t i = 0; i < 7; i++) check_removal(&f, &removals[i]);
    printf("ok queries %d tied %d bias %d\n", queries, tied, bias);
    fixture_close(&f);
}

static void check_query(bool bias)
{
    /* 3 query heads a KV head: layer 0 has KV 3 (queries 0-2, 3-5, 6-8), layer 1 KV 2, layer 2 KV 4
     */
    static const int heads[] = { 1, 5, 6, -1, -1, 0, 4, 8, 9 }, two[] = { 0, 3 };
    struct shape shape = fixture_shape(3, true, bias);
    struct removal all = removal_of(GROUP_HEADS, -1, 9, heads);
    struct removal one = removal_of(GROUP_HEADS, 1, 2, two);
    struct fixture f;
    all.unit = one.unit = HEAD_UNIT_QUERY;
    fixture_open(&f, &shape, "cpu");
    check_removal(&f, &all);
    check_removal(&f, &one);
    CHECK_INT(model_shape(f.model)->layer[0].q_heads, 6);
    CHECK_INT(model_shape(f.model)->layer[1].q_heads, 4);
    CHECK_INT(model_shape(f.model)->layer[2].kv_heads, 4);
    fixture_close(&f);
    printf("ok by query, bias %d\n", bias);
}

static void check_refusals(void)
{
    static const int far[] = { 22 }, too_few[] = { 0, 0 }, bad_last[] = { 0, 0, 9 }, zero[] = { 0 };
    struct shape shape = fixture_shape(1, true, false);
    struct removal bad[] = { removal_of(GROUP_STEM, -1, 1, far),
                             removal_of(GROUP_FFN, -1, 2, too_few),
                             removal_of(GROUP_FFN, -1, 3, bad_last),
                             removal_of(GROUP_FFN, 3, 1, zero),
                             removal_of(GROUP_STEM, 0, 1, zero) };
    struct removal head = removal_of(GROUP_HEADS, 1, 1, zero);
    struct fixture f;
    fixture_open(&f, &shape, "cpu");
    float *before = fixture_logits(&f);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = { 0 };
        CHECK_INT(surgery_remove(f.model, &bad[i], &err), E_CONFLICT);
    }
    float *after = fixture_logits(&f);
    CHECK(!memcmp(before, after, 27 * 31 * sizeof *after), "a refused removal changed something");
    struct error err = { 0 };
    CHECK_OK(surgery_remove(f.model, &head, &err), err);
    CHECK_INT(surgery_remove(f.model, &head, &err), E_CONFLICT); /* the last one stays */
    free(before), free(after);
    fixture_close(&f);
}

/* A model that was cut computes what a model that was never larger computes. */
static void check_small_alike(void)
{
    static const int ffn[] = { 3, 4, 5 }, stem[] = { 9 };
    struct shape shape = fixture_shape(2, false, true), smaller;
    struct removal a = removal_of(GROUP_FFN, -1, 3, ffn), b = removal_of(GROUP_STEM, -1, 1, stem);
    struct error err = { 0 };
    struct fixture f, small;
    fixture_open(&f, &shape, "cpu");
    CHECK_OK(surgery_remove(f.model, &a, &err), err);
    CHECK_OK(surgery_remove(f.model, &b, &err), err);
    smaller = *model_shape(f.model);
    fixture_open(&small, &smaller, "cpu");
    for (int i = 0; i < f.model->layout.n_slots; i++) {
        float *values = fixture_read(&f, MODEL_WEIGHTS, &f.model->layout.slot[i]);
        model_write(small.model, MODEL_WEIGHTS, &small.model->layout.slot[i], values);
        free(values);
    }
    double got = model_gradient(f.model, &f.batch, 1, false);
    CHECK_NEAR(got, model_gradient(small.model, &f.batch, 1, false), 1e-5 * got);
    double norm = optim_step(f.model, &fixture_adamw, 1e-2, 1, NULL);
    CHECK_NEAR(optim_step(small.model, &fixture_adamw, 1e-2, 1, NULL), norm, 1e-5 * norm);
    CHECK_NEAR(fixture_loss(&f), model_loss(small.model, &f.batch, &(int64_t){ 0 }), 1e-4);
    fixture_close(&f);
    fixture_close(&small);
}

int main(void)
{
    for (int i = 0; i < 8; i++) check_shape(1 + i % 2, i & 2, i & 4);
    check_query(false);
    check_query(true);
    check_refusals();
    check_small_alike();
    return 0;
}
