#ifndef TRAINER_COLLECTOR_H
#define TRAINER_COLLECTOR_H

#include "search/search.h"
#include "search/statistics.h"
#include "trainer/bypass.h"
#include "trainer/compensation.h"
#include "trainer/obs.h"
#include "trainer/unit_sums.h"

/*
 * Collects what a search needs beyond the sums of |w g| that the optimizer takes on its
 * way (saliency.h): the statistics of other criteria, and what the updates `obs` and
 * `bias` need. Works in host memory on what it reads from the backend, weights and
 * gradients after the backward pass, activations while the forward runs; so it does the
 * same on every backend, at the price of these copies.
 *
 *     collector_begin(c);                a step that counts:
 *     forward, backward                  the inputs of matrices are seen
 *     collector_end(c, tokens);          before the optimizer: w and g are
 *     collector_look(c, &search, &batch) then, with the step's (last) batch: more forwards
 *     ...
 *     collector_score(c, &search, &scores, err);   when search_choice_is_due
 *     collector_remove(c, &removal, err);          before surgery: the update, all moves along
 *     collector_fade(c, keep);                     when search_unit_ended
 *
 * Of W2G2 and MIX_ABS a is g^2 of the whole batch. KEEP starts from Wanda-sp's scores of the
 * first step that counts.
 */
struct collector {
    struct model *model; /* borrowed */
    bool scores;         /* statistics make the scores; else only the Hessians are wanted */
    struct statistics statistics;
    struct obs *obs;                   /* NULL when neither statistic nor update needs it */
    struct bypass *bypass;             /* NULL when KEEP is not needed */
    struct compensation *compensation; /* NULL without update bias */
    bool updates;                      /* the weights are updated at removals */
    struct unit_sums sums;
    struct observer observer;
    float *mean;        /* WG_MEAN_ABS: sum over steps of w g, laid out as the weights; or NULL */
    float *w, *g, *x;   /* room for the largest tensor, and for the widest activations */
    struct scores step; /* WG_MAX: this step's */
};

/* What can be collected: 1u << enum statistic, each. */
unsigned collector_offers(void);

/* Does this search need one? Otherwise the optimizer's sums are all it needs. */
bool collector_is_needed(const struct search_options *options);

/* Does it look at activations? Those differ between the ranks that share a batch (ranks.h). */
bool collector_sees_inputs(const struct search_options *options);

/* Does it run the model between a backward and the optimizer's step (collector_look)? */
bool collector_runs_forward(const struct search_options *options);

/* For the model at the search's current shape. E_MEMORY. */
enum status collector_open(struct collector **out, struct model *model, const struct search *search,
                           struct error *err);
void collector_close(struct collector *c); /* NULL is fine */

void collector_begin(struct collector *c);
void collector_end(struct collector *c, int64_t tokens);
void collector_look(struct collector *c, const struct search *search,
                    const struct model_batch *batch);
enum status collector_score(struct collector *c, const struct search *search, struct scores *out,
                            struct error *err);
enum status collector_remove(struct collector *c, const struct removal *removal, struct error *err);
void collector_fade(struct collector *c, double keep);

/* All that was collected as one array of doubles, for a checkpoint: how many at the current
 * shape, get, and set. */
int64_t collector_count(struct collector *c);
void collector_get(struct collector *c, double *out);
void collector_set(struct collector *c, const double *in);

#endif
