#ifndef SEARCH_STATISTICS_H
#define SEARCH_STATISTICS_H

#include "search/channels.h"
#include "search/criterion.h"

/*
 * The statistics of one search, as the trainer collects them. Only the tables that the
 * criterion needs exist; the others are empty (block NULL).
 *
 *     statistics_init(&stats, &search.options.scoring, &search.shape, head_unit);
 *     each step that counts:
 *         add to unit[k], channel[k] for each k that is per step; steps += 1;
 *         tokens += tokens of the batch;
 *         statistics_step(&stats);
 *     search_step(&search);
 *     if (search_choice_is_due(&search)) {
 *         fill those that are taken now;
 *         statistics_score(&stats, &search, &scores);
 *     }
 *     while (search_decide(&search, &scores, &removal)) {
 *         surgery; statistics_remove(&stats, &removal);
 *     }
 *     if (search_unit_ended(&search)) statistics_fade(&stats, search.options.scoring.ema);
 *
 * The tables always fit `shape`, the current one. A checkpoint in mid-unit holds the tables
 * (scores_get, channels_get), steps, tokens and, for saap, the moments.
 */
struct statistics {
    const struct criterion *criterion;
    struct scoring scoring;
    struct shape shape;
    enum head_unit unit_of_heads;
    double steps, tokens;
    struct scores unit[STAT_UNITS];
    struct channels channel[STATISTICS - STAT_UNITS];
    /* saap: sums over steps of x and x^2, x being WG_LINE (0, 1) and MIX_ABS (2, 3) of that
     * step, each divided by its mean in the layer */
    struct scores moment[4];
};

void statistics_init(struct statistics *statistics, const struct scoring *scoring,
                     const struct shape *shape, enum head_unit unit);
void statistics_release(struct statistics *statistics);

static inline bool statistics_need(const struct statistics *statistics, enum statistic k)
{
    return k < STAT_UNITS ? statistics->unit[k].block != NULL
                          : statistics->channel[k - STAT_UNITS].block != NULL;
}

/* After every step whose numbers were added; does something for saap only. */
void statistics_step(struct statistics *statistics);

/* The scores of every unit now; the table fits the search's shape. */
void statistics_score(const struct statistics *statistics, const struct search *search,
                      struct scores *out);

/* Moves all tables along with a removal. */
void statistics_remove(struct statistics *statistics, const struct removal *removal);

/* The end of a unit of the schedule: multiplies all sums by `keep`. */
void statistics_fade(struct statistics *statistics, double keep);

#endif
