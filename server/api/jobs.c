#include <string.h>
#include "server/api/action.h"
#include "server/api/api.h"
#include "server/api/listing.h"

/* /v1/jobs and /v1/workers: the queue as it is, and who works on it. */

#define JOB_COLUMNS                                                                                \
    "'job_' || j.job_id as id, j.kind, j.subject as resource, j.state, j.wish, j.priority,"        \
    " job_version(j) as _etag, j.backend, j.attempt, j.failures, j.max_failures, 'wrk_' || "       \
    "j.worker_id as worker,"                                                                       \
    " j.leased_until, j.heartbeat_at, j.reason, j.error, j.step, j.tokens, j.tokens_planned,"      \
    " j.run_after, j.memory_bytes, j.external_id, case when j.state = 'queued' and not exists"     \
    " (select from worker w where w.seen_at > now() - interval '1 minute' and not w.draining"      \
    "   and worker_suits(w, j.backend, j.memory_bytes)) then 'a worker with backend ' || "         \
    "j.backend"                                                                                    \
    " || ' and ' || j.memory_bytes || ' bytes a slot' end as waits_for,"                           \
    " j.created_at, j.started_at, j.finished_at"

static const char select_job[] =
    "select " JOB_COLUMNS " from job j where j.job_id = $1 and j.subject <> ''";
static const char *const kinds[] = { "dataset", "import",   "search", "train",
                                     "export",  "evaluate", NULL };
static struct listing jobs = {
    .columns = JOB_COLUMNS,
    .from = "job j",
    .key = "j.job_id",
    .where = "j.subject <> ''",
    .filters = { { "state", "j.state = @::job_state", .words = job_states },
                 { "kind", "j.kind = @", .words = kinds },
                 { "worker", "j.worker_id = @::bigint", .prefix = "wrk" },
                 { "resource", "j.subject = @" } },
};

#define WORKER_COLUMNS                                                                             \
    "'wrk_' || w.worker_id as id, w.name, w.host, w.process, w.slots,"                             \
    " (select count(*) from job j where j.worker_id = w.worker_id and is_active(j.state)) as "     \
    "busy,"                                                                                        \
    " array_to_json(w.backends) as backends, w.memory_bytes, w.gpus, w.ranks, w.launch, "          \
    "w.draining, worker_version(w) as _etag, w.seen_at > now() - interval '1 minute'"                                          \
    " as alive, w.started_at, w.seen_at"

static const char select_worker[] =
    "select " WORKER_COLUMNS " from worker w where w.worker_id = $1";
static const char *const truths[] = { "true", "false", NULL };
static struct listing workers = {
    .columns = WORKER_COLUMNS,
    .from = "worker w",
    .key = "w.worker_id",
    .oldest_first = true,
    .filters = { { "alive", "(w.seen_at > now() - interval '1 minute') = @::boolean",
                   .words = truths },
                 { "draining", "w.draining = @::boolean", .words = truths } },
};

static const struct action job_action = {
    .prefix = "job",
    .what = "job",
    .select = select_job,
    .ask = "select job_ask_seen(job_id, $2, $3::text[]) from job where job_id = $1",
};

/* A draining worker takes no new jobs; what it works on goes on. */
static const struct action worker_action = {
    .prefix = "wrk",
    .what = "worker",
    .select = select_worker,
    .ask = "select worker_drain(worker_id, $2, $3::text[]) from worker where worker_id = $1",
};

static void job_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_job, ask_one);
    ask_id(ask, "job", "job", request_param(req, "id"));
    ask_send(ask);
}

static void job_list(struct request *req) { listing_send(req, &jobs); }

static void job_cancel(struct request *req) { action_send(req, &job_action, "cancel"); }

static void worker_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_worker, ask_one);
    ask_id(ask, "wrk", "worker", request_param(req, "id"));
    ask_send(ask);
}

static void worker_list(struct request *req) { listing_send(req, &workers); }
static void worker_drain(struct request *req) { action_send(req, &worker_action, "true"); }
static void worker_undrain(struct request *req) { action_send(req, &worker_action, "false"); }

static const struct route routes[] = {
    { .method = "GET",
      .path = "/v1/jobs",
      .handle = job_list,
      .scope = SCOPE_READ,
      .operation = "listJobs",
      .summary = "Jobs, the newest first" },
    { .method = "GET",
      .path = "/v1/jobs/{id}",
      .handle = job_get,
      .scope = SCOPE_READ,
      .operation = "getJob",
      .summary = "One job" },
    { .method = "POST",
      .path = "/v1/jobs/{id}/cancel",
      .handle = job_cancel,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "cancelJob",
      .summary = "Stop a job for good",
      .no_key = true },
    { .method = "GET",
      .path = "/v1/workers",
      .handle = worker_list,
      .scope = SCOPE_READ,
      .operation = "listWorkers",
      .summary = "Processes that run jobs" },
    { .method = "GET",
      .path = "/v1/workers/{id}",
      .handle = worker_get,
      .scope = SCOPE_READ,
      .operation = "getWorker",
      .summary = "One worker" },
    { .method = "POST",
      .path = "/v1/workers/{id}/drain",
      .handle = worker_drain,
      .scope = SCOPE_ADMIN,
      .body = BODY_JSON,
      .operation = "drainWorker",
      .summary = "Give a worker no new jobs",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/workers/{id}/undrain",
      .handle = worker_undrain,
      .scope = SCOPE_ADMIN,
      .body = BODY_JSON,
      .operation = "undrainWorker",
      .summary = "Give a drained worker jobs again",
      .no_key = true },
};

void jobs_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
