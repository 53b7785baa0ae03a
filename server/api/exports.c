#include <string.h>
#include "server/api/action.h"
#include "server/api/api.h"
#include "server/api/create.h"
#include "server/api/deletion.h"
#include "server/api/export_sizes.h"
#include "server/api/listing.h"
#include "server/api/subject.h"

/*
 * /v1/exports: a model in the forms that others load, with proof beside each.
 *
 *     {"name": "...", "run": "run_3" or "architecture": "arch_9" or "model": "mod_1",
 *      "targets": [{"format": "gguf", "dtype": "q8_0"}, ...], "prompts": ["text", ...]}
 *
 * dtype is float32 when not said. Prompts are what logits are compared on; without them a few
 * English sentences. Target shape needs no weights. A dry run answers with sizes.
 */
enum { MAX_TARGETS = 16, MAX_PROMPTS = 64, MAX_PROMPT = 8192 };

#define COLUMNS                                                                                    \
    "'exp_' || x.export_id as id, x.name, j.state, j.attempt, j.reason, " SUBJECT_COLUMNS          \
    ", job_version(j) as _etag"                                                                    \
    ", export_targets(x.spec, j) as targets, j.result #> '{export,tokenizer}' as tokenizer,"       \
    " j.done_units as \"progress.done\", j.total_units as \"progress.total\","                     \
    " j.unit as \"progress.unit\", 'job_' || x.job_id as job, 'wrk_' || j.worker_id as worker,"    \
    " j.heartbeat_at, x.created_at, j.started_at, j.finished_at"

#define FROM "export x join job j using (job_id)"

static const char select_export[] =
    "select " COLUMNS ", x.spec -> 'prompts' as prompts from " FROM " where x.export_id = $1";
static struct listing exports = {
    .columns = COLUMNS,
    .from = FROM,
    .key = "x.export_id",
    .filters = { { "state", "j.state = @::job_state", .words = job_states }, SUBJECT_FILTERS },
};

static const struct creation creation = {
    .create = "select export_create($1::jsonb)",
    .select = select_export,
    .prefix = "exp",
    .path = "/v1/exports",
};

static const struct action action = {
    .prefix = "exp",
    .what = "export",
    .select = select_export,
    .ask = "select job_ask_seen(job_id, $2, $3::text[]) from export where export_id = $1",
};

struct target {
    enum export_format format;
    enum export_dtype dtype;
};

struct brief {
    struct subject subject;
    const char *name, *prompt[MAX_PROMPTS];
    int n_targets, n_prompts, priority;
    struct target target[MAX_TARGETS];
    bool dry_run;
};

/* ---- reading ----------------------------------------------------------------------- */

static void read_target(struct brief *b, struct field *f, int i)
{
    struct target *t = &b->target[i];
    t->format = (enum export_format)field_choice(f, "format", export_formats);
    t->dtype = (enum export_dtype)field_choice_or(f, "dtype", export_dtypes, DTYPE_FLOAT32);
    if (t->dtype >= DTYPE_Q8_0 && t->format != EXPORT_GGUF)
        field_fail(f, "dtype", "is for gguf; %s takes float32, float16 and bfloat16",
                   export_formats[t->format]);
    for (int k = 0; k < i; k++)
        if (b->target[k].format == t->format && b->target[k].dtype == t->dtype)
            field_fail(f, NULL, "is the same as target %d", k);
    field_end(f);
}

static void read_targets(struct brief *b, struct field *body)
{
    struct field list, f;
    b->n_targets = (int)field_array(body, "targets", MAX_TARGETS, &list);
    if (!b->n_targets)
        field_fail(body, "targets", "names no target: [{\"format\": \"hf\"}, ...] does");
    for (int i = 0; i < b->n_targets && field_item_object(&list, (size_t)i, &f); i++)
        read_target(b, &f, i);
}

static enum status read_body(struct brief *b, struct field *body)
{
    struct field list;
    b->name = create_name(body, "export");
    subject_read(&b->subject, body);
    read_targets(b, body);
    b->n_prompts = (int)field_array(body, "prompts", MAX_PROMPTS, &list);
    for (int i = 0; i < b->n_prompts; i++)
        b->prompt[i] = field_item_string(&list, (size_t)i, MAX_PROMPT);
    b->priority = (int)field_int_or(body, "priority", -100, 100, 0);
    return field_end(body);
}

static bool needs_weights(const struct brief *b)
{
    for (int i = 0; i < b->n_targets; i++)
        if (b->target[i].format != EXPORT_SHAPE) return true;
    return false;
}

/* ---- writing ----------------------------------------------------------------------- */

/* Proof holds a model and its copy at once, each number as a float32. */
static int64_t memory_of(const struct brief *b)
{
    int64_t most = 0, own = shape_params(&b->subject.shape);
    for (int i = 0; i < b->n_targets && needs_weights(b); i++) {
        struct shape stored;
        export_stored(&b->subject.shape, b->target[i].format, &stored);
        int64_t both = 4 * (own + shape_params(&stored));
        most = both > most ? both : most;
    }
    return most;
}

/* What is asked: kept as it is, and given to the trainer. */
static void emit_asked(const struct brief *b, struct emit *e)
{
    emit_key(e, "targets"), emit_begin(e, '[');
    for (int i = 0; i < b->n_targets; i++) {
        emit_begin(e, '{');
        emit_kv_string(e, "format", export_formats[b->target[i].format]);
        emit_kv_string(e, "dtype", export_dtypes[b->target[i].dtype]);
        emit_end(e);
    }
    emit_end(e);
    emit_key(e, "prompts"), emit_begin(e, '[');
    for (int i = 0; i < b->n_prompts; i++) emit_string(e, b->prompt[i]);
    emit_end(e);
}

static void emit_object(const struct brief *b, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "name", b->name);
    subject_emit(&b->subject, e);
    emit_kv_bool(e, "needs_weights", needs_weights(b));
    emit_kv_int(e, "priority", b->priority);
    emit_key(e, "spec"), emit_begin(e, '{');
    emit_asked(b, e);
    emit_end(e);
    emit_key(e, "document"), emit_begin(e, '{');
    emit_asked(b, e);
    emit_kv_int(e, "threads", create_threads(b->subject.req));
    emit_kv_int(e, "memory_bytes", memory_of(b));
    if (!needs_weights(b)) {
        emit_key(e, "model"), emit_begin(e, '{'), emit_key(e, "shape");
        shape_emit(&b->subject.shape, e);
        emit_end(e);
    }
    emit_end(e), emit_end(e);
}

static void emit_size(const struct brief *b, const struct target *t, struct emit *e)
{
    struct shape stored;
    export_stored(&b->subject.shape, t->format, &stored);
    int64_t params = shape_params(&b->subject.shape), padded = shape_params(&stored);
    emit_begin(e, '{');
    emit_kv_string(e, "format", export_formats[t->format]);
    emit_kv_string(e, "dtype", export_dtypes[t->dtype]);
    emit_kv_int(e, "params", params);
    emit_kv_int(e, "params_stored", padded);
    emit_kv_double(e, "overhead", (double)padded / (double)params - 1);
    emit_kv_int(e, "bytes", export_bytes(&stored, t->format, t->dtype));
    emit_end(e);
}

static void reply_sizes(const struct brief *b)
{
    struct buf out;
    struct emit e;
    int64_t sum = 0;
    buf_init(&out, 64 * 1024);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_kv_bool(&e, "dry_run", true);
    emit_key(&e, "targets"), emit_begin(&e, '[');
    for (int i = 0; i < b->n_targets; i++) {
        struct shape stored;
        export_stored(&b->subject.shape, b->target[i].format, &stored);
        sum += export_bytes(&stored, b->target[i].format, b->target[i].dtype);
        emit_size(b, &b->target[i], &e);
    }
    emit_end(&e);
    emit_kv_int(&e, "bytes", sum);
    emit_end(&e);
    reply_buf(b->subject.req, 200, &out);
}

/* ---- the handlers ------------------------------------------------------------------ */

static void found(struct subject *subject)
{
    struct brief *b = subject->data;
    struct buf object;
    struct emit e;
    if (needs_weights(b) && !subject->has_weights) {
        subject_refuse(subject);
        return;
    }
    if (b->dry_run) {
        reply_sizes(b);
        return;
    }
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    emit_object(b, &e);
    create_send(subject->req, &creation, &object);
}

static void export_create(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return;
    struct brief *b = request_new(req, struct brief);
    if (!create_dry_run(req, &b->dry_run)) return;
    if (read_body(b, &body)) {
        reply_invalid(req, &err);
        return;
    }
    b->subject.req = req;
    b->subject.found = found;
    b->subject.data = b;
    subject_find(&b->subject);
}

static void export_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_export, ask_one);
    ask_id(ask, "exp", "export", request_param(req, "id"));
    ask_send(ask);
}

static void export_list(struct request *req) { listing_send(req, &exports); }

static void export_cancel(struct request *req) { action_send(req, &action, "cancel"); }
static void export_pause(struct request *req) { action_send(req, &action, "pause"); }
static void export_resume(struct request *req) { action_send(req, &action, "run"); }

static const struct deletion deletion = { "exp", "export", "select export_delete($1, $2::text[])" };
static void export_delete(struct request *req) { deletion_send(req, &deletion); }

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/exports",
      .handle = export_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createExport",
      .summary = "Write a model in the forms that others load" },
    { .method = "GET",
      .path = "/v1/exports",
      .handle = export_list,
      .scope = SCOPE_READ,
      .operation = "listExports",
      .summary = "Exports, the newest first" },
    { .method = "GET",
      .path = "/v1/exports/{id}",
      .handle = export_get,
      .scope = SCOPE_READ,
      .operation = "getExport",
      .summary = "One export with its files and their proof" },
    { .method = "DELETE",
      .path = "/v1/exports/{id}",
      .handle = export_delete,
      .scope = SCOPE_WRITE,
      .operation = "deleteExport",
      .summary = "Forget an export and remove its files" },
    { .method = "POST",
      .path = "/v1/exports/{id}/cancel",
      .handle = export_cancel,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "cancelExport",
      .summary = "Stop an export for good",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/exports/{id}/pause",
      .handle = export_pause,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "pauseExport",
      .summary = "Stop an export; resuming it starts it over",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/exports/{id}/resume",
      .handle = export_resume,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "resumeExport",
      .summary = "Go on with a paused or failed export",
      .no_key = true },
};

void exports_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
