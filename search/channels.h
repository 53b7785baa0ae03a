#ifndef SEARCH_CHANNELS_H
#define SEARCH_CHANNELS_H

#include "search/trajectory.h"

/*
 * One number for every channel that a matrix reads, in the order of memory:
 *
 *     attention[l][c]  c < q_heads * head_dim: the input of Wo in layer l
 *     ffn[l][c]        c < ffn: the input of Wdown in layer l
 *     stem[k][c]       c < hidden_size: output k of the 2 L + 1 norms: 2 l is layer l's
 *                      norm before attention (read by Wq, Wk, Wv), 2 l + 1 the one before
 *                      the FFN (Wgate, Wup), 2 L the last one (the head)
 *
 * The grain at which criteria that look at activations work (criterion.h). Moves along
 * with removals like everything else (group.h). Owns its memory.
 */
enum { CHANNELS_MAX_NORMS = 2 * SHAPE_MAX_LAYERS + 1 };

struct channels {
    int n_layers, head_dim;
    int n_attention[SHAPE_MAX_LAYERS], n_ffn[SHAPE_MAX_LAYERS], n_stem;
    double *attention[SHAPE_MAX_LAYERS], *ffn[SHAPE_MAX_LAYERS], *stem[CHANNELS_MAX_NORMS];
    double *block; /* what the pointers above point into: one allocation */
};

/* All 0. */
void channels_init(struct channels *channels, const struct shape *shape);
void channels_release(struct channels *channels);

/* Multiplies everything by `keep`; 0 clears. */
void channels_fade(struct channels *channels, double keep);

/* Moves the entries as a removal moves the units; `before` is the shape before it. */
void channels_remove(struct channels *channels, const struct shape *before,
                     const struct removal *removal);

/* The inputs of Wo or Wdown of layer l (stem: of whatever reads a norm) that a removal of the
 * type takes, as channels above: how many. `gone` has room for as many as a layer has. */
int channels_gone(const struct removal *removal, const struct shape *before, int l, int *gone);

/* All numbers as one array of channels_count, for a checkpoint. */
int64_t channels_count(const struct channels *channels);
void channels_get(const struct channels *channels, double *out);
void channels_set(struct channels *channels, const double *in);

#endif
