#ifndef TRAINER_JOB_EVALUATE_H
#define TRAINER_JOB_EVALUATE_H

#include "search/base/field.h"
#include "trainer/formats/file.h"

/*
 * What a job of kind evaluate adds to a job:
 *
 *     "model": {"path": "/folder or file.gguf"}, or {"shape": {...}} where all tasks measure latency
 *     "tokenizer": "/folder or file",   default: the model's own
 *     "context": 2048,                  tokens the model sees; at most what it was made for
 *     "batch_tokens": 8192,             tokens that are computed at once
 *     "tasks": [{"name": "arc_easy",    letters, digits and _ . - ; no two alike
 *                "form": "arc",
 *                "files": [{"path": "/ARC-Easy-Test.jsonl"}],
 *                "limit": 0},           items that count, from the first; 0: all
 *               {"name": "speed", "form": "latency",
 *                "prompt_tokens": 512, "generate_tokens": 128, "repeats": 5}]
 *
 * The forms (evaluate/task.h has the members of a file's lines):
 *
 *     pairs       prompts that are made already: {"choices": [{"context", "continuation"}], "gold"}
 *     arc, hellaswag, piqa, winogrande, boolq, lambada
 *                 the data set's own files; prompts and metrics as in lm-evaluation-harness
 *     text        perplexity of documents: JSON lines with a member "text", or a plain file
 *     latency     no files: how fast this machine reads and writes with a model of that shape
 *
 * What it tells: `start`; `progress` {"done", "total", "unit": "requests"}; one `evaluation` a
 * finished task,
 *
 *     {"task", "form", "items", "metrics": {...}, "file_sha256": ["...", one a file]}
 *
 *     pairs, arc, hellaswag, piqa      acc, acc_stderr, acc_norm, acc_norm_stderr
 *     winogrande, boolq                acc, acc_stderr
 *     lambada                          acc, acc_stderr, perplexity, perplexity_stderr
 *     text                             word_perplexity, byte_perplexity, bits_per_byte (over all
 *                                      documents, as the harness has them), token_perplexity,
 *                                      document_perplexity (every document counts alike)
 *     latency                          evaluate/latency.h
 *
 * then one `file` {"path", "bytes", "sha256"} a file below `result` and
 * `done` {"path": "result", "results": [the same objects]}. `result` holds results.json in the
 * harness's layout and samples_<task>.jsonl for every task with files.
 *
 * A job that is given again goes on after the last whole batch, with the same bits as if nothing
 * had happened, unless model, tokenizer, files or options have changed: then it starts afresh.
 */
enum evaluate_form {
    FORM_PAIRS,
    FORM_ARC,
    FORM_HELLASWAG,
    FORM_PIQA,
    FORM_WINOGRANDE,
    FORM_BOOLQ,
    FORM_LAMBADA,
    FORM_TEXT,
    FORM_LATENCY,
    EVALUATE_FORMS
};

extern const char *const evaluate_forms[]; /* for field_choice */

enum {
    EVALUATE_MAX_TASKS = 32,
    EVALUATE_MAX_FILES = 8, /* of a task */
    EVALUATE_TASK_NAME = 64,
    EVALUATE_MAX_CONTEXT = 131072
};

struct evaluate_task {
    char name[EVALUATE_TASK_NAME];
    enum evaluate_form form;
    int n_files;
    char (*file)[PATH_ROOM];
    int64_t limit;
    int prompt_tokens, generate_tokens, repeats;
};

struct job_evaluate {
    char tokenizer[PATH_ROOM]; /* "": the model's */
    int context, batch_tokens;
    int n_tasks;
    struct evaluate_task task[EVALUATE_MAX_TASKS];
};

/* Reads all but "model". The result is freed by job_evaluate_free whatever happened. */
struct job_evaluate *job_evaluate_read(struct field *root);
void job_evaluate_free(struct job_evaluate *evaluate); /* NULL is fine */

/* Does every task measure latency, so that no weights are needed? */
bool job_evaluate_is_latency(const struct job_evaluate *evaluate);

#endif
