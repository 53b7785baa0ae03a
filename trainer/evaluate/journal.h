#ifndef TRAINER_EVALUATE_JOURNAL_H
#define TRAINER_EVALUATE_JOURNAL_H

#include "search/base/hash.h"
#include "trainer/evaluate/score.h"

/*
 * What an evaluation has answered so far, so that it goes on where it was when it is given again:
 * work_dir/evaluate.journal, a line of JSON for what is evaluated and one for every batch,
 *
 *     {"schema": "lathe.evaluate/1", "fingerprint": "..."}
 *     {"task": 0, "from": 512, "log_likelihood": [...], "greedy": [...]}
 *
 * each on disk before the next batch starts. A journal with another fingerprint is overwritten; of
 * one that ends in the middle of a line, that line is dropped.
 */
struct journal;

/* `dir` exists. */
enum status journal_open(struct journal **out, const char *dir, const char fingerprint[HASH_HEX],
                         struct error *err);
void journal_close(struct journal *j); /* NULL is fine */

/* The answers of task `task` that are there: the first (returned) of n requests, into `score`. */
int journal_known(const struct journal *j, int task, int n, struct eval_score *score);

/* Answers from..from+n-1 of a task, on disk when it returns. */
enum status journal_add(struct journal *j, int task, int from, int n,
                        const struct eval_score *score, struct error *err);

#endif
