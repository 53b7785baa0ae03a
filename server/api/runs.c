#include "server/api/runs.h"

#include <string.h>
#include "server/api/action.h"
#include "server/api/api.h"
#include "server/api/create.h"
#include "server/api/estimate.h"
#include "server/api/origin.h"
#include "server/api/listing.h"

const char *const run_inits[] = { "inherit", "reinit", NULL };

#define COLUMNS                                                                                    \
    "'run_' || r.run_id as id, r.name, j.state, j.attempt, j.reason,"                              \
    " job_version(j) as _etag,"                                                                    \
    " 'arch_' || r.architecture_id as architecture, r.init, 'data_' || r.dataset_id as dataset,"   \
    " r.params, r.shape_hash, r.seed, r.budget_tokens as \"budget.tokens\", j.phase, j.step,"      \
    " j.tokens, j.tokens_planned, j.loss, j.validation_loss, j.tokens_per_second,"                 \
    " round((j.tokens_planned - j.tokens) / nullif(j.tokens_per_second, 0)) as eta_seconds,"       \
    " 'cmp_' || c.comparison_id as comparison, c.arm, 'job_' || r.job_id as job,"                  \
    " 'wrk_' || j.worker_id as worker, j.heartbeat_at, r.created_at, j.started_at, j.finished_at"

#define SPEC                                                                                       \
    ", r.shape, r.spec -> 'recipe' as recipe, r.spec -> 'validation' as validation,"               \
    " r.spec -> 'checkpoint' as checkpoint, r.spec -> 'backend' as backend,"                       \
    " r.spec -> 'threads' as threads, r.spec -> 'precision' as precision"

#define FROM "run r join job j using (job_id) left join comparison_arm c on c.run_id = r.run_id"

static const char select_run[] = "select " COLUMNS SPEC " from " FROM " where r.run_id = $1";
static const char *const init_words[] = { "inherit", "reinit", NULL };
static struct listing runs = {
    .columns = COLUMNS,
    .from = FROM,
    .key = "r.run_id",
    .filters = { { "state", "j.state = @::job_state", .words = job_states },
                 { "architecture", "r.architecture_id = @::bigint", .prefix = "arch" },
                 { "dataset", "r.dataset_id = @::bigint", .prefix = "data" },
                 { "comparison", "c.comparison_id = @::bigint", .prefix = "cmp" },
                 { "init", "r.init = @", .words = init_words },
                 { "shape_hash", "r.shape_hash = @" } },
};

static const struct creation creation = {
    .create = "select run_create($1::jsonb)",
    .select = select_run,
    .prefix = "run",
    .path = "/v1/runs",
};

static const struct action action = {
    .prefix = "run",
    .what = "run",
    .select = select_run,
    .ask = "select job_ask_seen(job_id, $2, $3::text[]) from run where run_id = $1",
};

void run_emit(const struct run_plan *run, struct emit *e)
{
    char hash[HASH_HEX];
    shape_hash(&run->shape, hash);
    emit_begin(e, '{');
    emit_kv_string(e, "name", run->name);
    emit_kv_string(e, "architecture_id", run->architecture);
    emit_kv_string(e, "init", run_inits[run->init]);
    emit_kv_string(e, "dataset_id", run->dataset);
    emit_kv_string(e, "shape_hash", hash);
    emit_kv_int(e, "params", shape_params(&run->shape));
    emit_kv_int(e, "seed", run->training.seed);
    emit_kv_int(e, "priority", run->training.priority);
    emit_kv_int(e, "budget_tokens", run->budget_tokens);
    emit_key(e, "shape");
    shape_emit(&run->shape, e);
    emit_key(e, "spec"), emit_begin(e, '{');
    training_emit(&run->training, e);
    emit_end(e);
    emit_key(e, "document"), emit_begin(e, '{');
    training_emit(&run->training, e);
    if (strcmp(run_inits[run->init], "inherit")) {
        emit_key(e, "model"), emit_begin(e, '{'), emit_key(e, "shape");
        shape_emit(&run->shape, e);
        emit_end(e);
    }
    emit_kv_int(e, "memory_bytes", estimate_memory(&run->shape, &run->training.recipe));
    emit_key(e, "budget"), emit_begin(e, '{');
    emit_kv_int(e, "tokens", run->budget_tokens);
    emit_end(e), emit_end(e), emit_end(e);
}

/* ---- creating ---------------------------------------------------------------------- */

struct brief {
    struct origin origin;
    struct run_plan run;
    bool has_shape, dry_run;
};

static void read_budget(struct field *body, int64_t *tokens)
{
    struct field budget;
    if (!field_object(body, "budget", &budget)) {
        field_fail(body, "budget", "is missing: {\"tokens\": how many to train on}");
        return;
    }
    *tokens = field_int(&budget, "tokens", 1, INT64_C(1) << 50);
    field_end(&budget);
}

/* All but what the architecture may have set before: recipe and its companions. */
static void read_who(struct brief *b, struct field *body)
{
    struct field shape;
    b->run.name = create_name(body, "run");
    b->run.architecture = create_id_or_null(body, "architecture", "arch");
    if (field_object(body, "shape", &shape)) {
        if (b->run.architecture)
            field_fail(body, "shape", "cannot be given together with an architecture");
        b->has_shape = true;
        shape_read(&b->run.shape, &shape);
    } else if (!b->run.architecture) {
        field_fail(body, "architecture",
                   "is missing, and so is shape: one of them says what to train");
    }
    b->run.dataset = create_id_or_null(body, "dataset", "data");
    if (!b->run.dataset && b->has_shape) field_fail(body, "dataset", "is missing");
    b->run.init = field_choice_or(body, "init", run_inits, 1);
    if (b->has_shape && b->run.init == 0) field_fail(body, "init", "inherit needs an architecture");
    read_budget(body, &b->run.budget_tokens);
}

static enum status read_all(struct brief *b, struct field *body)
{
    read_who(b, body);
    training_read(&b->run.training, body, true);
    if (b->run.init == 1)
        training_refuse_lora(&b->run.training, body, "trains beside given weights: init inherit");
    return field_end(body);
}

static void found(struct origin *origin)
{
    struct brief *b = origin->data;
    struct request *req = origin->req;
    struct error err;
    struct field body;
    struct buf object;
    struct emit e;
    if (!create_body(req, &body, &err)) return;
    if ((origin->recipe &&
         recipe_inherit(&b->run.training.recipe, origin->recipe, strlen(origin->recipe), &err)) ||
        read_all(b, &body)) {
        reply_invalid(req, &err);
        return;
    }
    if (origin->has_architecture) b->run.shape = origin->replay.shape;
    b->run.dataset = origin->data_id;
    if (b->run.init == 0 && !origin->has_weights) {
        origin_refuse_inherit(origin, "/architecture");
        return;
    }
    if (!origin_vocabulary_fits(origin, &b->run.shape)) return;
    if (b->dry_run) {
        estimate_run(req, &b->run.shape, b->run.budget_tokens, 1, &b->run.training);
        return;
    }
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    run_emit(&b->run, &e);
    create_send(req, &creation, &object);
}

static void run_create(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return;
    struct brief *b = request_new(req, struct brief);
    if (!create_dry_run(req, &b->dry_run)) return;
    training_init(&b->run.training, create_threads(req));
    if (read_all(b, &body)) {
        reply_invalid(req, &err);
        return;
    }
    training_init(&b->run.training, create_threads(req));
    b->origin = (struct origin){ .req = req,
                                 .architecture = b->run.architecture,
                                 .dataset = b->run.dataset,
                                 .found = found,
                                 .data = b };
    origin_find(&b->origin);
}

/* ---- showing ----------------------------------------------------------------------- */

static void run_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_run, ask_one);
    ask_id(ask, "run", "run", request_param(req, "id"));
    ask_send(ask);
}

static void run_list(struct request *req) { listing_send(req, &runs); }

static void run_cancel(struct request *req) { action_send(req, &action, "cancel"); }
static void run_pause(struct request *req) { action_send(req, &action, "pause"); }
static void run_resume(struct request *req) { action_send(req, &action, "run"); }

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/runs",
      .handle = run_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createRun",
      .summary = "Train an architecture or a shape" },
    { .method = "GET",
      .path = "/v1/runs",
      .handle = run_list,
      .scope = SCOPE_READ,
      .operation = "listRuns",
      .summary = "Runs, the newest first" },
    { .method = "GET",
      .path = "/v1/runs/{id}",
      .handle = run_get,
      .scope = SCOPE_READ,
      .operation = "getRun",
      .summary = "One run" },
    { .method = "POST",
      .path = "/v1/runs/{id}/cancel",
      .handle = run_cancel,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "cancelRun",
      .summary = "Stop a run for good",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/runs/{id}/pause",
      .handle = run_pause,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "pauseRun",
      .summary = "Stop a run at a checkpoint",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/runs/{id}/resume",
      .handle = run_resume,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "resumeRun",
      .summary = "Go on with a paused or failed run",
      .no_key = true },
};

void runs_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
