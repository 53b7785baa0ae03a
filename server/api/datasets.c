#include "server/api/datasets.h"

#include <string.h>
#include "server/api/api.h"
#include "server/api/listing.h"

#define COLUMNS                                                                                    \
    "'data_' || d.dataset_id as id, d.name, j.state, j.attempt, j.reason, d.tokenizer,"            \
    " job_version(j) as _etag,"                                                                    \
    " d.vocab_size, d.tokens, d.validation_tokens, d.documents, d.bytes, d.spec -> 'files' as "    \
    "files,"                                                                                       \
    " j.done_units as \"progress.done\", j.total_units as \"progress.total\", j.unit as "          \
    "\"progress.unit\","                                                                           \
    " 'job_' || j.job_id as job, d.created_at, j.started_at, j.finished_at"
#define FROM "dataset d join job j using (job_id)"

const char dataset_select[] = "select " COLUMNS " from " FROM " where d.dataset_id = $1";
static struct listing datasets = { .columns = COLUMNS,
                                   .from = FROM,
                                   .key = "d.dataset_id",
                                   .filters = {
                                       { "state", "j.state = @::job_state", .words = job_states },
                                       { "name", "d.name = @" },
                                   } };

/* What its job counted, domain by domain; 409 until it has. */
static const char select_stats[] =
    "select 'data_' || d.dataset_id as id, j.state as _state, d.tokens, d.validation_tokens, "
    "d.documents, d.bytes,"
    " round(d.bytes / nullif(d.tokens + d.validation_tokens, 0)::numeric, 4) as bytes_per_token,"
    " j.result #> '{dataset,tokenizer}' as tokenizer,"
    " (select jsonb_agg(jsonb_build_object('name', x ->> 'name', 'documents', x -> 'documents', "
    "'bytes', x -> 'bytes',"
    "     'tokens', x #> '{train,tokens}', 'validation_tokens', x #> '{valid,tokens}') order by n)"
    "   from jsonb_array_elements(j.result #> '{dataset,domains}') with ordinality e (x, n)) as "
    "domains"
    " from " FROM " where d.dataset_id = $1";

static void got_stats(struct ask *ask, const PGresult *rows)
{
    if (PQntuples(rows) && strcmp(pg_text(rows, 0, 1), "succeeded"))
        reply_problem(ask->req, 409, status_name(E_CONFLICT),
                      "%s is %s; it has been counted once it has succeeded", ask->id,
                      pg_text(rows, 0, 1));
    else
        ask_one(ask, rows);
}

static void dataset_stats(struct request *req)
{
    struct ask *ask = ask_new(req, select_stats, got_stats);
    ask_id(ask, "data", "data set", request_param(req, "id"));
    ask_send(ask);
}

static void dataset_get(struct request *req)
{
    struct ask *ask = ask_new(req, dataset_select, ask_one);
    ask_id(ask, "data", "data set", request_param(req, "id"));
    ask_send(ask);
}

static void dataset_list(struct request *req) { listing_send(req, &datasets); }

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/datasets",
      .handle = dataset_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createDataset",
      .summary = "Make a data set from files" },
    { .method = "GET",
      .path = "/v1/datasets",
      .handle = dataset_list,
      .scope = SCOPE_READ,
      .operation = "listDatasets",
      .summary = "Data sets, the newest first" },
    { .method = "GET",
      .path = "/v1/datasets/{id}",
      .handle = dataset_get,
      .scope = SCOPE_READ,
      .operation = "getDataset",
      .summary = "One data set" },
    { .method = "GET",
      .path = "/v1/datasets/{id}/stats",
      .handle = dataset_stats,
      .scope = SCOPE_READ,
      .operation = "getDatasetStats",
      .summary = "What is in it, domain by domain" },
};

void datasets_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
