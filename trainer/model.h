#ifndef TRAINER_MODEL_H
#define TRAINER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "search/shape.h"
#include "trainer/backend.h"
#include "trainer/layout.h"

/*
 * A model: weights in one block, and, when it is to be trained, gradients and two
 * moments in three more of the same layout, activations in a fifth. Everything
 * is allocated by model_open and nothing afterwards, so "does not fit" is an
 * answer in the first second.
 *
 * The network is Llama's: embedding; per layer x += O attention(rope(q), rope(k), v)
 * of rmsnorm(x), x += down(silu(gate) * up) of rmsnorm(x); a last rmsnorm and the
 * LM head (the embedding again when tied). Every layer has its own number of
 * heads and FFN channels; head_dim * heads need not equal the hidden size; q, k
 * and v may have biases (qwen2). The mean of a norm is over the current hidden size.
 *
 * The capacity (layout.h) fixes what is allocated, the current shape what is
 * computed. Fields may be read by anybody; surgery and the functions here write.
 */
enum model_use {
    MODEL_FORWARD,
    MODEL_TRAIN, /* gradients, moments and activations to go back with */
    MODEL_ADAPT  /* only activations to go back with; what is trained comes beside (lora.h) */
};

struct model_options {
    int batch_size, sequence_length; /* the most a call may bring */
    enum model_use train;
    bool recompute; /* keep only each layer's input and compute the rest twice: about a third more
                       work for a fraction of the activations. Same bits either way. */
    bool lend_gradients; /* what is kept on the way forward may lie where gradients will be written
                            (activations.h), where the backend lends them: less memory at no
                            cost, same bits. Gradients are then gone with the next forward, and
                            cannot be added to */
    struct portion {
        int i, n;
    } moments; /* only the i-th of n runs (layout_edge) has its moments here, the others have them
                  with the other ranks (ZeRO's P_os, Rajbhandari et al., arXiv 1910.02054, 5.1);
                  n is 0 or 1: all of them */
};

struct model_bytes {
    size_t weights, grads, moments, activations, total;
};

/* What an observer is shown on the way forward: the inputs of matrices (x of Wo, x of Wdown, and
 * the outputs of the norms, 2 l, 2 l + 1 and 2 n_layers, in the order of search/channels.h), and
 * the residual stream that enters layer i (i = n_layers: that leaves the last one). */
enum model_place { PLACE_ATTENTION, PLACE_FFN, PLACE_NORM, PLACE_STREAM };

struct observer {
    void (*see)(void *user, enum model_place place, int i, struct view x);
    void *user;
};

enum model_block { MODEL_WEIGHTS, MODEL_GRADS, MODEL_M, MODEL_V, MODEL_BLOCKS };

struct model {
    struct backend *be; /* borrowed; must outlive the model */
    struct model_options options;
    struct layout layout;
    struct block *block[MODEL_BLOCKS];
    size_t *edge; /* of the runs of moments.n: one number more than there are */
    struct block *activations, *floats, *ids;
    struct model_bytes bytes;
    bool keeps_outputs;     /* as the backend likes, and memory allows */
    struct param *param;    /* one per slot, for the optimizer; follows the current shape */
    struct activations *at; /* where this call's activations lie (activations.h) */
    struct block *totals;   /* BLOCK_SUMS, as enum model_total says */
    struct model *teacher;  /* borrowed; NULL: none (model_set_teacher) */
    struct distill distill;
    double z_loss; /* model_gradient's loss has this times log^2 Z in it (backend.h); not with a
                      teacher */
    bool share;    /* model_gradient sums the gradients of all ranks (ranks.h); set for the last
                      micro-batch of a step */
    struct packed *packed;           /* NULL unless a packed.h is open on the model */
    bool spoilt;                     /* a forward has gone over the gradients that it had on loan */
    struct lora *lora;               /* NULL: no adapters (lora.h) */
    const struct observer *observer; /* NULL: nobody; borrowed. Forward only, remaking not */
};

/* What model_open would allocate, exactly, without allocating. */
enum status model_measure(struct model_bytes *out, const struct backend *be,
                          const struct shape *capacity, const struct model_options *options,
                          struct error *err);

/* Zero weights at shape `current` inside `capacity` (the same for a model that is not searched).
 * E_MEMORY names the bytes asked for in total; E_INPUT for a shape or size we cannot take. */
enum status model_open(struct model **out, struct backend *be, const struct shape *capacity,
                       const struct shape *current, const struct model_options *options,
                       struct error *err);
void model_close(struct model *model); /* NULL is fine */

const struct shape *model_shape(const struct model *model); /* the current one */

/* Changes the current shape without moving anything (surgery does that, or a checkpoint that is
 * about to be read). */
enum status model_set_shape(struct model *model, const struct shape *current, struct error *err);

/* Random weights from the seed, by init.h; moments zero. */
void model_init(struct model *model, uint64_t seed);

/* One tensor between a block and a dense (slot->rows, slot->cols) array. The slot is one of
 * model->layout.slot. */
void model_read(struct model *model, enum model_block which, const struct slot *slot, float *to);
void model_write(struct model *model, enum model_block which, const struct slot *slot,
                 const float *from);

/* The view of a slot in one of the blocks, which must keep it. */
struct view model_view(const struct model *model, enum model_block which, const struct slot *slot);

/* Are a slot's numbers in one of the blocks here? Moments may be with another rank: with the i-th
 * as model_owner says, 0 when each rank has all. */
bool model_keeps(const struct model *model, enum model_block which, const struct slot *slot);
int model_owner(const struct model *model, const struct slot *slot);
static inline bool model_shares_moments(const struct model *model)
{
    return model->options.moments.n > 1;
}

/* Where a block starts, in elements of the layout: not at 0 only when it is part of the moments. */
size_t model_block_at(const struct model *model, enum model_block which);

/* Lays out the activations of the calls that follow, at the current shape. */
void model_place(struct model *model, int batch, int time);

/* Token ids and, per position, the id to predict (negative: none), both (batch, time), row-major.
 * Every id must lie in 0..vocab_size-1 and every target below vocab_size (the caller checks its
 * data once; here it is asserted). */
struct model_batch {
    const int32_t *ids, *targets;
    int batch, time; /* at most the options' */
};

/* Forward only: the sum of the losses (nats) over positions with a target, and their number. */
double model_loss(struct model *model, const struct model_batch *batch, int64_t *n_targets);

/* Forward and backward of loss_scale * (sum of losses); with loss_scale = 1 / (targets in all
 * micro-batches) the gradients are those of the mean loss. `add` is false for the first
 * micro-batch of a step (gradients are written, not added to). Returns the unscaled sum of this and
 * of those that it was added to. */
double model_gradient(struct model *model, const struct model_batch *batch, double loss_scale,
                      bool add);

/* What one step leaves with the backend, so that nobody waits in the middle of it: model_gradient's
 * sum of losses, the sum of squares of the gradients that optim_step found, and what model_loss
 * saw meanwhile. */
enum model_total { MODEL_LOSS, MODEL_SQUARES, MODEL_SEEN, MODEL_TOTALS };

/* model_gradient that does not wait for the device; the sum is among model_totals. */
void model_gradient_begin(struct model *model, const struct model_batch *batch, double loss_scale,
                          bool add);

/* Both wait. */
void model_totals(struct model *model, double to[MODEL_TOTALS]);
double model_total(struct model *model, enum model_total which);

/* From now on model_gradient's loss is the mixture of backend.h's struct distill; model_loss stays
 * cross-entropy. The teacher is open on the same backend for batches of the same size, and
 * outlives the model. E_INPUT when the vocabularies differ or the backend cannot. */
enum status model_set_teacher(struct model *model, struct model *teacher, struct distill distill,
                              struct error *err);

/* E_INPUT when the backend cannot. */
enum status model_set_z_loss(struct model *model, double z, struct error *err);

static inline void model_show(const struct model *model, enum model_place place, int i,
                              struct view x)
{
    if (model->observer) model->observer->see(model->observer->user, place, i, x);
}

/* The logits of the batch, (batch*time, vocab_size), in host memory. For verify and tests. */
void model_logits(struct model *model, const struct model_batch *batch, float *to);

#endif
