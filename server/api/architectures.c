#include "server/api/architectures.h"

#include "server/api/api.h"
#include "server/api/ask.h"
#include "server/api/rows.h"

static const char select_architecture[] =
    "select " REPLAY_SOURCE " as _source, " REPLAY_OPTIONS " as _options, " REPLAY_COUNTS(
        "a.search_id", "0",
        "a.ordinal") " as _counts, a.shape_hash as _hash, " ARCHITECTURE_LISTED
                     ", a.unit, a.layer, a.positions as position, a.indices as index,"
                     " a.min_heads as \"min_score.heads\", a.min_ffn as \"min_score.ffn\","
                     " a.min_stem as \"min_score.stem\", a.runner_up, a.snapshot_sha256, a.at as "
                     "created_at from architecture a left join search s using (search_id) where "
                     "a.architecture_id = $1";

enum { SOURCE, OPTIONS, COUNTS, HASH };

enum { ARCHITECTURE_BYTES = 1024 * 1024 };

void architecture_emit_shapes(const struct replay *replay, struct emit *e)
{
    struct human human;
    struct error err = { 0 };
    emit_key(e, "shape");
    shape_emit(&replay->shape, e);
    emit_key(e, "human_shape");
    if (human_shape(&replay->source, shape_params(&replay->shape), &human, &err))
        emit_null(e);
    else
        shape_emit(&human.shape, e);
}

static void got(struct ask *ask, const PGresult *rows)
{
    struct error err = { 0 };
    struct replay replay;
    struct buf out;
    struct emit e;
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    if (replay_open(&replay, pg_text(rows, 0, SOURCE), pg_text(rows, 0, OPTIONS), &err) ||
        replay_apply(&replay, pg_text(rows, 0, COUNTS), pg_text(rows, 0, HASH), &err)) {
        reply_error(ask->req, &err);
        return;
    }
    buf_init(&out, ARCHITECTURE_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    rows_members(&e, rows, 0);
    architecture_emit_shapes(&replay, &e);
    emit_end(&e);
    reply_buf(ask->req, 200, &out);
}

static void architecture_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_architecture, got);
    ask_id(ask, "arch", "architecture", request_param(req, "id"));
    ask_send(ask);
}

static const struct route routes[] = {
    { .method = "GET",
      .path = "/v1/architectures",
      .handle = architecture_list,
      .scope = SCOPE_READ,
      .operation = "listArchitectures",
      .summary = "Architectures of all searches" },
    { .method = "POST",
      .path = "/v1/architectures",
      .handle = architecture_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createArchitecture",
      .summary = "Bring in a shape from elsewhere" },
    { .method = "GET",
      .path = "/v1/architectures/{id}",
      .handle = architecture_get,
      .scope = SCOPE_READ,
      .operation = "getArchitecture",
      .summary = "One architecture with its shape" },
    { .method = "GET",
      .path = "/v1/architectures/{id}/config",
      .handle = architecture_config,
      .scope = SCOPE_READ,
      .operation = "getArchitectureConfig",
      .summary = "Its shape in the words of other programs" },
    { .method = "GET",
      .path = "/v1/architectures/{id}/diff",
      .handle = architecture_diff,
      .scope = SCOPE_READ,
      .operation = "diffArchitectures",
      .summary = "Where two architectures differ" },
};

void architectures_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
