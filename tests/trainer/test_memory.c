/* What a model takes is what was measured before, and what lies in the gradients for a while
 * changes no bit. */
#include "tests/trainer/fixture.h"
#include "trainer/activations.h"

static struct model_options options_of(enum model_use use, bool recompute, bool lend)
{
    return (struct model_options){ .batch_size = 3, .sequence_length = 9,
                                   .train = use, .recompute = recompute,
                                   .lend_gradients = lend };
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static struct {
    struct backend real;
    size_t bytes;
} counted;

static enum status counting_alloc(struct backend *be, enum block_use use, size_t n,
                                  struct block **out, struct error *err)
{
    if (use != BLOCK_SUMS) counted.bytes += n * (size_t)be->element_bytes[use];
    return counted.real.alloc(be, use, n, out, err);
}

static enum status counting_copy(struct backend *be, struct block *weights, size_t n,
                                 struct error *err)
{
    counted.bytes += n * (size_t)be->copy_bytes;
    return counted.real.reserve_copy(be, weights, n, err);
}

static size_t check_bytes(const char *backend, const struct shape *shape,
                          struct model_options options)
{
    struct error err = { 0 };
    struct backend *be;
    struct model *model;
    struct model_bytes bytes;
    CHECK_OK(backend_open(&be, backend, 1, &err), err);
    counted.real = *be, counted.bytes = 0;
    be->alloc = counting_alloc;
    if (be->reserve_copy) be->reserve_copy = counting_copy;
    CHECK_OK(model_measure(&bytes, be, shape, &options, &err), err);
    CHECK_INT(counted.bytes, 0);
    CHECK_OK(model_open(&model, be, shape, shape, &options, &err), err);
    CHECK_INT(counted.bytes, bytes.total);
    CHECK_INT(bytes.total, bytes.weights + bytes.grads + bytes.moments + bytes.activations);
    model_close(model);
    backend_close(be);
    return bytes.total;
}

static void takes_what_was_measured(const char *backend)
{
    for (int tied = 0; tied < 2; tied++) {
        struct shape shape = fixture_shape(2, tied, !tied);
        check_bytes(backend, &shape, options_of(MODEL_FORWARD, false, false));
        check_bytes(backend, &shape, options_of(MODEL_ADAPT, false, true));
        for (int recompute = 0; recompute < 2; recompute++) {
            size_t apart = check_bytes(backend, &shape, options_of(MODEL_TRAIN, recompute, false));
            size_t lent = check_bytes(backend, &shape, options_of(MODEL_TRAIN, recompute, true));
            CHECK(lent < apart, "%s: %zu, apart %zu", backend, lent, apart);
        }
    }
}

/* SmolLM-135M, 1 x 512: beside weights, gradients and moments there is next to nothing. */
static void a_real_shape(void)
{
    struct error err = { 0 };
    struct backend *be;
    struct model_bytes bytes;
    struct shape shape;
    struct model_options options = { .batch_size = 1, .sequence_length = 512,
                                     .train = MODEL_TRAIN, .lend_gradients = true };
    shape_init(&shape);
    shape.hidden_size = 576, shape.head_dim = 64, shape.vocab_size = 49152;
    shape.tie_word_embeddings = true;
    shape_set_layers(&shape, 30, (struct layer_shape){ 9, 3, 1536 });
    CHECK_OK(backend_open(&be, "cpu", 1, &err), err);
    CHECK_OK(model_measure(&bytes, be, &shape, &options, &err), err);
    CHECK(bytes.activations < 0.012 * (double)bytes.total, "%zu", bytes.activations);
    backend_close(be);
    CHECK_OK(backend_open(&be, "cpu-bf16-plain", 1, &err), err);
    size_t plain = bytes.total;
    CHECK_OK(model_measure(&bytes, be, &shape, &options, &err), err);
    CHECK_INT(bytes.total - plain, 2 * 49152 * 576); /* a copy of the largest matrix */
    backend_close(be);
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* Appends all numbers of a block to what was seen. */
struct seen {
    float *x;
    size_t n, room;
};

static void see(struct seen *seen, struct fixture *f, enum model_block which)
{
    for (int i = 0; i < f->model->layout.n_slots; i++) {
        const struct slot *slot = &f->model->layout.slot[i];
        size_t n = fixture_size(slot);
        if (seen->n + n > seen->room) {
            seen->room = 2 * (seen->n + n);
            seen->x = realloc(seen->x, seen->room * sizeof *seen->x);
            CHECK(seen->x, "no memory");
        }
        model_read(f->model, which, slot, seen->x + seen->n);
        seen->n += n;
    }
}

static void step(struct fixture *f, int number, int rows, int time, struct seen *seen)
{
    struct model_batch batch = { f->ids, f->targets, rows, time };
    model_gradient(f->model, &batch, 1.0 / (rows * time), false);
    see(seen, f, MODEL_GRADS);
    optim_step(f->model, &fixture_adamw, 1e-2, number, NULL);
    see(seen, f, MODEL_WEIGHTS);
    fixture_loss(f); /* a validation in between */
}

/* Whole batches and small ones, at the first shape and at a smaller one. */
static struct seen run(const char *backend, const struct shape *shape, bool recompute, bool lend)
{
    struct fixture f;
    struct seen seen = { 0 };
    struct error err = { 0 };
    struct shape small = *shape;
    fixture_open_as(&f, shape, backend, 2, options_of(MODEL_TRAIN, recompute, lend));
    CHECK(f.model->at->lent == lend, "%s does not lend", backend);
    step(&f, 1, 3, 9, &seen);
    step(&f, 2, 1, 5, &seen);
    small.hidden_size = 17, small.layer[1].ffn = 20, small.layer[2] = shape->layer[1];
    small.layer[2].ffn = 5;
    CHECK_OK(model_set_shape(f.model, &small, &err), err);
    step(&f, 3, 3, 9, &seen);
    step(&f, 4, 1, 1, &seen);
    fixture_close(&f);
    return seen;
}

static void same_bits(const char *backend)
{
    for (int tied = 0; tied < 2; tied++) {
        struct shape shape = fixture_shape(2, tied, tied);
        struct seen want = run(backend, &shape, false, false);
        for (int recompute = 0; recompute < 2; recompute++) {
            struct seen got = run(backend, &shape, recompute, true);
            CHECK_INT(got.n, want.n);
            CHECK(!memcmp(got.x, want.x, got.n * sizeof *got.x), "%s: bits differ", backend);
            free(got.x);
        }
        free(want.x);
    }
}

int main(void)
{
    static const char *const backends[] = { "ref", "cpu", "cpu-bf16-plain" };
    for (int i = 0; i < 3; i++) {
        takes_what_was_measured(backends[i]);
        same_bits(backends[i]);
    }
    a_real_shape();
    return 0;
}
