#ifndef TRAINER_EVALUATE_SCORE_H
#define TRAINER_EVALUATE_SCORE_H

#include "trainer/evaluate/requests.h"
#include "trainer/packed.h"

/*
 * Answers requests in packed batches: requests of an item that see the same context share it, the
 * same continuation is computed once, and only rows that predict an asked token go through the LM
 * head. A batch is as many requests, in their order, as max_rows rows hold; where batches are cut
 * depends on nothing else, so that an evaluation that goes on after any batch has the same bits.
 */
struct eval_score {
    double log_likelihood; /* of the n tokens, nats */
    bool greedy;           /* is each of them the likeliest? The first of equals is. */
};

struct eval_scorer {
    struct packed *packed;
    int max_rows, vocab_size, threads;
};

/* Answers requests from..(what is returned)-1 into score[0]..; `from` < r->n. */
int eval_score_batch(const struct eval_scorer *s, const struct eval_requests *r, int from,
                     struct eval_score *score);

/* What is known of a row of logits: log of the sum of exponentials, the first of the largest. */
struct eval_row {
    double log_sum;
    int best;
};
struct eval_row eval_row_of(const float *logits, int n);

#endif
