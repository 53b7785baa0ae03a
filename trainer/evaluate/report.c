#include "trainer/evaluate/report.h"

#include <stdio.h>
#include <time.h>

enum { MAX_REPORT = 4 << 20 };

/* What the harness says of its own tasks. */
static const struct form {
    const char *output_type, *doc_to_text, *doc_to_target, *doc_to_choice;
    double version;
} forms[EVALUATE_FORMS] = {
    [FORM_PAIRS] = { "multiple_choice", "{{context}}", "gold", "{{continuation}}", 1 },
    [FORM_ARC] = { "multiple_choice", "Question: {{question}}\nAnswer:",
                   "{{choices.label.index(answerKey)}}", "{{choices.text}}", 1 },
    [FORM_HELLASWAG] = { "multiple_choice", "{{query}}", "{{label}}", "choices", 1 },
    [FORM_PIQA] = { "multiple_choice", "Question: {{goal}}\nAnswer:", "label", "{{[sol1, sol2]}}",
                    1 },
    [FORM_WINOGRANDE] = { "multiple_choice", "{{sentence up to _, option}}",
                          "{{sentence after _}}", "{{[option1, option2]}}", 1 },
    [FORM_BOOLQ] = { "multiple_choice", "{{passage}}\nQuestion: {{question}}?\nAnswer:", "label",
                     "[\"no\", \"yes\"]", 2 },
    [FORM_LAMBADA] = { "loglikelihood", "{{text.split(' ')[:-1]|join(' ')}}",
                       "{{' '+text.split(' ')[-1]}}", NULL, 1 },
    [FORM_TEXT] = { "loglikelihood_rolling", "", "{{text}}", NULL, 1 },
    [FORM_LATENCY] = { "latency", NULL, NULL, NULL, 1 },
};

static void emit_hashes(const struct eval_result *r, struct emit *e)
{
    emit_begin(e, '[');
    for (int i = 0; i < r->n_files; i++) emit_string(e, r->file_sha256[i]);
    emit_end(e);
}

void eval_result_emit(const struct eval_result *r, struct emit *e)
{
    emit_kv_string(e, "task", r->task->name);
    emit_kv_string(e, "form", evaluate_forms[r->task->form]);
    emit_kv_int(e, "items", r->items);
    emit_key(e, "metrics");
    eval_metrics_emit(&r->metrics, "", e);
    emit_key(e, "file_sha256");
    emit_hashes(r, e);
}

/* ---- results.json, member by member ------------------------------------------------------------- */

static void emit_result(const struct eval_result *r, struct emit *e)
{
    char name[64];
    emit_begin(e, '{');
    emit_kv_string(e, "alias", r->task->name);
    for (int i = 0; i < r->metrics.n; i++) {
        snprintf(name, sizeof name, "%s,none", r->metrics.at[i].name);
        emit_kv_double(e, name, r->metrics.at[i].value);
    }
    emit_end(e);
}

static void emit_no_subtasks(const struct eval_result *r, struct emit *e)
{
    (void)r;
    emit_begin(e, '[');
    emit_end(e);
}

static void emit_metric_list(const struct eval_result *r, struct emit *e)
{
    emit_key(e, "metric_list");
    emit_begin(e, '[');
    for (int i = 0; i < r->metrics.n; i++) {
        if (r->metrics.at[i].is_stderr) continue;
        emit_begin(e, '{');
        emit_kv_string(e, "metric", r->metrics.at[i].name);
        emit_kv_bool(e, "higher_is_better", r->metrics.at[i].higher_is_better);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_config(const struct eval_result *r, struct emit *e)
{
    const struct form *form = &forms[r->task->form];
    emit_begin(e, '{');
    emit_kv_string(e, "task", r->task->name);
    emit_kv_string(e, "form", evaluate_forms[r->task->form]);
    emit_kv_string(e, "output_type", form->output_type);
    emit_kv_string(e, "doc_to_text", form->doc_to_text);
    emit_kv_string(e, "doc_to_target", form->doc_to_target);
    if (form->doc_to_choice) emit_kv_string(e, "doc_to_choice", form->doc_to_choice);
    emit_kv_string(e, "target_delimiter", " ");
    emit_kv_string(e, "fewshot_delimiter", "\n\n");
    emit_kv_int(e, "num_fewshot", 0);
    emit_metric_list(r, e);
    emit_key(e, "file_sha256");
    emit_hashes(r, e);
    emit_key(e, "metadata");
    emit_begin(e, '{');
    emit_kv_double(e, "version", form->version);
    emit_end(e);
    emit_end(e);
}

static void emit_version(const struct eval_result *r, struct emit *e)
{
    emit_double(e, forms[r->task->form].version);
}

static void emit_no_shots(const struct eval_result *r, struct emit *e)
{
    (void)r;
    emit_int(e, 0);
}

static void emit_higher(const struct eval_result *r, struct emit *e)
{
    emit_begin(e, '{');
    for (int i = 0; i < r->metrics.n; i++)
        if (!r->metrics.at[i].is_stderr)
            emit_kv_bool(e, r->metrics.at[i].name, r->metrics.at[i].higher_is_better);
    emit_end(e);
}

static void emit_samples(const struct eval_result *r, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_int(e, "original", r->items_in_files);
    emit_kv_int(e, "effective", r->items);
    emit_end(e);
}

/* {task: what `one` says of it} */
static void emit_each(const char *key, const struct eval_result *result, int n, struct emit *e,
                      void (*one)(const struct eval_result *r, struct emit *e))
{
    emit_key(e, key);
    emit_begin(e, '{');
    for (int i = 0; i < n; i++) {
        emit_key(e, result[i].task->name);
        one(&result[i], e);
    }
    emit_end(e);
}

static void emit_subject(const struct eval_subject *s, struct emit *e)
{
    emit_key(e, "config");
    emit_begin(e, '{');
    emit_kv_string(e, "model", "lathe");
    emit_kv_string(e, "model_args", s->name);
    emit_kv_int(e, "model_num_parameters", s->params);
    emit_kv_string(e, "model_dtype", "float32");
    emit_kv_string(e, "model_sha256", *s->model_sha256 ? s->model_sha256 : NULL);
    emit_kv_string(e, "tokenizer_sha256", *s->tokenizer_sha256 ? s->tokenizer_sha256 : NULL);
    emit_kv_int(e, "batch_size", s->batch_tokens);
    emit_kv_string(e, "device", s->backend);
    emit_kv_int(e, "random_seed", (int64_t)s->seed);
    emit_end(e);
}

static void emit_time(const struct eval_subject *s, struct emit *e)
{
    char seconds[32];
    snprintf(seconds, sizeof seconds, "%.3f", s->seconds);
    emit_kv_int(e, "date", (int64_t)time(NULL));
    emit_kv_int(e, "max_length", s->context);
    emit_kv_string(e, "model_source", "lathe");
    emit_kv_string(e, "model_name", s->name);
    emit_kv_string(e, "lathe_version", LATHE_VERSION);
    emit_kv_string(e, "total_evaluation_time_seconds", seconds);
}

enum status eval_report_write(const char *dir, const struct eval_subject *s,
                              const struct eval_result *result, int n, struct error *err)
{
    char path[PATH_ROOM];
    struct buf text;
    struct emit e;
    TRY(path_join(path, dir, "results.json", err));
    buf_init(&text, MAX_REPORT);
    emit_init(&e, &text);
    emit_begin(&e, '{');
    emit_each("results", result, n, &e, emit_result);
    emit_each("group_subtasks", result, n, &e, emit_no_subtasks);
    emit_each("configs", result, n, &e, emit_config);
    emit_each("versions", result, n, &e, emit_version);
    emit_each("n-shot", result, n, &e, emit_no_shots);
    emit_each("higher_is_better", result, n, &e, emit_higher);
    emit_each("n-samples", result, n, &e, emit_samples);
    emit_subject(s, &e);
    emit_each("task_hashes", result, n, &e, emit_hashes);
    emit_time(s, &e);
    emit_end(&e);
    if (text.failed)
        fail(err, E_LIMIT, "results.json would have more than %d bytes", MAX_REPORT);
    else
        file_write(path, text.bytes, text.len, err);
    buf_release(&text);
    return err->status;
}
