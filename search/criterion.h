#ifndef SEARCH_CRITERION_H
#define SEARCH_CRITERION_H

#include "search/scoring.h"

/*
 * A criterion turns statistics, which the trainer collects, into one raw number per unit,
 * which scoring.h then makes comparable. This page says which statistics there are and
 * which each criterion needs; the formulas are in criterion.c, one function each
 * (methods.md, sections 1, 2, 4, 8, 10, 13, 17).
 *
 * Statistics. w a weight, g the gradient of the mean loss per token over the whole batch,
 * before clipping; "per step" numbers are added up over steps, "now" numbers are those of
 * the weights when a choice is due and replace what was there.
 *
 *   of a unit (struct scores; over all parameters of the unit, norm gains and biases too)
 *     WG_ABS       per step  sum |w g|
 *     WG_MAX       per step  max |w g|
 *     WG_LINE      per step  sum over the unit's lines (rows or columns of single matrices,
 *                            single gains and biases) of |sum over the line of w g|
 *     W2G2         per step  sum w^2 a, with a = g^2, or the mean of g^2 over micro-batches
 *     MIX_ABS      per step  sum |w g - w^2 a / 2|
 *     WG_MEAN_ABS  now       sum |mean over the window of w g|
 *     W_ABS, W_SQ  now       sum |w|, sum w^2
 *     OBS          now       loss increase of the optimal removal (methods.md 1.5.2), summed
 *                            over the matrices that lose inputs
 *     KEEP         now       learned keep probability (keep.h); 0 for the stem
 *   of an input channel (struct channels; x its value, t over tokens, b over sequences)
 *     X_SUM, X_SQ  per step  sum_t x, sum_t x^2
 *     X_ABS_SQ     per step  sum_b (mean over the sequence of |x|)^2
 *     COL_ABS, COL_SQ  now   sum_r |W[r][c]|, sum_r W[r][c]^2 over the rows of all matrices
 *                            that read the channel (Wo, Wdown, or those of channels.h)
 *
 * When heads are cut by query, rows of Wk and Wv belong to no unit.
 */
enum statistic {
    STAT_WG_ABS,
    STAT_WG_MAX,
    STAT_WG_LINE,
    STAT_W2G2,
    STAT_MIX_ABS,
    STAT_WG_MEAN_ABS,
    STAT_W_ABS,
    STAT_W_SQ,
    STAT_OBS,
    STAT_KEEP,
    STAT_UNITS, /* those before are of a unit, those after of a channel */
    STAT_X_SUM = STAT_UNITS,
    STAT_X_SQ,
    STAT_X_ABS_SQ,
    STAT_COL_ABS,
    STAT_COL_SQ,
    STATISTICS,
};

/* "wg_abs", "wg_max", ... */
extern const char *const statistic_names[];

/* Is it added up over steps, or taken when a choice is due? */
bool statistic_is_per_step(enum statistic statistic);

struct statistics;
struct search;

struct criterion {
    const char *name;
    unsigned needs;           /* 1u << enum statistic, each */
    enum normalise normalise; /* unless somebody says otherwise */
    bool step_by_step;        /* statistics_step must be called after every step */
    bool every_step;          /* learns in all steps of warm-up and pruning, whatever is chosen */
    /* Fills the table, which fits the current shape of the search, with weight 1. */
    void (*score)(const struct statistics *statistics, const struct search *search,
                  struct scores *out);
};

/* random, magnitude_l1, magnitude_l2, param_first, vectorize, param_second, param_mix, fisher,
 * wanda_sp, flap, minitron, saap, obs, bypass (heads and FFN channels only: search_open
 * refuses it with the stem). NULL when there is none of that name. */
const struct criterion *criterion_find(const char *name);

/* All names, NULL at the end. */
extern const char *const criterion_names[];

/* What a scoring needs: the criterion's, but for the variants of param_first. */
unsigned scoring_needs(const struct scoring *scoring);

/* E_INPUT names what it needs beyond the statistics offered (1u << enum statistic, each). */
enum status scoring_check(const struct scoring *scoring, unsigned offered, struct error *err);

#endif
