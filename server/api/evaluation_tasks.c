#include "server/api/evaluation_tasks.h"

#include <string.h>

const char *const task_forms[] = { "pairs", "arc",     "hellaswag", "piqa",    "winogrande",
                                   "boolq", "lambada", "text",      "latency", NULL };

/* ---- reading ----------------------------------------------------------------------- */

static void read_name(struct tasks *tasks, struct field *f, int i)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    struct task *t = &tasks->task[i];
    t->name = field_string_or(f, "name", TASK_NAME_MAX, task_forms[t->form]);
    if (!t->name) return;
    if (!*t->name || t->name[strspn(t->name, plain)] || *t->name == '.')
        field_fail(f, "name", "must be of letters, digits and _ . -");
    for (int k = 0; k < i; k++)
        if (!strcmp(tasks->task[k].name, t->name))
            field_fail(f, "name", "%s is also the name of task %d", t->name, k);
}

static void add_upload(struct tasks *tasks, struct field *f, const char *key, const char *id,
                       const char *pointer)
{
    const char *number = id_number(id, "upl");
    if (!id) return;
    if (!number)
        field_fail(f, key, "must be an id such as upl_1, not \"%.60s\"", id);
    else if (tasks->n_uploads == FILES_MAX)
        field_fail(f, key, "is one too many: an evaluation reads at most %d files", FILES_MAX);
    else {
        tasks->pointer[tasks->n_uploads] = pointer;
        tasks->upload[tasks->n_uploads++] = number;
    }
}

static void read_files(struct tasks *tasks, struct request *req, struct field *f, int i)
{
    struct field list;
    struct task *t = &tasks->task[i];
    t->first = tasks->n_uploads;
    add_upload(tasks, f, "upload", field_string_or(f, "upload", 64, NULL),
               request_printf(req, "/tasks/%d/upload", i));
    size_t n = field_array(f, "uploads", TASK_FILES_MAX, &list);
    for (size_t k = 0; k < n; k++)
        add_upload(tasks, f, "uploads", field_item_string(&list, k, 64),
                   request_printf(req, "/tasks/%d/uploads/%zu", i, k));
    t->n_files = tasks->n_uploads - t->first;
    if (!t->n_files) field_fail(f, "upload", "is missing: the id of the task's file");
    t->limit = field_int_or(f, "limit", 0, INT64_C(1) << 40, 0);
}

static void read_task(struct tasks *tasks, struct request *req, struct field *f, int i)
{
    struct task *t = &tasks->task[i];
    t->form = (enum task_form)field_choice(f, "form", task_forms);
    read_name(tasks, f, i);
    if (t->form != TASK_LATENCY) {
        read_files(tasks, req, f, i);
    } else {
        t->prompt_tokens = (int)field_int_or(f, "prompt_tokens", 1, TASK_CONTEXT_MAX, 512);
        t->generate_tokens = (int)field_int_or(f, "generate_tokens", 1, TASK_CONTEXT_MAX, 128);
        t->repeats = (int)field_int_or(f, "repeats", 1, 1000, 5);
    }
    field_end(f);
}

void tasks_read(struct tasks *tasks, struct request *req, struct field *body)
{
    struct field list, f;
    tasks->n_uploads = 0;
    tasks->n = (int)field_array(body, "tasks", TASKS_MAX, &list);
    if (!tasks->n)
        field_fail(body, "tasks", "names no task: [{\"form\": \"arc\", \"upload\": ...}] does");
    for (int i = 0; i < tasks->n && field_item_object(&list, (size_t)i, &f); i++)
        read_task(tasks, req, &f, i);
}

bool tasks_are_latency(const struct tasks *tasks)
{
    for (int i = 0; i < tasks->n; i++)
        if (tasks->task[i].form != TASK_LATENCY) return false;
    return true;
}

/* ---- writing ----------------------------------------------------------------------- */

static void emit_files(const struct tasks *tasks, const struct task *t, const char *const *sha256,
                       struct emit *e)
{
    emit_key(e, sha256 ? "files" : "uploads");
    emit_begin(e, '[');
    for (int k = t->first; k < t->first + t->n_files; k++) {
        char id[64];
        if (sha256) {
            emit_begin(e, '{');
            emit_kv_string(e, "path", sha256[k]);
            emit_end(e);
        } else {
            snprintf(id, sizeof id, "upl_%s", tasks->upload[k]);
            emit_string(e, id);
        }
    }
    emit_end(e);
    emit_kv_int(e, "limit", t->limit);
}

void tasks_emit(const struct tasks *tasks, const char *const *sha256, struct emit *e)
{
    emit_key(e, "tasks");
    emit_begin(e, '[');
    for (int i = 0; i < tasks->n; i++) {
        const struct task *t = &tasks->task[i];
        emit_begin(e, '{');
        emit_kv_string(e, "name", t->name);
        emit_kv_string(e, "form", task_forms[t->form]);
        if (t->form != TASK_LATENCY) {
            emit_files(tasks, t, sha256, e);
        } else {
            emit_kv_int(e, "prompt_tokens", t->prompt_tokens);
            emit_kv_int(e, "generate_tokens", t->generate_tokens);
            emit_kv_int(e, "repeats", t->repeats);
        }
        emit_end(e);
    }
    emit_end(e);
}
