#include <string.h>
#include "server/api/api.h"
#include "server/api/ask.h"
#include "server/api/listing.h"
#include "server/app.h"
#include "server/http/beneath.h"

/*
 * /v1/artifacts: files that jobs made and people may fetch. They are named by number, never by
 * path; where one lies is a row of ours, opened beneath the folder of jobs without following
 * links. Content answers Range and If-None-Match: an artifact never changes.
 */
#define COLUMNS                                                                                    \
    "'art_' || a.artifact_id as id, a.subject as resource, a.name, a.bytes, a.sha256,"                      \
    " 'job_' || a.job_id as job, a.created_at"

static const char select_artifact[] = "select " COLUMNS " from artifact a where a.artifact_id = $1";
static struct listing artifacts = {
    .columns = COLUMNS,
    .from = "artifact a",
    .key = "a.artifact_id",
    .oldest_first = true,
    .filters = { { "resource", "a.subject = @" },
                 { "job", "a.job_id = @::bigint", .prefix = "job" },
                 { "name", "a.name = @" } },
};
static const char select_place[] =
    "select 'job_' || a.job_id || '/' || a.path, a.name from artifact a where a.artifact_id = $1";

static void artifact_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_artifact, ask_one);
    ask_id(ask, "art", "artifact", request_param(req, "id"));
    ask_send(ask);
}

static void artifact_list(struct request *req) { listing_send(req, &artifacts); }

static void got_place(struct ask *ask, const PGresult *rows)
{
    struct error err = { 0 };
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    const char *name = pg_text(rows, 0, 1);
    size_t n = strlen(name);
    bool json = n > 5 && !strcmp(name + n - 5, ".json");
    int fd = open_beneath(ask->req->app->jobs_dir, pg_text(rows, 0, 0), &err);
    if (fd < 0)
        reply_missing(ask->req, "file for artifact", ask->id);
    else
        reply_file(ask->req, fd, json ? "application/json" : "application/octet-stream",
                   request_strdup(ask->req, name), ask->id);
}

static void artifact_content(struct request *req)
{
    struct ask *ask = ask_new(req, select_place, got_place);
    ask_id(ask, "art", "artifact", request_param(req, "id"));
    ask_send(ask);
}

static const struct route routes[] = {
    { .method = "GET",
      .path = "/v1/artifacts",
      .handle = artifact_list,
      .scope = SCOPE_READ,
      .operation = "listArtifacts",
      .summary = "Files that jobs made" },
    { .method = "GET",
      .path = "/v1/artifacts/{id}",
      .handle = artifact_get,
      .scope = SCOPE_READ,
      .operation = "getArtifact",
      .summary = "What a file is" },
    { .method = "GET",
      .path = "/v1/artifacts/{id}/content",
      .handle = artifact_content,
      .scope = SCOPE_READ,
      .operation = "getArtifactContent",
      .summary = "The bytes of a file" },
};

void artifacts_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
