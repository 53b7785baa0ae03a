#ifndef SEARCH_SCORE_H
#define SEARCH_SCORE_H

#include <stdbool.h>
#include <stdint.h>
#include "search/group.h"
#include "search/trajectory.h"

/*
 * The table of scores: for every unit a sum over its parameters, added up over steps,
 * in the order of memory (position). The trainer adds to it, search reads it.
 *
 *     heads[l][j]  j < kv_heads of layer l: the whole KV group (cut by query: j <
 *                  q_heads, the query head's part of Wq and Wo alone)
 *     ffn[l][j]    j < ffn of layer l
 *     stem[j]      j < hidden_size: over all layers, norms, embedding and head
 *
 * For the default criterion a sum is that of |w * g| over the unit's parameters, with
 * g the gradient of the mean loss per token over the whole batch, before clipping and
 * before the optimizer moves w. Whoever adds the sums of one step adds 1 to `weight`.
 * The score of a unit is sum / (params * weight): mean |w g| per parameter and step.
 * `params` are those of the shape that the sums were taken at, so that a removal in
 * between does not change the score of what remains.
 *
 * Invariant: the table fits the current shape of the search; search_decide moves it
 * along with every removal (group.h says how). Owns its memory.
 */
struct scores {
    enum head_unit unit;
    int n_layers;
    double weight;                       /* steps added, faded like the sums */
    int n_heads[SHAPE_MAX_LAYERS];       /* entries of heads[l] */
    int n_ffn[SHAPE_MAX_LAYERS], n_stem; /* entries of ffn[l], stem */
    int queries_per_kv[SHAPE_MAX_LAYERS];
    double *heads[SHAPE_MAX_LAYERS], *ffn[SHAPE_MAX_LAYERS], *stem;
    bool without_embedding; /* stem_params, and the stem's sums, leave embedding and head out */
    double *block;          /* what the pointers above point into: one allocation */
    /* parameters in one entry, at the shape that the sums were taken at */
    int64_t heads_params[SHAPE_MAX_LAYERS], ffn_params[SHAPE_MAX_LAYERS], stem_params;
};

/* All sums 0, for this shape. */
void scores_init(struct scores *scores, const struct shape *shape, enum head_unit unit);
void scores_release(struct scores *scores);

/* Is the embedding's column (and the head's) in the stem's scores? It is after scores_init. */
void scores_set_embedding(struct scores *scores, const struct shape *shape, bool in_stem);

/* Multiplies sums and weight by `keep` (0 clears) and takes the parameter counts of
 * the shape, which must be the one the table has come to. */
void scores_fade(struct scores *scores, const struct shape *shape, double keep);

/* Moves the entries as a removal moves the units; `before` is the shape before it. */
void scores_remove(struct scores *scores, const struct shape *before,
                   const struct removal *removal);

/* The arrays in one order: heads, ffn of layer 0, 1, ..., then the stem. */
int scores_arrays(const struct scores *scores);
double *scores_array(const struct scores *scores, int k, int *n);

/* All sums as one array of scores_count numbers, in that order, for a checkpoint: get, and set on a
 * table made for the same shape. */
int64_t scores_count(const struct scores *scores);
void scores_get(const struct scores *scores, double *out);
void scores_set(struct scores *scores, const double *in);

#endif
