#include "server/api/searches.h"

#include "server/api/action.h"
#include "server/api/api.h"
#include "server/api/explain.h"
#include "server/api/listing.h"
#include "server/api/saliency.h"

#define COLUMNS                                                                                    \
    "'srch_' || s.search_id as id, s.name, j.state, j.attempt, j.reason,"                          \
    " 'data_' || s.dataset_id as dataset, 'mod_' || s.model_id as model,"                          \
    " s.params_source, coalesce(j.params, s.params_source) as params_now,"                         \
    " 1 - coalesce(j.params, s.params_source)::float8 / s.params_source as ratio,"                 \
    " j.phase, j.step, j.tokens, j.tokens_planned, j.loss, j.validation_loss,"                     \
    " j.tokens_per_second,"                                                                        \
    " round((j.tokens_planned - j.tokens) / nullif(j.tokens_per_second, 0)) as eta_seconds,"       \
    " job_version(j) as _etag, s.removals, 'job_' || s.job_id as job, 'wrk_' || j.worker_id as "   \
    "worker, j.heartbeat_at,"                                                                      \
    " s.created_at, j.started_at, j.finished_at"

#define SPEC                                                                                       \
    ", s.source_shape, s.source_hash, s.spec -> 'source' as source,"                               \
    " s.options -> 'space' as space, s.options -> 'criterion' as criterion,"                       \
    " s.options -> 'update' as update, s.options -> 'schedule' as schedule,"                       \
    " s.options -> 'stop' as stop, s.options -> 'snapshots' as snapshots,"                         \
    " s.spec -> 'recover' as recover, s.spec -> 'recipe' as recipe, s.spec -> 'validation' as validation,"                         \
    " s.spec -> 'checkpoint' as checkpoint, s.spec -> 'backend' as backend,"                       \
    " s.spec -> 'threads' as threads, s.seed"

#define FROM "search s join job j using (job_id)"

const char search_select[] = "select " COLUMNS SPEC " from " FROM " where s.search_id = $1";

static struct listing searches = { .columns = COLUMNS,
                                   .from = FROM,
                                   .key = "s.search_id",
                                   .filters = {
                                       { "state", "j.state = @::job_state", .words = job_states },
                                       { "dataset", "s.dataset_id = @::bigint", .prefix = "data" },
                                       { "model", "s.model_id = @::bigint", .prefix = "mod" },
                                       { "source", "s.source_hash = @" },
                                       { "name", "s.name = @" },
                                   } };

static const char list_trajectory[] =
    "select a.ordinal as _key, a.ordinal, a.step, a.tokens, a.type, a.unit, a.layer,"
    " a.positions as position, a.indices as index, a.min_heads as \"min_score.heads\","
    " a.min_ffn as \"min_score.ffn\", a.min_stem as \"min_score.stem\", a.runner_up, a.params,"
    " a.shape_hash, a.ratio, 'arch_' || a.architecture_id as architecture"
    " from architecture a"
    " where a.search_id = $3 and a.ordinal > greatest($1::bigint, 0) and a.ordinal >= $4"
    " and a.step >= $5 and a.step <= $6 and a.ordinal % $7 = 0"
    " order by a.ordinal limit $2";

static const struct action action = {
    .prefix = "srch",
    .what = "search",
    .select = search_select,
    .ask = "select job_ask_seen(job_id, $2, $3::text[]) from search where search_id = $1",
};

static void search_get(struct request *req)
{
    struct ask *ask = ask_new(req, search_select, ask_one);
    ask_id(ask, "srch", "search", request_param(req, "id"));
    ask_send(ask);
}

static void search_list(struct request *req) { listing_send(req, &searches); }

void search_trajectory(struct request *req)
{
    struct ask *ask = page_new(req, list_trajectory, "0");
    page_within(ask, "srch", "search", "select from search where search_id = $1");
    ask_int(ask, request_query_int(req, "from_ordinal", 0, INT32_MAX, 0, &ask->err));
    ask_int(ask, request_query_int(req, "from_step", 0, INT64_MAX, 0, &ask->err));
    ask_int(ask, request_query_int(req, "to_step", 0, INT64_MAX, INT64_MAX, &ask->err));
    ask_int(ask, request_query_int(req, "every", 1, INT32_MAX, 1, &ask->err));
    page_send(ask);
}

static void search_cancel(struct request *req) { action_send(req, &action, "cancel"); }
static void search_pause(struct request *req) { action_send(req, &action, "pause"); }
static void search_resume(struct request *req) { action_send(req, &action, "run"); }

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/searches",
      .handle = search_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createSearch",
      .summary = "Search for shapes" },
    { .method = "GET",
      .path = "/v1/searches",
      .handle = search_list,
      .scope = SCOPE_READ,
      .operation = "listSearches",
      .summary = "Searches, the newest first" },
    { .method = "GET",
      .path = "/v1/searches/{id}",
      .handle = search_get,
      .scope = SCOPE_READ,
      .operation = "getSearch",
      .summary = "One search" },
    { .method = "GET",
      .path = "/v1/searches/{id}/trajectory",
      .handle = search_trajectory,
      .scope = SCOPE_READ,
      .operation = "getTrajectory",
      .summary = "The removals of a search, in order" },
    { .method = "GET",
      .path = "/v1/searches/{id}/shapes",
      .handle = search_shapes,
      .scope = SCOPE_READ,
      .operation = "getShapes",
      .summary = "Shapes at several ratios, side by side" },
    { .method = "GET",
      .path = "/v1/searches/{id}/saliency",
      .handle = search_saliency,
      .scope = SCOPE_READ,
      .operation = "getSaliency",
      .summary = "The lowest score of every type over the trajectory" },
    { .method = "GET",
      .path = "/v1/searches/{id}/explain",
      .handle = search_explain,
      .scope = SCOPE_READ,
      .operation = "getExplanations",
      .summary = "Scores by layer and the layers' influence at every snapshot" },
    { .method = "GET",
      .path = "/v1/searches/{id}/stability",
      .handle = search_stability,
      .scope = SCOPE_READ,
      .operation = "getStability",
      .summary = "How much two searches agree at a ratio" },
    { .method = "POST",
      .path = "/v1/searches/{id}/fork",
      .handle = search_fork,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "forkSearch",
      .summary = "The same search again, with changes" },
    { .method = "POST",
      .path = "/v1/searches/{id}/cancel",
      .handle = search_cancel,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "cancelSearch",
      .summary = "Stop a search for good",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/searches/{id}/pause",
      .handle = search_pause,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "pauseSearch",
      .summary = "Stop a search at a checkpoint",
      .no_key = true },
    { .method = "POST",
      .path = "/v1/searches/{id}/resume",
      .handle = search_resume,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "resumeSearch",
      .summary = "Go on with a paused or failed search",
      .no_key = true },
};

void searches_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
