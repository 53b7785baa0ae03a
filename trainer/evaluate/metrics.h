#ifndef TRAINER_EVALUATE_METRICS_H
#define TRAINER_EVALUATE_METRICS_H

#include "search/base/emit.h"
#include "trainer/evaluate/score.h"

/*
 * From answers to numbers, as lm-evaluation-harness has them.
 *
 *   acc         share of items whose choice with the largest log-likelihood is the right one; the
 *               first of equals is chosen. lambada: whose every token is the likeliest
 *   acc_norm    the same with log-likelihood / letters of the choice (code points, without the
 *               space before it)
 *   _stderr     sample standard deviation (n - 1) / sqrt(n); nothing for one item
 *   perplexity  lambada: exp(- mean log-likelihood of the last word); its stderr is perplexity
 *               times that of the mean (the harness draws bootstrap samples instead)
 *   word_perplexity, byte_perplexity   exp(- sum of log-likelihoods / sum of words, bytes)
 *   bits_per_byte                      log2 of byte_perplexity
 *   token_perplexity                   the same by tokens of this model's tokenizer
 *   document_perplexity                exp(- mean over documents of log-likelihood / tokens)
 */
enum { EVAL_MAX_METRICS = 24 };

struct eval_metric {
    const char *name;
    double value; /* not a number: null */
    bool higher_is_better, is_stderr;
};

struct eval_metrics {
    int n;
    struct eval_metric at[EVAL_MAX_METRICS];
};

/* The answers of one item. */
struct eval_answer {
    int first, n;  /* requests */
    int pick, norm; /* the choices of acc and acc_norm */
    double log_likelihood; /* text: of the whole document */
    bool greedy;
};

/* Whole task; `score` has an element a request. `answer` has room for items->n. */
void eval_answers(struct eval_answer *answer, const struct eval_items *items,
                  const struct eval_requests *r, const struct eval_score *score);
void eval_metrics_of(struct eval_metrics *m, const struct eval_items *items,
                     const struct eval_requests *r, const struct eval_answer *answer);

void eval_metric_put(struct eval_metrics *m, const char *name, double value, bool higher_is_better);

/* Does the form have acc_norm? */
bool eval_has_norm(enum evaluate_form form);

/* One object: {"acc": 0.5, ...} with `suffix` behind every name. */
void eval_metrics_emit(const struct eval_metrics *m, const char *suffix, struct emit *e);

#endif
