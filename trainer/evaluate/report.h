#ifndef TRAINER_EVALUATE_REPORT_H
#define TRAINER_EVALUATE_REPORT_H

#include "trainer/evaluate/metrics.h"

/*
 * What an evaluation leaves behind, in the layout of lm-evaluation-harness.
 *
 *   results.json          {"results": {task: {"alias", "acc,none", "acc_stderr,none", ...}},
 *                          "group_subtasks", "configs", "versions", "n-shot", "higher_is_better",
 *                          "n-samples": {task: {"original", "effective"}}, "config": {"model", ...},
 *                          "date", "max_length", "task_hashes", "total_evaluation_time_seconds", ...}
 *   samples_<task>.jsonl  a line an item: {"doc_id", "doc", "target", "arguments": {"gen_args_0":
 *                          {"arg_0": context, "arg_1": continuation}}, "resps": [[["-12.3",
 *                          "False"]]], "filtered_resps", "doc_hash", "prompt_hash", "target_hash",
 *                          "acc", ...}
 */

/* One finished task. */
struct eval_result {
    const struct evaluate_task *task;
    int items, items_in_files;
    int n_files;
    char file_sha256[EVALUATE_MAX_FILES][HASH_HEX];
    struct eval_metrics metrics;
};

/* Who was asked. */
struct eval_subject {
    const char *model, *backend, *name;
    char model_sha256[HASH_HEX], tokenizer_sha256[HASH_HEX]; /* "": not known */
    int64_t params;
    int context, batch_tokens;
    uint64_t seed;
    double seconds; /* since the start of this attempt */
};

/* The members "task" to "file_sha256" of an event `evaluation`. */
void eval_result_emit(const struct eval_result *r, struct emit *e);

enum status eval_report_write(const char *dir, const struct eval_subject *s,
                              const struct eval_result *result, int n, struct error *err);

enum status eval_samples_write(const char *dir, const char *task, const struct eval_items *items,
                               const struct eval_requests *r, const struct eval_score *score,
                               const struct eval_answer *answer, struct error *err);

#endif
