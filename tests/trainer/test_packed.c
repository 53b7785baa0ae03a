/* Packed texts, shared beginnings and kept keys give the logits of every text by itself. */
#include "tests/trainer/fixture.h"
#include "trainer/packed.h"

enum { TEXT = 20, VOCAB = 31 };

struct seen {
    float logits[64][VOCAB];
};

static void see(void *user, int first, int n, const float *logits)
{
    struct seen *seen = user;
    memcpy(seen->logits[first], logits, (size_t)n * VOCAB * sizeof *logits);
}

static struct model *open_like(const struct fixture *f, int rows)
{
    struct error err = { 0 };
    struct model *model;
    struct model_options options = { .batch_size = 1, .sequence_length = rows };
    const struct shape *shape = model_shape(f->model);
    CHECK_OK(model_open(&model, f->be, shape, shape, &options, &err), err);
    for (int i = 0; i < model->layout.n_slots; i++) {
        const struct slot *slot = &model->layout.slot[i];
        float *values = calloc(fixture_size(slot), sizeof *values);
        model_read(f->model, MODEL_WEIGHTS, &f->model->layout.slot[i], values);
        model_write(model, MODEL_WEIGHTS, slot, values);
        free(values);
    }
    return model;
}

static void same(const float *got, const float *want, const char *what, int row)
{
    for (int c = 0; c < VOCAB; c++)
        CHECK(fabs((double)got[c] - (double)want[c]) < 3e-5, "%s, row %d: %g, want %g", what, row,
              got[c], want[c]);
}

static struct fixture f;
static struct model *alone;
static int32_t ids[64];
static float want[64][VOCAB];

/* The logits of `text`, by the plain forward, into want[0..]. */
static void plain_logits(const int32_t *text, int n)
{
    struct model_batch batch = { text, NULL, 1, n };
    model_logits(alone, &batch, want[0]);
}

/* Context of 8 tokens, endings of 5 and 3, and a text of 4 of its own. */
static void shared_beginning(void)
{
    static const struct packed_piece pieces[] = { { .row = 0, .rows = 8 },
                                                  { .row = 8, .rows = 5, .position = 8, .past = 8 },
                                                  { .row = 13, .rows = 3, .position = 8, .past = 8 },
                                                  { .row = 16, .rows = 4 } };
    static const int rows[] = { 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 };
    struct error err = { 0 };
    struct packed *p;
    struct seen seen;
    int32_t text[TEXT];
    struct model *model = open_like(&f, TEXT);
    CHECK_OK(packed_open(&p, model, TEXT, 0, &err), err);
    for (int again = 0; again < 2; again++) { /* a second call owes nothing to the first */
        packed_run(p, ids, pieces, 4);
        packed_logits(p, rows, 13, see, &seen);
    }
    plain_logits(ids, 13);
    for (int i = 0; i < 6; i++) same(seen.logits[i], want[7 + i], "first ending", i);
    memcpy(text, ids, 8 * sizeof *ids);
    memcpy(text + 8, ids + 13, 3 * sizeof *ids);
    plain_logits(text, 11);
    for (int i = 0; i < 3; i++) same(seen.logits[6 + i], want[8 + i], "second ending", i);
    plain_logits(ids + 16, 4);
    for (int i = 0; i < 4; i++) same(seen.logits[9 + i], want[i], "its own text", i);
    packed_close(p);
    model_close(model);
}

/* Two texts at once, prompts of 6 and 3 tokens, then token by token. */
static void kept_keys(void)
{
    struct error err = { 0 };
    struct packed *p;
    struct seen seen;
    struct model *model = open_like(&f, 16);
    int n[2] = { 6, 3 };
    const int last[] = { 5, 8 }, both[] = { 0, 1 };
    CHECK_OK(packed_open(&p, model, TEXT, 2 * TEXT, &err), err);
    struct packed_piece prompt[] = { { .row = 0, .rows = 6 }, { .row = 6, .rows = 3, .own_at = TEXT } };
    int32_t start[9];
    memcpy(start, ids, 6 * sizeof *ids);
    memcpy(start + 6, ids + 32, 3 * sizeof *ids);
    packed_run(p, start, prompt, 2);
    packed_logits(p, last, 2, see, &seen);
    for (int step = 0; step < 10; step++) {
        for (int i = 0; i < 2; i++) {
            plain_logits(ids + 32 * i, n[i]);
            same(seen.logits[i], want[n[i] - 1], i ? "second text" : "first text", n[i]);
        }
        struct packed_piece next[2];
        for (int i = 0; i < 2; i++)
            next[i] = (struct packed_piece){ i, 1, n[i], i * TEXT, n[i], i * TEXT + n[i] };
        packed_run(p, (int32_t[]){ ids[n[0]], ids[32 + n[1]] }, next, 2);
        packed_logits(p, both, 2, see, &seen);
        n[0]++, n[1]++;
    }
    packed_close(p);
    model_close(model);
}

int main(void)
{
    static const char *const backends[] = { "ref", "cpu", "cpu-blas" };
    for (int b = 0; b < 3; b++)
        for (int queries = 1; queries <= 3; queries += 2) {
            struct shape shape = fixture_shape(queries, queries == 1, queries == 3);
            fixture_open(&f, &shape, backends[b]);
            alone = open_like(&f, TEXT);
            for (int i = 0; i < 64; i++) ids[i] = (int32_t)rng_below(&f.rng, VOCAB);
            shared_beginning();
            kept_keys();
            model_close(alone);
            fixture_close(&f);
        }
    puts("ok packed");
    return 0;
}
