/*
 * The update `obs` on a model: what remains of every matrix that loses inputs is the
 * least-squares optimum for the inputs that a run in doubles gives, and nothing else changes.
 * And a search does not care how the source's heads and channels are shuffled.
 */
#include "tests/trainer/slow_model.h"
#include "trainer/collector.h"

enum { SLOTS = 64 };

static struct search_options options_of(enum update update, const char *criterion)
{
    struct search_options o;
    search_options_init(&o);
    o.space.scope = SCOPE_PER_LAYER;
    o.update = update;
    o.schedule.warmup_steps = 1;
    o.schedule.steps_per_unit = 2;
    o.schedule.channels_per_unit = 7;
    o.stop.ratio = 0.3;
    o.tokens_per_step = 27;
    snprintf(o.scoring.name, sizeof o.scoring.name, "%s", criterion);
    return o;
}

/* ---- least squares --------------------------------------------------------------------------- */

static void read_all(struct fixture *f, float **to)
{
    for (int i = 0; i < f->model->layout.n_slots; i++)
        to[i] = fixture_read(f, MODEL_WEIGHTS, &f->model->layout.slot[i]);
}

/* The inputs that the tensor reads in the slow run, or NULL. */
static const double *inputs_of(const struct slow_model *m, const struct slot *slot)
{
    switch (slot->kind) {
    case SLOT_O: return m->att[slot->layer];
    case SLOT_DOWN: return m->act[slot->layer];
    case SLOT_Q:
    case SLOT_K:
    case SLOT_V: return m->norm[2 * slot->layer];
    case SLOT_GATE:
    case SLOT_UP: return m->norm[2 * slot->layer + 1];
    case SLOT_HEAD: return m->norm[2 * SLOW_LAYERS];
    default: return NULL;
    }
}

static double *hessian_of(const double *x, int n)
{
    double *H = slow_room(n, n), mean = 0;
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++)
            for (int t = 0; t < SLOW_ROWS; t++)
                H[a * n + b] += 2.0 / SLOW_ROWS * x[t * n + a] * x[t * n + b];
    for (int a = 0; a < n; a++) mean += H[a * n + a] / n;
    for (int a = 0; a < n; a++) H[a * n + a] += 0.01 * mean;
    return H;
}

static bool goes(const struct shape *s, const struct slot *slot, const struct removal *r, int col)
{
    for (int e = 0; e < r->n; e++)
        if (slow_owns(s, slot, -1, col, r->type, r->unit, r->layer, r->position[e])) return true;
    return false;
}

/* Columns that go are zero; along the others the slope of the squared error is. */
static void check_rows(const struct shape *s, const struct slot *slot, const struct removal *r,
                       const double *H, const float *was, const float *is)
{
    int n = slot->cols;
    for (int row = 0; row < slot->rows; row++, was += n, is += n)
        for (int c = 0; c < n; c++) {
            double slope = 0, size = 0;
            for (int i = 0; i < n; i++) {
                double part = ((double)is[i] - was[i]) * H[i * n + c];
                slope += part, size += fabs(part);
            }
            if (goes(s, slot, r, c))
                CHECK(is[c] == 0, "%s: column %d is %g", slot->name, c, is[c]);
            else
                CHECK(fabs(slope) <= 1e-4 * size, "%s row %d column %d: slope %g of %g", slot->name,
                      row, c, slope, size);
        }
}

static bool loses_inputs(const struct shape *s, const struct slot *slot, const struct removal *r)
{
    for (int c = 0; c < slot->cols; c++)
        if (goes(s, slot, r, c)) return true;
    return false;
}

static void check_update(const struct removal *r, enum head_unit unit, bool tied)
{
    struct shape shape = fixture_shape(2, tied, true);
    struct search_options o = options_of(UPDATE_OBS, "param_first");
    struct error err = { 0 };
    struct search search;
    struct collector *c;
    struct slow_model slow;
    struct fixture f;
    float *was[SLOTS], *is[SLOTS];
    o.space.head_unit = unit;
    fixture_open(&f, &shape, "cpu");
    CHECK_OK(search_open(&search, &shape, &o, 1, &err), err);
    CHECK_OK(collector_open(&c, f.model, &search, &err), err);
    collector_begin(c);
    model_gradient(f.model, &f.batch, 1 / 27.0, false);
    collector_end(c, 27);
    slow_run(&slow, &f);
    read_all(&f, was);
    CHECK_OK(collector_remove(c, r, &err), err);
    read_all(&f, is);
    int updated = 0;
    for (int i = 0; i < f.model->layout.n_slots; i++) {
        const struct slot *slot = &f.model->layout.slot[i];
        const double *x = inputs_of(&slow, slot);
        if (x && loses_inputs(&shape, slot, r)) {
            double *H = hessian_of(x, slot->cols);
            check_rows(&shape, slot, r, H, was[i], is[i]);
            free(H);
            updated++;
        } else {
            CHECK(!memcmp(was[i], is[i], fixture_size(slot) * sizeof(float)), "%s changed",
                  slot->name);
        }
        free(was[i]), free(is[i]);
    }
    CHECK_INT(updated, r->type == GROUP_STEM ? 3 * 5 + !tied : 1);
    slow_release(&slow);
    collector_close(c);
    search_close(&search);
    fixture_close(&f);
}

/* ---- shuffled -------------------------------------------------------------------------------- */

struct shuffle {
    int kv[SLOW_LAYERS][64], ffn[SLOW_LAYERS][64], stem[64];
};

static void shuffle_one(int *index, int n, struct rng *rng)
{
    for (int i = 0; i < n; i++) index[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)rng_below(rng, (uint64_t)i + 1), t = index[i];
        index[i] = index[j], index[j] = t;
    }
}

static void shuffle_draw(struct shuffle *s, const struct shape *shape)
{
    struct rng rng;
    rng_init(&rng, 11);
    shuffle_one(s->stem, shape->hidden_size, &rng);
    for (int l = 0; l < SLOW_LAYERS; l++) {
        shuffle_one(s->kv[l], shape->layer[l].kv_heads, &rng);
        shuffle_one(s->ffn[l], shape->layer[l].ffn, &rng);
    }
}

/* Where entry i of an axis of the shuffled model lies in the original. */
static int origin(const struct shuffle *s, const struct layout *layout, enum slot_axis axis,
                  int layer, int i)
{
    int span = layout_span(layout, axis, layer);
    if (axis == AXIS_STEM) return s->stem[i];
    if (axis == AXIS_FFN) return s->ffn[layer][i];
    if (axis == AXIS_FIXED) return i;
    return s->kv[layer][i / span] * span + i % span;
}

static void write_shuffled(struct fixture *to, struct fixture *from, const struct shuffle *s)
{
    const struct layout *layout = &from->model->layout;
    for (int k = 0; k < layout->n_slots; k++) {
        const struct slot *slot = &layout->slot[k];
        float *a = fixture_read(from, MODEL_WEIGHTS, slot),
              *b = fixture_read(from, MODEL_WEIGHTS, slot);
        for (int r = 0; r < slot->rows; r++)
            for (int c = 0; c < slot->cols; c++)
                b[r * slot->cols + c] =
                    a[origin(s, layout, slot->row_axis, slot->layer, r) * slot->cols +
                      origin(s, layout, slot->col_axis, slot->layer, c)];
        model_write(to->model, MODEL_WEIGHTS, &to->model->layout.slot[k], b);
        free(a), free(b);
    }
}

enum { MAX_STORY = 128 };

/* A search on a fixture from start to end; returns the number of removals. */
static int run(struct fixture *f, const struct shape *shape, const struct search_options *o,
               struct removal *story)
{
    struct error err = { 0 };
    struct search search;
    struct scores scores;
    struct collector *c;
    int n = 0;
    CHECK_OK(search_open(&search, shape, o, 1, &err), err);
    CHECK_OK(collector_open(&c, f->model, &search, &err), err);
    search_init_scores(&search, &scores);
    while (!search_is_over(&search)) {
        collector_begin(c);
        model_gradient(f->model, &f->batch, 1 / 27.0, false);
        collector_end(c, 27);
        optim_step(f->model, &fixture_adamw, 1e-3, search.step + 1, NULL);
        search_step(&search);
        if (search_choice_is_due(&search))
            CHECK_OK(collector_score(c, &search, &scores, &err), err);
        while (n < MAX_STORY && search_decide(&search, &scores, &story[n])) {
            CHECK_OK(collector_remove(c, &story[n], &err), err);
            CHECK_OK(surgery_remove(f->model, &story[n++], &err), err);
        }
        if (search_unit_ended(&search)) collector_fade(c, 0);
    }
    scores_release(&scores);
    collector_close(c);
    search_close(&search);
    return n;
}

static int index_in_original(const struct shuffle *s, const struct removal *r)
{
    int i = r->source_index[0];
    if (r->type == GROUP_STEM) return s->stem[i];
    return r->type == GROUP_FFN ? s->ffn[r->layer][i] : s->kv[r->layer][i];
}

static void check_shuffled(const char *criterion, enum update update)
{
    static struct removal a[MAX_STORY], b[MAX_STORY];
    struct shape shape = fixture_shape(2, false, true);
    struct search_options o = options_of(update, criterion);
    struct fixture one, two;
    struct shuffle s;
    int types = 0;
    fixture_open(&one, &shape, "cpu");
    fixture_open(&two, &shape, "cpu");
    shuffle_draw(&s, &shape);
    write_shuffled(&two, &one, &s);
    int n = run(&one, &shape, &o, a);
    CHECK_INT(run(&two, &shape, &o, b), n);
    for (int i = 0; i < n; i++) {
        types |= 1 << a[i].type;
        CHECK(a[i].type == b[i].type && a[i].layer == b[i].layer, "%s removal %d", criterion, i);
        CHECK_INT(index_in_original(&s, &b[i]), a[i].source_index[0]);
        CHECK_STR(b[i].shape_hash, a[i].shape_hash);
    }
    fixture_close(&one);
    fixture_close(&two);
    printf("ok shuffled %s, update %d: %d removals, types %d\n", criterion, update, n, types);
    CHECK(n > 8 && (types & (types - 1)), "too few removals, or of one type");
}

int main(void)
{
    struct removal r[] = {
        { .type = GROUP_HEADS, .layer = 2, .n = 1, .position = { 1 } },
        { .type = GROUP_FFN, .layer = 0, .n = 1, .position = { 17 } },
        { .type = GROUP_STEM, .layer = -1, .n = 1, .position = { 7 } },
        { .type = GROUP_HEADS, .unit = HEAD_UNIT_QUERY, .layer = 1, .n = 2, .position = { 1, 2 } },
    };
    for (int i = 0; i < 8; i++) check_update(&r[i % 4], r[i % 4].unit, i / 4);
    check_shuffled("flap", UPDATE_OBS);
    check_shuffled("param_second", UPDATE_NONE);
    check_shuffled("vectorize", UPDATE_OBS);
    check_shuffled("obs", UPDATE_OBS);
    return 0;
}
