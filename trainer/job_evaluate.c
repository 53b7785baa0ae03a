#include "trainer/job_evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/job_read.h"

const char *const evaluate_forms[] = { "pairs", "arc",     "hellaswag", "piqa",    "winogrande",
                                       "boolq", "lambada", "text",      "latency", NULL };

static void read_files(struct evaluate_task *task, struct field *f)
{
    struct field list, file;
    size_t n = field_array(f, "files", EVALUATE_MAX_FILES, &list);
    task->file = calloc(n + 1, sizeof *task->file);
    if (!task->file) abort();
    for (size_t i = 0; i < n && field_item_object(&list, i, &file); i++) {
        job_read_text(&file, "path", task->file[i], sizeof task->file[i]);
        task->n_files++;
        field_end(&file);
    }
    if (!n) field_fail(f, "files", "names no file");
}

static void read_name(struct evaluate_task *task, struct field *f)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    job_read_text(f, "name", task->name, sizeof task->name);
    if (task->name[strspn(task->name, plain)] || *task->name == '.')
        field_fail(f, "name", "is not a plain name of letters, digits and _ . -");
}

static void read_task(struct evaluate_task *task, struct field *f)
{
    read_name(task, f);
    task->form = (enum evaluate_form)field_choice(f, "form", evaluate_forms);
    if (task->form != FORM_LATENCY) {
        read_files(task, f);
        task->limit = field_int_or(f, "limit", 0, INT64_C(1) << 40, 0);
        return;
    }
    task->prompt_tokens = (int)field_int_or(f, "prompt_tokens", 1, EVALUATE_MAX_CONTEXT, 512);
    task->generate_tokens = (int)field_int_or(f, "generate_tokens", 1, EVALUATE_MAX_CONTEXT, 128);
    task->repeats = (int)field_int_or(f, "repeats", 1, 1000, 5);
}

static void read_tasks(struct job_evaluate *x, struct field *root)
{
    struct field list, f;
    size_t n = field_array(root, "tasks", EVALUATE_MAX_TASKS, &list);
    if (!n) field_fail(root, "tasks", "names no task");
    for (size_t i = 0; i < n && field_item_object(&list, i, &f); i++) {
        x->n_tasks++;
        read_task(&x->task[i], &f);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(x->task[k].name, x->task[i].name))
                field_fail(&f, "name", "is also the name of task %zu", k);
        field_end(&f);
    }
}

struct job_evaluate *job_evaluate_read(struct field *root)
{
    struct job_evaluate *x = calloc(1, sizeof *x);
    if (!x) abort();
    const char *tokenizer = field_string_or(root, "tokenizer", PATH_ROOM - 1, "");
    snprintf(x->tokenizer, sizeof x->tokenizer, "%s", tokenizer ? tokenizer : "");
    x->context = (int)field_int_or(root, "context", 1, EVALUATE_MAX_CONTEXT, 2048);
    x->batch_tokens = (int)field_int_or(root, "batch_tokens", 1, 1 << 20, 8192);
    read_tasks(x, root);
    return x;
}

void job_evaluate_free(struct job_evaluate *x)
{
    if (!x) return;
    for (int i = 0; i < x->n_tasks; i++) free(x->task[i].file);
    free(x);
}

bool job_evaluate_is_latency(const struct job_evaluate *x)
{
    for (int i = 0; i < x->n_tasks; i++)
        if (x->task[i].form != FORM_LATENCY) return false;
    return true;
}
