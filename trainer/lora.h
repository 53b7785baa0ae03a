#ifndef TRAINER_LORA_H
#define TRAINER_LORA_H

#include "trainer/model.h"
#include "trainer/optim.h"

/*
 * Low-rank adapters (LoRA, arXiv 2106.09685): beside a frozen matrix W (M, K) of a layer
 * two small ones are trained, A (r, K) and B (M, r), and the layer computes with
 *
 *     W + alpha / r * B A
 *
 * A starts as torch's Linear does (uniform within 1 / sqrt(K)), B at zero, so that
 * training starts at W. Nothing else is trained: there are no gradients and no moments
 * of W, embedding, norms or biases, and no products for them.
 *
 *     model_open(..., &(struct model_options){ .train = MODEL_ADAPT, ... })
 *     lora_attach(model, &options, err)    from here on model_gradient writes their gradients
 *     lora_init(model, seed)
 *     lora_step(model, ...)                instead of optim_step
 *     lora_merge(model)                    into plain weights; the adapters are gone
 *
 * What is stored is S = alpha / r * B, so that no operation needs the factor. AdamW on B
 * is AdamW on S with learning rate and epsilon of its own (lora_step); the two differ in
 * rounding alone.
 */
enum { LORA_MAX_RANK = 1024, LORA_TARGETS = 7 };

struct lora_options {
    int rank; /* 0: no adapters */
    double alpha;
    unsigned targets; /* bit i: lora_targets[i] */
};

/* "q", "k", "v", "o", "gate", "up", "down", NULL */
extern const char *const lora_targets[];

struct adapter {
    const struct slot *slot;
    size_t a, s; /* where A and S lie in the blocks */
};

struct lora {
    struct lora_options options;
    int n; /* adapters, in the order of the slots */
    struct adapter *adapter;
    int *index; /* per slot of the layout its adapter, or -1 */
    size_t n_floats;
    struct block *block[MODEL_BLOCKS];
    struct block *hidden;     /* x A^T of up to three maps, then their gradients */
    struct param *param;      /* n of A, then n of S */
    struct model_bytes bytes; /* what all this takes */
    size_t gain;              /* where in the gradients those of norms are left, and forgotten */
    int ld;                   /* of a row of S and of `hidden`'s parts */
};

/* What lora_attach would allocate beside such a model. */
enum status lora_measure(struct model_bytes *out, const struct backend *be,
                         const struct shape *shape, const struct model_options *model,
                         const struct lora_options *options, struct error *err);

/* E_MEMORY names the bytes. The model's shape stays as it is; model_close releases. */
enum status lora_attach(struct model *model, const struct lora_options *options, struct error *err);
void lora_close(struct lora *lora, struct backend *be); /* NULL is fine */

/* A from the seed (per tensor, as init.h), B and the moments zero. */
void lora_init(struct model *model, uint64_t seed);

/* The adapter of a slot, or NULL. */
const struct adapter *lora_find(const struct lora *lora, const struct model *model,
                                const struct slot *slot);
struct view lora_a(const struct lora *lora, enum model_block which, const struct adapter *adapter);
struct view lora_s(const struct lora *lora, enum model_block which, const struct adapter *adapter);

/* Numbers that are trained. */
int64_t lora_params(const struct lora *lora);

/* As optim_step, for A and B: the norm returned and clipped by is that of their gradients. */
double lora_step(struct model *model, const struct optim_options *options, double lr, int64_t step);

/* As optim_begin. */
void lora_begin(struct model *model, const struct optim_options *options, double lr, int64_t step);

/* W += S A of every adapter, in double, then drops them. */
void lora_merge(struct model *model);

#endif
