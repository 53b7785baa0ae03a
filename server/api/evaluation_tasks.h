#ifndef SERVER_API_EVALUATION_TASKS_H
#define SERVER_API_EVALUATION_TASKS_H

#include "search/base/emit.h"
#include "search/base/field.h"
#include "server/api/files.h"

/*
 * The tasks of an evaluation, as a body says them:
 *
 *     "tasks": [{"name": "arc_easy", "form": "arc", "upload": "upl_3", "limit": 100},
 *               {"name": "piqa", "form": "piqa", "uploads": ["upl_4", "upl_5"]},
 *               {"form": "latency", "prompt_tokens": 512, "generate_tokens": 128, "repeats": 5}]
 *
 * What the forms are is said by trainer/job_evaluate.h. A name is what results and files are called
 * by; the form's where none is given. No two are alike. limit 0 (the default) is all items.
 */
enum { TASKS_MAX = 64, TASK_FILES_MAX = 16, TASK_NAME_MAX = 63, TASK_CONTEXT_MAX = 131072 };

enum task_form {
    TASK_PAIRS,
    TASK_ARC,
    TASK_HELLASWAG,
    TASK_PIQA,
    TASK_WINOGRANDE,
    TASK_BOOLQ,
    TASK_LAMBADA,
    TASK_TEXT,
    TASK_LATENCY,
};

extern const char *const task_forms[]; /* NULL-terminated, in the order above */

struct tasks {
    int n, n_uploads;
    struct task {
        const char *name;
        enum task_form form;
        int first, n_files; /* of `upload` */
        int64_t limit;
        int prompt_tokens, generate_tokens, repeats;
    } task[TASKS_MAX];
    const char *upload[FILES_MAX];  /* numbers */
    const char *pointer[FILES_MAX]; /* where the body names them */
};

/* `req` owns the pointers. */
void tasks_read(struct tasks *tasks, struct request *req, struct field *body);

/* Do all measure latency, so that no weights are needed? */
bool tasks_are_latency(const struct tasks *tasks);

/* Member "tasks": with upload ids (sha256 NULL), or the way the trainer takes them. */
void tasks_emit(const struct tasks *tasks, const char *const *sha256, struct emit *e);

#endif
