#ifndef SEARCH_KEEP_H
#define SEARCH_KEEP_H

#include "search/score.h"

struct search;

/*
 * Keep probabilities that are learned from losses alone (Bypass back-propagation, methods.md
 * 13): one for each head unit and FFN channel of the layers that may lose some. In a step K
 * masks m_k are drawn, unit u being kept with probability s_u; the trainer says what the
 * loss L_k of the step's batch is with what mask k leaves out at zero; then
 *
 *     base = mean L                         the first time, afterwards
 *     base = 0.8 base + 0.2 mean L
 *     s   -= rate * sum_k (L_k - base) (m_k - s) / sqrt((s + 1e-7) (1 - s + 1e-7)) / (K - 1)
 *
 * and s is projected, heads and FFN each for itself over all layers: with v = 0, or the v for
 * which sum clip(s - v, 0, 1) is keep.rate times the source's units if that is less, s becomes
 * clip(s - v, 0, 1). At first s is what Wanda-sp's score x of the unit says:
 * sigmoid((x - mean) / deviation) over the type, shifted to a mean of keep.rate, clipped.
 *
 * Where we differ: the rate of learning is constant, since a search need not know its end;
 * units that go take their probability with them; and the source's units, not those left,
 * count, so that the probabilities approach 1 as the search comes to its end.
 *
 * Pure; owns its memory.
 */
struct keep_options {
    double rate;          /* 0: the share of the source's parameters that the stop leaves, or 0.5 */
    int masks;            /* K, 2..KEEP_MAX_MASKS */
    double learning_rate; /* default 0.002 */
};

enum { KEEP_MAX_MASKS = 16 };

struct keep {
    struct keep_options options;
    uint64_t seed;
    struct scores s; /* the stem's are not used */
    bool learns[2][SHAPE_MAX_LAYERS];
    int n_source[2]; /* entries in those layers of the source: heads, FFN channels */
    double baseline;
    bool started;
};

/* For the search's current shape, not started. */
void keep_init(struct keep *keep, const struct search *search);
void keep_release(struct keep *keep);

/* The first probabilities, from importances of the same units. */
void keep_start(struct keep *keep, const struct scores *importance);

/* Mask k of a step: 1 or 0 in every entry of heads and ffn, 1 where nothing is learned. `mask`
 * was made for the current shape. A function of (seed, step, k, probabilities). */
void keep_draw(const struct keep *keep, int64_t step, int k, struct scores *mask);

/* options.masks masks, and what the losses were. Uses up the first mask. */
void keep_learn(struct keep *keep, struct scores *mask, const double *loss);

/* Moves along with a removal; `before` is the shape before it. */
void keep_remove(struct keep *keep, const struct shape *before, const struct removal *removal);

#endif
