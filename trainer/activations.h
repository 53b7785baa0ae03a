#ifndef TRAINER_ACTIVATIONS_H
#define TRAINER_ACTIVATIONS_H

#include "search/shape.h"
#include "trainer/backend.h"
#include "trainer/layout.h"

/*
 * Where everything that flows through the network lies, for one call with a
 * given (batch, time): views into three blocks, handed out in a fixed order at
 * the current widths. A smaller shape or batch never needs more than a larger
 * one, so blocks sized once for the capacity and the largest batch serve all.
 *
 * What a layer keeps for the way back depends on the mode:
 *
 *     KEEP_ALL     training: everything below is each layer's own
 *     KEEP_INPUTS  training with recomputation: x is each layer's own, the rest is shared
 *     KEEP_NONE    forward only: layers share all, x included
 *
 *     KEEP_OUTPUTS training where memory is cheaper than time (backend.h, keeps_outputs):
 *                  as KEEP_ALL, and the outputs of the two norms and of swiglu too
 *
 * In the other modes those outputs are scratch shared by the layers, computed again when they
 * are needed; gradients are scratch in every mode.
 *
 * With `lent`, what a layer keeps lies in the gradients of the layers below it, which are written
 * when it has been read for the last time, and so do the logits, as long as there is room. The
 * gradients are gone with the next forward then.
 */
enum activations_keep { KEEP_NONE, KEEP_INPUTS, KEEP_ALL, KEEP_OUTPUTS };

/* N = batch*time rows unless said otherwise. */
struct layer_views {
    struct view x;                   /* (N, C) the layer's input */
    struct view rstd_attn;           /* (1, N) */
    struct view q, k, v;             /* (N, H*D), (N, K*D) twice: side by side */
    struct view att, lse;            /* (N, H*D), (B*H, T) */
    struct view mid, rstd_ffn;       /* (N, C) after attention, (1, N) */
    struct view gate, up;            /* (N, F): side by side */
    struct view norm_attn, norm_ffn; /* (N, C), kept or the scratch that all share */
    struct view act;                 /* (N, F), kept or scratch */
    struct view d_act;               /* scratch (N, F); where act is scratch, act itself */
    struct view d_att;               /* scratch (N, H*D), in the place of d_act */
    struct view d_q, d_k, d_v;       /* scratch */
    struct view y;                   /* (N, C) the layer's output, the next one's x */
};

struct activations {
    int batch, time, rows;
    enum activations_keep keep;
    bool lent;                 /* gradients are written over */
    struct layer_views *layer; /* n_layers of them */
    struct view last;          /* (N, C) output of the last layer */
    struct view rstd_last;     /* (1, N) */
    struct view norm;          /* scratch (N, C): output of the last norm, or of any not kept */
    struct view d_x, d_norm;   /* scratch (N, C) */
    struct view logits;        /* scratch (rows of a chunk, V) */
    struct view losses;        /* (1, N) */
    struct view ids, targets;  /* (1, N) */
    struct view rope;          /* (T, D) */
};

struct activations_sizes {
    size_t activations, floats, ids; /* elements of each block */
};

/* Where they may lie, and for what calls at most. Blocks are NULL where only sizes matter. */
struct activations_room {
    struct block *activations, *floats, *ids;
    struct block *gradients;
    const struct layout *lent; /* of the gradients; NULL: nothing may lie there */
    int max_batch, max_time;
    enum activations_keep keep;
};

/* Lays out the views and returns how much of the first three blocks they cover. `layer` points to
 * shape->n_layers elements. The rotary table starts the floats block and covers max_time rows
 * in all calls, so it is written once. */
struct activations_sizes activations_place(struct activations *a, const struct shape *shape,
                                           const struct activations_room *room,
                                           const struct backend *be, int batch, int time);

#endif
