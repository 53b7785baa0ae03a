#ifndef TESTS_TRAINER_FIXTURE_H
#define TESTS_TRAINER_FIXTURE_H

#include <stdlib.h>
#include "search/base/rng.h"
#include "tests/support/check.h"
#include "trainer/optim.h"
#include "trainer/surgery.h"

/* Small models with unequal layers, and batches for them. */

/* Three layers, all different; heads * head_dim differs from hidden. `queries` per KV head. With
 * biases, all that there are. */
static inline struct shape fixture_shape(int queries, bool tied, bool bias)
{
    struct shape shape;
    shape_init(&shape);
    shape.hidden_size = 22, shape.head_dim = 6, shape.vocab_size = 31;
    shape.tie_word_embeddings = tied, shape.qkv_bias = shape.output_bias = bias;
    shape_set_layers(&shape, 3, (struct layer_shape){ 3 * queries, 3, 18 });
    shape.layer[1] = (struct layer_shape){ 2 * queries, 2, 35 };
    shape.layer[2] = (struct layer_shape){ 4 * queries, 4, 9 };
    return shape;
}

struct fixture {
    struct backend *be;
    struct model *model;
    struct model_batch batch;
    int32_t ids[64], targets[64];
    struct rng rng;
};

/* Random numbers in every tensor, gains and biases too, so that nothing is special. */
static inline void fixture_randomise(struct fixture *f, double size)
{
    for (int i = 0; i < f->model->layout.n_slots; i++) {
        const struct slot *slot = &f->model->layout.slot[i];
        size_t n = (size_t)slot->rows * (size_t)slot->cols;
        float *values = calloc(n, sizeof *values);
        for (size_t k = 0; k < n; k++)
            values[k] = (float)(rng_normal(&f->rng) * size) + (slot->dims == 1 ? 0.7f : 0);
        model_write(f->model, MODEL_WEIGHTS, slot, values);
        free(values);
    }
}

/* Options for at least 3 x 9. */
static inline void fixture_open_as(struct fixture *f, const struct shape *shape,
                                   const char *backend, int threads, struct model_options options)
{
    struct error err = { 0 };
    memset(f, 0, sizeof *f);
    rng_init(&f->rng, 3);
    CHECK_OK(backend_open(&f->be, backend, threads, &err), err);
    CHECK_OK(model_open(&f->model, f->be, shape, shape, &options, &err), err);
    fixture_randomise(f, 0.3);
    for (int i = 0; i < 27; i++) {
        f->ids[i] = (int32_t)rng_below(&f->rng, (uint64_t)shape->vocab_size);
        f->targets[i] = i % 7 == 3 ? -1 : (int32_t)rng_below(&f->rng, (uint64_t)shape->vocab_size);
    }
    f->batch = (struct model_batch){ f->ids, f->targets, 3, 9 };
}

static inline void fixture_open_mode(struct fixture *f, const struct shape *shape,
                                     const char *backend, int threads, bool recompute)
{
    fixture_open_as(f, shape, backend, threads,
                    (struct model_options){ .batch_size = 3, .sequence_length = 9,
                                            .train = true, .recompute = recompute });
}

static inline void fixture_open(struct fixture *f, const struct shape *shape, const char *backend)
{
    fixture_open_mode(f, shape, backend, 2, false);
}

static inline void fixture_close(struct fixture *f)
{
    model_close(f->model);
    backend_close(f->be);
}

static inline size_t fixture_size(const struct slot *slot)
{
    return (size_t)slot->rows * (size_t)slot->cols;
}

/* A tensor of a block as a fresh array; the caller frees. */
static inline float *fixture_read(struct fixture *f, enum model_block which,
                                  const struct slot *slot)
{
    float *values = calloc(fixture_size(slot), sizeof *values);
    model_read(f->model, which, slot, values);
    return values;
}

static inline double fixture_loss(struct fixture *f)
{
    int64_t n;
    return model_loss(f->model, &f->batch, &n);
}

static inline float *fixture_logits(struct fixture *f)
{
    float *logits = calloc(27 * (size_t)model_shape(f->model)->vocab_size, sizeof *logits);
    model_logits(f->model, &f->batch, logits);
    return logits;
}

static const struct optim_options fixture_adamw = {
    .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .clip_norm = 1
};

#endif
