#include <string.h>
#include "server/api/action.h"
#include "server/api/api.h"
#include "server/api/create.h"
#include "server/api/deletion.h"
#include "server/api/evaluation_tasks.h"
#include "server/api/listing.h"
#include "server/api/recipe.h"
#include "server/api/subject.h"
#include "server/app.h"
#include "server/http/beneath.h"

/*
 * /v1/evaluations: scores of a model as the field has them, and how fast a shape is here.
 *
 *     {"name": "...", "run": "run_3" or "architecture": "arch_9" or "model": "mod_1",
 *      "tasks": [...],                 evaluation_tasks.h
 *      "context": 2048, "batch_tokens": 8192, "backend": "cpu", "threads": 2, "seed": 1}
 *
 * Where all tasks measure latency an architecture needs no weights: random ones of its shape take
 * the same time. context is what the model sees at most.
 */
#define COLUMNS                                                                                    \
    "'eval_' || x.evaluation_id as id, x.name, j.state, job_version(j) as _etag, j.attempt, "      \
    "j.reason, " SUBJECT_COLUMNS                                                                   \
    ", j.done_units as \"progress.done\", j.total_units as \"progress.total\","                    \
    " j.unit as \"progress.unit\", evaluation_results(x) as results,"                              \
    " 'job_' || x.job_id as job, 'wrk_' || j.worker_id as worker,"                                 \
    " j.heartbeat_at, x.created_at, j.started_at, j.finished_at"

#define SPEC                                                                                       \
    ", x.spec -> 'tasks' as tasks, x.spec -> 'context' as context,"                                \
    " x.spec -> 'batch_tokens' as batch_tokens, x.spec -> 'backend' as backend,"                   \
    " x.spec -> 'threads' as threads, x.spec -> 'seed' as seed, files_of_job(x.job_id) as files"

#define FROM "evaluation x join job j using (job_id)"

static const char select_evaluation[] =
    "select " COLUMNS SPEC " from " FROM " where x.evaluation_id = $1";
static struct listing evaluations = {
    .columns = COLUMNS,
    .from = FROM,
    .key = "x.evaluation_id",
    .filters = { { "state", "j.state = @::job_state", .words = job_states }, SUBJECT_FILTERS },
};
static const char select_report[] =
    "select j.state, 'job_' || j.job_id || '/' || a.path from " FROM
    " left join artifact a on a.job_id = j.job_id and a.path = 'result/results.json'"
    " where x.evaluation_id = $1";

static const struct creation creation = {
    .create = "select evaluation_create($1::jsonb)",
    .select = select_evaluation,
    .prefix = "eval",
    .path = "/v1/evaluations",
};

static const struct action action = {
    .prefix = "eval",
    .what = "evaluation",
    .select = select_evaluation,
    .ask = "select job_ask_seen(job_id, $2, $3::text[]) from evaluation where evaluation_id = $1",
};

struct brief {
    struct subject subject;
    struct tasks tasks;
    const char *name;
    int64_t context, batch_tokens, seed;
    int threads, priority, backend;
    bool dry_run;
};

/* ---- reading and writing ----------------------------------------------------------- */

static enum status read_body(struct brief *b, struct request *req, struct field *body)
{
    b->name = create_name(body, "evaluation");
    subject_read(&b->subject, body);
    tasks_read(&b->tasks, req, body);
    b->context = field_int_or(body, "context", 1, TASK_CONTEXT_MAX, 2048);
    b->batch_tokens = field_int_or(body, "batch_tokens", 1, 1 << 20, 8192);
    b->backend = field_choice_or(body, "backend", training_backends, 0);
    b->threads = (int)field_int_or(body, "threads", 1, 1024, create_threads(req));
    b->seed = field_int_or(body, "seed", 0, INT64_C(9007199254740991), 1);
    b->priority = (int)field_int_or(body, "priority", -100, 100, 0);
    return field_end(body);
}

static void emit_asked(const struct brief *b, const char *const *sha256, struct emit *e)
{
    tasks_emit(&b->tasks, sha256, e);
    emit_kv_int(e, "context", b->context);
    emit_kv_int(e, "batch_tokens", b->batch_tokens);
    emit_kv_string(e, "backend", training_backends[b->backend]);
    emit_kv_int(e, "threads", b->threads);
    emit_kv_int(e, "seed", b->seed);
}

static void emit_object(const struct brief *b, const char *const *sha256, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "name", b->name);
    subject_emit(&b->subject, e);
    emit_kv_bool(e, "needs_weights", b->subject.has_weights);
    emit_kv_int(e, "priority", b->priority);
    emit_key(e, "spec"), emit_begin(e, '{');
    emit_asked(b, NULL, e);
    emit_end(e);
    emit_key(e, "document"), emit_begin(e, '{');
    emit_asked(b, sha256, e);
    emit_kv_int(e, "memory_bytes", 4 * shape_params(&b->subject.shape));
    if (!b->subject.has_weights) {
        emit_key(e, "model"), emit_begin(e, '{'), emit_key(e, "shape");
        shape_emit(&b->subject.shape, e);
        emit_end(e);
    }
    emit_end(e), emit_end(e);
}

/* ---- creating ---------------------------------------------------------------------- */

static void reply_dry_run(const struct brief *b)
{
    struct buf out;
    struct emit e;
    buf_init(&out, 4096);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_kv_bool(&e, "dry_run", true);
    emit_kv_int(&e, "params", shape_params(&b->subject.shape));
    emit_kv_int(&e, "tasks", b->tasks.n);
    emit_kv_bool(&e, "random_weights", !b->subject.has_weights);
    emit_end(&e);
    reply_buf(b->subject.req, 200, &out);
}

static void found_files(struct request *req, const char *const *sha256, void *data)
{
    const struct brief *b = data;
    struct buf object;
    struct emit e;
    if (b->dry_run) {
        reply_dry_run(b);
        return;
    }
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    emit_object(b, sha256, &e);
    create_send(req, &creation, &object);
}

static void found(struct subject *subject)
{
    struct brief *b = subject->data;
    bool needs = !tasks_are_latency(&b->tasks) || subject->kind != SUBJECT_ARCHITECTURE;
    if (needs && !subject->has_weights)
        subject_refuse(subject);
    else
        files_find_at(subject->req, b->tasks.upload, b->tasks.pointer, b->tasks.n_uploads,
                      found_files, b);
}

static void evaluation_create(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return;
    struct brief *b = request_new(req, struct brief);
    if (!create_dry_run(req, &b->dry_run)) return;
    if (read_body(b, req, &body)) {
        reply_invalid(req, &err);
        return;
    }
    b->subject.req = req;
    b->subject.found = found;
    b->subject.data = b;
    subject_find(&b->subject);
}

/* ---- showing ----------------------------------------------------------------------- */

static void got_report(struct ask *ask, const PGresult *rows)
{
    struct error err = { 0 };
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    if (pg_null(rows, 0, 1)) {
        reply_problem(ask->req, 409, "conflict",
                      "%s is %s; its report is there once it has succeeded", ask->id,
                      pg_text(rows, 0, 0));
        return;
    }
    int fd = open_beneath(ask->req->app->jobs_dir, pg_text(rows, 0, 1), &err);
    if (fd < 0)
        reply_missing(ask->req, "report of", ask->id);
    else
        reply_file(ask->req, fd, "application/json", NULL, ask->id);
}

static void evaluation_get(struct request *req)
{
    const char *format = request_query(req, "format");
    bool harness = format && !strcmp(format, "lm_eval");
    struct ask *ask =
        ask_new(req, harness ? select_report : select_evaluation, harness ? got_report : ask_one);
    ask_id(ask, "eval", "evaluation", request_param(req, "id"));
    if (format && !harness && strcmp(format, "lathe")) {
        fail(&ask->err, E_INPUT, "format must be lathe or lm_eval");
        strcpy(ask->err.pointer, "?format");
    }
    if (ask->err.status || request_query_end(req)) ask_send(ask);
}

static void evaluation_list(struct request *req) { listing_send(req, &evaluations); }

static void evaluation_cancel(struct request *req) { action_send(req, &action, "cancel"); }
static void evaluation_pause(struct request *req) { action_send(req, &action, "pause"); }
static void evaluation_resume(struct request *req) { action_send(req, &action, "run"); }

static const struct deletion deletion = { "eval", "evaluation", "select evaluation_delete($1, $2::text[])" };
static void evaluation_delete(struct request *req) { deletion_send(req, &deletion); }

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/evaluations",
      .handle = evaluation_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createEvaluation",
      .summary = "Score a model on tasks, or measure how fast it is" },
    { .method = "GET",
      .path = "/v1/evaluations",
      .handle = evaluation_list,
      .scope = SCOPE_READ,
      .operation = "listEvaluations",
      .summary = "Evaluations, the newest first" },
    { .method = "GET",
      .path = "/v1/evaluations/{id}",
      .handle = evaluation_get,
      .scope = SCOPE_READ,
      .operation = "getEvaluation",
      .summary = "One evaluation with its results" },
    { .method = "DELETE",
      .path = "/v1/evaluations/{id}",
      .handle = evaluation_delete,
      .scope = SCOPE_WRITE,
      .operation = "deleteEvaluation",
      .summary = "Forget an evaluation, its scores and its files" },
    { .method = "POST",
      .path = "/v1/evaluations/{id}/cancel",
      .handle = evaluation_cancel,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "cancelEvaluation",
      .summary = "Stop an evaluation for good",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/evaluations/{id}/pause",
      .handle = evaluation_pause,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "pauseEvaluation",
      .summary = "Stop an evaluation after its last batch",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/evaluations/{id}/resume",
      .handle = evaluation_resume,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "resumeEvaluation",
      .summary = "Go on with a paused or failed evaluation",
      .no_key = true },
};

void evaluations_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
