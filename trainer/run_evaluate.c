/* Kind evaluate: tasks one after the other, a journal in between. */
#include <stdlib.h>
#include <string.h>
#include "search/base/clock.h"
#include "trainer/evaluate/journal.h"
#include "trainer/evaluate/latency.h"
#include "trainer/evaluate/subject.h"
#include "trainer/model_folder.h"
#include "trainer/run.h"
#include "trainer/stop.h"

enum { MAX_FINGERPRINT = 1 << 20 };

/* One task of the job with all it asks. */
struct asked {
    const struct evaluate_task *task;
    struct eval_items items;
    struct eval_requests requests;
    struct eval_score *score;
    int known; /* answered before this attempt */
};

struct evaluation {
    const struct job *job;
    struct events *events;
    struct subject subject;
    struct journal *journal;
    int n, max_rows;
    struct asked *asked;
    struct eval_result *result;
    int64_t done, total, told; /* requests */
    char tmp[PATH_ROOM];
    double start; /* clock_seconds */
};

static bool is_latency(const struct asked *a) { return a->task->form == FORM_LATENCY; }

/* ---- telling --------------------------------------------------------------------------------- */

static void tell_start(const struct job *job, struct events *events)
{
    struct emit *e = event_begin(events, "start");
    emit_kv_string(e, "job_id", job->id);
    emit_kv_string(e, "kind", job_kind_names[job->kind]);
    event_end(events);
}

/* At most about a hundred times. */
static void tell_progress(struct evaluation *x, int64_t done)
{
    x->done += done;
    if (x->done < x->total && (x->done - x->told) * 100 < x->total) return;
    x->told = x->done;
    struct emit *e = event_begin(x->events, "progress");
    emit_kv_int(e, "done", x->done);
    emit_kv_int(e, "total", x->total);
    emit_kv_string(e, "unit", "requests");
    event_end(x->events);
}

static void tell_result(struct evaluation *x, const struct eval_result *r)
{
    eval_result_emit(r, event_begin(x->events, "evaluation"));
    event_end(x->events);
}

/* A file that is finished; checksums beside names let whoever fetches it know that it came whole.
 */
static enum status tell_file(struct evaluation *x, const char *dir, const char *name,
                             struct error *err)
{
    char path[PATH_ROOM], sha256[HASH_HEX];
    uint64_t size;
    TRY(path_join(path, dir, name, err));
    TRY(file_digest(path, &size, sha256, err));
    struct emit *e = event_begin(x->events, "file");
    snprintf(path, sizeof path, "result/%s", name);
    emit_kv_string(e, "path", path);
    emit_kv_int(e, "bytes", (int64_t)size);
    emit_kv_string(e, "sha256", sha256);
    event_end(x->events);
    return OK;
}

static enum status tell_files(struct evaluation *x, const char *dir, struct error *err)
{
    char name[EVALUATE_TASK_NAME + 32];
    TRY(tell_file(x, dir, "results.json", err));
    for (int i = 0; i < x->n; i++) {
        if (is_latency(&x->asked[i])) continue;
        snprintf(name, sizeof name, "samples_%s.jsonl", x->asked[i].task->name);
        TRY(tell_file(x, dir, name, err));
    }
    return OK;
}

static void tell_done(struct evaluation *x)
{
    struct emit *e = event_begin(x->events, "done");
    emit_kv_string(e, "path", "result");
    emit_key(e, "results");
    emit_begin(e, '[');
    for (int i = 0; i < x->n; i++) {
        emit_begin(e, '{');
        eval_result_emit(&x->result[i], e);
        emit_end(e);
    }
    emit_end(e);
    event_end(x->events);
}

/* ---- what is asked ------------------------------------------------------------------------- */

static enum status read_task(struct evaluation *x, struct asked *a, struct error *err)
{
    TRY(eval_items_read(&a->items, a->task, err));
    TRY(eval_requests_make(&a->requests, &a->items, &x->subject.encoding, err));
    a->score = calloc((size_t)a->requests.n + 1, sizeof *a->score);
    if (!a->score) abort();
    x->total += a->requests.n;
    return OK;
}

static enum status read_tasks(struct evaluation *x, struct error *err)
{
    const struct job_evaluate *job = x->job->evaluate;
    x->n = job->n_tasks;
    x->asked = calloc((size_t)x->n, sizeof *x->asked);
    x->result = calloc((size_t)x->n, sizeof *x->result);
    if (!x->asked || !x->result) abort();
    for (int i = 0; i < x->n; i++) {
        struct asked *a = &x->asked[i];
        a->task = &job->task[i];
        if (is_latency(a))
            x->total += a->task->repeats;
        else if (read_task(x, a, err))
            return fail_in(err, "tasks/%d", i);
    }
    return OK;
}

/* Rows of a batch: batch_tokens, no less than the longest request and no more than all take. */
static int rows_of(const struct evaluation *x)
{
    int64_t all = 0, longest = 1;
    for (int i = 0; i < x->n; i++)
        for (int k = 0; k < x->asked[i].requests.n; k++) {
            const struct eval_request *r = &x->asked[i].requests.request[k];
            int64_t rows = r->n_context + r->n - 1;
            all += rows;
            if (longest < rows) longest = rows;
        }
    int64_t most = x->job->evaluate->batch_tokens;
    if (most > all) most = all;
    return (int)(most > longest ? most : longest);
}

/* Everything that decides an answer. */
static void fingerprint(const struct evaluation *x, char out[HASH_HEX])
{
    const struct eval_subject *s = &x->subject.about;
    struct buf text;
    buf_init(&text, MAX_FINGERPRINT);
    buf_printf(&text, "%s %s %s %d %d\n", s->model_sha256, s->tokenizer_sha256, s->backend,
               s->context, x->max_rows);
    for (int i = 0; i < x->n; i++) {
        const struct asked *a = &x->asked[i];
        buf_printf(&text, "%s %d", evaluate_forms[a->task->form], a->items.n);
        for (int k = 0; k < a->items.n_files; k++) buf_printf(&text, " %s", a->items.sha256[k]);
        buf_putc(&text, '\n');
    }
    hash_hex(text.bytes, text.len, out);
    buf_release(&text);
}

static enum status open_journal(struct evaluation *x, struct error *err)
{
    char hash[HASH_HEX];
    fingerprint(x, hash);
    TRY(journal_open(&x->journal, x->job->work_dir, hash, err));
    for (int i = 0; i < x->n; i++) {
        struct asked *a = &x->asked[i];
        if (is_latency(a)) continue;
        a->known = journal_known(x->journal, i, a->requests.n, a->score);
        x->done += a->known;
    }
    return OK;
}

/* ---- answering ----------------------------------------------------------------------------- */

static enum status answer_batches(struct evaluation *x, int i, struct error *err)
{
    struct asked *a = &x->asked[i];
    struct subject *s = &x->subject;
    if (a->known == a->requests.n) return OK;
    TRY(subject_run_at(s, x->max_rows, 0, s->about.context, err));
    struct eval_scorer scorer = { s->packed, x->max_rows, s->shape.vocab_size, s->be->threads };
    for (int from = a->known, to; from < a->requests.n; from = to) {
        if (stop_wanted())
            return fail(err, E_CANCELLED, "stopped after request %d of task %s", from,
                        a->task->name);
        to = eval_score_batch(&scorer, &a->requests, from, a->score + from);
        TRY(journal_add(x->journal, i, from, to - from, a->score + from, err));
        tell_progress(x, to - from);
    }
    return OK;
}

static enum status answer_task(struct evaluation *x, int i, struct error *err)
{
    struct asked *a = &x->asked[i];
    struct eval_result *r = &x->result[i];
    TRY(answer_batches(x, i, err));
    struct eval_answer *answer = calloc((size_t)a->items.n, sizeof *answer);
    if (!answer) abort();
    eval_answers(answer, &a->items, &a->requests, a->score);
    r->items = a->items.n;
    r->items_in_files = a->items.n_in_files;
    r->n_files = a->items.n_files;
    memcpy(r->file_sha256, a->items.sha256, sizeof r->file_sha256);
    eval_metrics_of(&r->metrics, &a->items, &a->requests, answer);
    eval_samples_write(x->tmp, a->task->name, &a->items, &a->requests, a->score, answer, err);
    free(answer);
    return err->status;
}

/* ---- measuring ----------------------------------------------------------------------------- */

/* Random weights are written down for it first. */
static void ask_llama_bench(struct evaluation *x, const struct latency_plan *plan,
                            struct eval_metrics *m)
{
    struct subject *s = &x->subject;
    struct model_folder_extra extra = { NULL, s->about.context, -1 };
    struct error ignored = { 0 };
    struct weights *w = s->weights;
    char dir[PATH_ROOM], hash[HASH_HEX];
    if (!llama_bench_is_there()) return;
    if (!w && (path_join(dir, x->tmp, "random", &ignored) ||
               model_folder_write(s->model, dir, &extra, hash, &ignored) ||
               weights_open(&w, dir, &ignored)))
        return;
    llama_bench_measure(m, w, x->tmp, x->job->threads, plan);
    if (s->weights) return;
    weights_close(w);
    dir_remove(dir, &ignored);
}

static enum status measure_task(struct evaluation *x, int i, struct error *err)
{
    const struct evaluate_task *task = x->asked[i].task;
    struct subject *s = &x->subject;
    struct eval_result *r = &x->result[i];
    struct latency_plan plan = { task->prompt_tokens, task->generate_tokens, task->repeats,
                                 x->job->seed };
    int all = plan.prompt_tokens + plan.generate_tokens;
    TRY(subject_run_at(s, plan.prompt_tokens, all, all, err));
    TRY(latency_measure(&r->metrics, s->model, s->packed, &plan, err));
    ask_llama_bench(x, &plan, &r->metrics);
    r->items = r->items_in_files = plan.repeats;
    tell_progress(x, plan.repeats);
    return OK;
}

static enum status do_tasks(struct evaluation *x, struct error *err)
{
    x->told = -x->total; /* the first is told whatever it says */
    tell_progress(x, 0);
    for (int i = 0; i < x->n; i++) {
        x->result[i].task = x->asked[i].task;
        if (is_latency(&x->asked[i]) ? measure_task(x, i, err) : answer_task(x, i, err))
            return fail_in(err, "tasks/%d", i);
        tell_result(x, &x->result[i]);
    }
    return OK;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static enum status finish(struct evaluation *x, struct error *err)
{
    char result[PATH_ROOM];
    x->subject.about.seconds = clock_seconds() - x->start;
    TRY(eval_report_write(x->tmp, &x->subject.about, x->result, x->n, err));
    TRY(path_join(result, x->job->work_dir, "result", err));
    TRY(dir_commit(x->tmp, result, err));
    TRY(tell_files(x, result, err));
    tell_done(x);
    return OK;
}

static enum status evaluate(struct evaluation *x, struct error *err)
{
    TRY(subject_open(&x->subject, x->job, err));
    TRY(read_tasks(x, err));
    x->max_rows = rows_of(x);
    TRY(open_journal(x, err));
    TRY(path_join(x->tmp, x->job->work_dir, "result.tmp", err));
    TRY(dir_remove(x->tmp, err));
    TRY(dir_make(x->tmp, err));
    TRY(do_tasks(x, err));
    return finish(x, err);
}

enum status run_evaluate(const struct job *job, struct events *events, struct error *err)
{
    struct evaluation x = { .job = job, .events = events, .start = clock_seconds() };
    struct error ignored = { 0 };
    tell_start(job, events);
    if (evaluate(&x, err) && *x.tmp) dir_remove(x.tmp, &ignored);
    for (int i = 0; i < x.n && x.asked; i++) {
        eval_items_release(&x.asked[i].items);
        eval_requests_release(&x.asked[i].requests);
        free(x.asked[i].score);
    }
    free(x.asked);
    free(x.result);
    journal_close(x.journal);
    subject_close(&x.subject);
    return err->status;
}
