#ifndef TRAINER_LAYOUT_H
#define TRAINER_LAYOUT_H

#include <stddef.h>
#include "search/shape.h"
#include "search/base/error.h"

/*
 * The one place that knows which tensors a shape has, in which order, how large
 * they are and where they lie. Checkpoints, the optimizer, surgery, export and
 * the parameter count are loops over its slots.
 *
 * Two shapes are at work. The *capacity* (the source of a search) fixes home and
 * ld of every slot for good. The *current* shape fixes rows and cols: a removal
 * shrinks them in place and nothing is allocated again. Matrices that read the same
 * input (Q, K and V; gate and up) stay neighbours, so that one product can do them all:
 * when rows of the first pass a multiple, the next one's offset moves up behind it. Not
 * Q, K and V of a shape with biases of theirs, which lie in between.
 *
 *     layout_init(&layout, &source, be->multiple, err)
 *     layout_set_shape(&layout, &smaller, err)
 *
 * The same offsets serve weights, gradients and both moments, which are four
 * blocks of `n_floats` elements. Matrices are padded to a multiple in both
 * directions, so a backend may run at rounded-up widths without leaving a slot.
 */
enum slot_kind {
    SLOT_EMBED,
    SLOT_ATTN_NORM,
    SLOT_Q,
    SLOT_Q_BIAS,
    SLOT_K,
    SLOT_K_BIAS,
    SLOT_V,
    SLOT_V_BIAS,
    SLOT_O,
    SLOT_O_BIAS,
    SLOT_FFN_NORM,
    SLOT_GATE,
    SLOT_UP,
    SLOT_DOWN,
    SLOT_DOWN_BIAS,
    SLOT_FINAL_NORM,
    SLOT_HEAD, /* absent when tied */
    SLOT_KINDS
};

/* What an axis of a slot counts: nothing that can be removed, KV groups, query heads of KV
 * groups, FFN channels, or stem channels. */
enum slot_axis { AXIS_FIXED, AXIS_KV, AXIS_Q, AXIS_FFN, AXIS_STEM };

struct slot {
    char name[64]; /* Hugging Face's, for instance model.layers.3.mlp.up_proj.weight */
    enum slot_kind kind;
    int layer;      /* -1 outside the layers */
    int dims;       /* 2 for matrices; 1 for gains and biases, whose rows is 1 */
    int rows, cols; /* current */
    int ld;         /* of the capacity, rounded up */
    size_t offset;  /* in elements; at most `home` */
    size_t home;    /* the offset at the capacity */
    enum slot_axis row_axis, col_axis;
};

struct layout {
    struct shape capacity, current;
    struct slot *slot; /* in the order of Hugging Face's modules */
    int n_slots;
    size_t n_floats; /* elements of each of the four blocks, padding included */
    int multiple;    /* that rows and ld are padded to */
    int index[SHAPE_MAX_LAYERS][SLOT_KINDS]; /* slot numbers; -1 where there is none */
    int outside[SLOT_KINDS];                 /* the same for slots outside the layers */
};

/* E_INPUT when the shape is impossible. The current shape starts as the capacity. */
enum status layout_init(struct layout *layout, const struct shape *capacity, int multiple,
                        struct error *err);
void layout_release(struct layout *layout);

/* Sets rows, cols and offsets. E_INPUT when `current` differs from the capacity in more than hidden_size,
 * heads and ffn, or is larger anywhere. */
enum status layout_set_shape(struct layout *layout, const struct shape *current, struct error *err);

/* Rows that a slot keeps, those that round them up included. */
int layout_padded_rows(const struct layout *layout, const struct slot *slot);

/* The slot of a kind in a layer (-1 for those outside), or NULL when the shape has none. */
const struct slot *layout_slot(const struct layout *layout, enum slot_kind kind, int layer);

/* Where the slots of layer l start; those of a layer lie together. n_layers: where they end. */
size_t layout_layer_at(const struct layout *layout, int l);

/* Cuts the blocks into n runs of about equal numbers of elements at the capacity: run i goes from
 * layout_edge(i) to layout_edge(i + 1) and may be empty. No slot ever moves from one into another. */
size_t layout_edge(const struct layout *layout, int i, int n);

/* Elements of the largest matrix, matrices that read the same input being one. */
size_t layout_largest(const struct layout *layout);

/* By Hugging Face name; NULL when there is none. */
const struct slot *layout_find(const struct layout *layout, const char *name);

/* Sum over the slots of rows*cols; equals shape_params of the current shape. */
int64_t layout_params(const struct layout *layout);

/* How many rows or columns one unit takes on an axis at the current shape: head_dim on AXIS_KV,
 * that times the query heads of a KV head on AXIS_Q, 1 on AXIS_FFN and AXIS_STEM; 0 when fixed. */
int layout_span(const struct layout *layout, enum slot_axis axis, int layer);

#endif
