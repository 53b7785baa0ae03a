#ifndef SEARCH_SEARCH_H
#define SEARCH_SEARCH_H

#include "search/index_map.h"
#include "search/score.h"
#include "search/search_options.h"
#include "search/trajectory.h"

/*
 * A search in progress: which units are gone, which go next, and when. Pure: no files,
 * clocks, threads or weights; a decision depends on (source, options, seed, removals so
 * far, step, scores) and on nothing else.
 *
 * The rule (EfficientLLM-A, methods.md 1.5), scope uniform: in every layer the unit with
 * the least score; the score of a type is the mean of these over the layers; the type
 * with the least score loses one unit in every layer. Scope per_layer: the unit with the
 * least score anywhere goes. Scores are means per parameter, so that types compare. Ties
 * go to the earlier type, then the lower layer, then the lower source index.
 *
 * The trainer's loop:
 *
 *     search_open(&search, &shape, &options, seed, &err);
 *     search_init_scores(&search, &scores);
 *     while (!search_is_over(&search)) {
 *         train one step; if (search_counts(&search)) add its sums to the scores
 *         search_step(&search);
 *         while (search_decide(&search, &scores, &removal)) {
 *             surgery on weights and moments at removal.position
 *             report the removal; search_crossed() says which snapshots are due
 *         }
 *     }
 *
 * Resume: search_open with the same arguments, search_apply every removal in order,
 * search_seek to the step of the checkpoint. The state is then the same in every bit;
 * only the scores of a unit that had begun must come from the checkpoint (scores_get).
 *
 * Owns its index maps; search_close releases them.
 */
struct search {
    struct search_options options; /* schedule as it runs: fit_steps resolved into N and c */
    struct shape source, shape;
    uint64_t seed;
    struct index_map map;
    int64_t step;          /* steps done, the source's training included */
    int64_t spent;         /* credits of all removals */
    int ordinal;           /* removals so far */
    int64_t params_source; /* shape_params of source, */
    int64_t params_before; /* of the shape before the last removal, */
    int64_t params;        /* and of the shape now */
};

enum search_phase { SEARCH_SOURCE, SEARCH_WARMUP, SEARCH_PRUNE, SEARCH_OVER };

extern const char *const search_phase_names[]; /* "source", "warmup", "prune", "over" */

/* E_INPUT when source and options do not fit each other. */
enum status search_open(struct search *search, const struct shape *source,
                        const struct search_options *options, uint64_t seed, struct error *err);
void search_close(struct search *search);

/* An empty table for the current shape, as the options want it (head_unit, embedding). */
void search_init_scores(const struct search *search, struct scores *scores);

/* Where the step that comes next belongs. */
enum search_phase search_phase(const struct search *search);
bool search_is_over(const struct search *search);

/* Does the saliency of the step that comes next count? Only in units that end with a
 * choice; in all of them when scores are averaged by ema. */
bool search_counts(const struct search *search);

/* Just after search_step: did a unit of the schedule end, and is a choice to be made? For
 * criteria that need more than the sums in `scores` (statistics.h). */
bool search_unit_ended(const struct search *search);
bool search_choice_is_due(const struct search *search);

/* One optimizer step was done. */
void search_step(struct search *search);

/* Call after every search_step until it returns false. True: a removal was decided and
 * applied to this state and to the scores; it is in `out`. False: none (any more) is due
 * at this step; at the end of a unit the scores are cleared (or faded, criterion.ema) then. */
bool search_decide(struct search *search, struct scores *scores, struct removal *out);

/* Applies a removal decided earlier. E_CONFLICT when it cannot be the next one: wrong
 * ordinal, type, positions, source indices, shape, step or tokens; the state is then
 * as before. */
enum status search_apply(struct search *search, const struct removal *removal, struct error *err);

/* Sets the steps done. E_CONFLICT when it is before the last removal, or when a choice
 * was due before or at that step that the removals do not hold. */
enum status search_seek(struct search *search, int64_t step, struct error *err);

/* Tokens seen after `step` steps: step * tokens_per_step. */
int64_t search_tokens(const struct search *search);

/* The ratios asked for as snapshots that the last removal crossed: *first is the index of
 * the first in options.snapshots; returns how many (several when a removal is large). */
int search_crossed(const struct search *search, int *first);

/* Steps in all until the search ends, the source's training included: exact for
 * stop.steps and stop.tokens, else an estimate by a proportional descent from the current
 * shape. */
int64_t search_steps_planned(const struct search *search);

#endif
