#include "server/api/architectures.h"

#include <string.h>
#include "server/api/api.h"
#include "server/api/page.h"
#include "server/api/rows.h"

#define LISTED                                                                                     \
    "'arch_' || a.architecture_id as id, 'srch_' || a.search_id as search, " ARCHITECTURE_COLUMNS

#define FILTERED                                                                                   \
    " and ($3::bigint is null or a.search_id = $3) and ($4::bigint is null or a.params >= $4)"     \
    " and ($5::bigint is null or a.params <= $5)"                                                  \
    " and ($6::boolean is null or (a.snapshot is not null) = $6)"

#define ALL " from architecture a join search s using (search_id) where "

/* One list per order, since a keyset is an order; of one search they go by its ordinals. */
static const char list_by_id[] =
    "select a.architecture_id as _key, " LISTED ALL "a.architecture_id > $1" FILTERED
    " order by a.architecture_id limit $2";
static const char list_by_id_down[] =
    "select a.architecture_id as _key, " LISTED ALL "a.architecture_id < $1" FILTERED
    " order by a.architecture_id desc limit $2";
#define PLACE "(split_part($1, ':', 1)::bigint, split_part($1, ':', 2)::bigint)"
static const char list_by_params[] =
    "select a.params || ':' || a.architecture_id as _key, " LISTED ALL
    "(a.params, a.architecture_id) > " PLACE FILTERED
    " order by a.params, a.architecture_id limit $2";
static const char list_by_params_down[] =
    "select a.params || ':' || a.architecture_id as _key, " LISTED ALL
    "(a.params, a.architecture_id) < " PLACE FILTERED
    " order by a.params desc, a.architecture_id desc limit $2";

/* Of one search, where ids and ordinals go up together and parameters down. */
static const char list_by_ordinal[] =
    "select a.ordinal as _key, " LISTED ALL "a.ordinal > $1::bigint" FILTERED
    " order by a.ordinal limit $2";
static const char list_by_ordinal_down[] =
    "select a.ordinal as _key, " LISTED ALL "a.ordinal < $1::bigint" FILTERED
    " order by a.ordinal desc limit $2";

/* The first architecture of each search that has lost this share. */
static const char list_at_ratio[] =
    "select s.search_id as _key, " LISTED " from search s cross join lateral"
    " (select * from architecture x where x.search_id = s.search_id and x.ratio >= $7::float8 - "
    "1e-9"
    "   and x.params <= s.params_source - $7::float8 * s.params_source"
    "   order by x.ratio, x.ordinal limit 1) a"
    " where s.search_id > $1" FILTERED " order by s.search_id limit $2";

static const char select_architecture[] =
    "select s.source_shape as _source, s.options as _options, " REPLAY_COUNTS(
        "a.search_id", "0",
        "a.ordinal") " as _counts, a.shape_hash as _hash, " LISTED
                     ", a.unit, a.layer, a.positions as position, a.indices as index,"
                     " a.min_heads as \"min_score.heads\", a.min_ffn as \"min_score.ffn\","
                     " a.min_stem as \"min_score.stem\", a.runner_up, a.snapshot_sha256, a.at as "
                     "created_at" ALL "a.architecture_id = $1";

enum { SOURCE, OPTIONS, COUNTS, HASH };

static const struct order {
    const char *name, *sql, *first;
    const char *sql_of_search, *first_of_search;
} orders[] = {
    { "id", list_by_id, "0", list_by_ordinal, "-1" },
    { "-id", list_by_id_down, PAGE_NEWEST, list_by_ordinal_down, PAGE_NEWEST },
    { "params", list_by_params, "0:0", list_by_ordinal_down, PAGE_NEWEST },
    { "-params", list_by_params_down, PAGE_NEWEST ":" PAGE_NEWEST, list_by_ordinal, "-1" },
};

enum { N_ORDERS = sizeof orders / sizeof *orders, ARCHITECTURE_BYTES = 1024 * 1024 };

static int order_of(const char *name)
{
    for (int i = 0; i < N_ORDERS; i++)
        if (!strcmp(orders[i].name, name)) return i;
    return -1;
}


static void add_bound(struct ask *ask, const char *name)
{
    int64_t bound = request_query_int(ask->req, name, 0, INT64_MAX, -1, &ask->err);
    if (bound < 0)
        ask_text(ask, NULL);
    else
        ask_int(ask, bound);
}

static void add_filters(struct ask *ask)
{
    struct request *req = ask->req;
    ask_filter_id(ask, "srch", "search");
    add_bound(ask, "min_params");
    add_bound(ask, "max_params");
    const char *weights = request_query(req, "weights");
    if (weights && strcmp(weights, "none") && strcmp(weights, "snapshot") && !ask->err.status) {
        fail(&ask->err, E_INPUT, "weights must be none or snapshot");
        strcpy(ask->err.pointer, "?weights");
    }
    ask_text(ask, weights ? (strcmp(weights, "none") ? "true" : "false") : NULL);
}

static void list_ratio(struct request *req)
{
    struct ask *ask = page_new(req, list_at_ratio, "0");
    add_filters(ask);
    ask_double(ask, request_query_double(req, "ratio", 0, 1, 0, &ask->err));
    page_send(ask);
}

static void architecture_list(struct request *req)
{
    const char *by = request_query(req, "order_by");
    int order = order_of(by ? by : "id");
    struct error err = { 0 };
    if (order < 0) {
        fail(&err, E_INPUT, "order_by must be id, -id, params or -params");
        strcpy(err.pointer, "?order_by");
        reply_error(req, &err);
    } else if (request_query(req, "ratio")) {
        list_ratio(req);
    } else {
        const struct order *o = &orders[order];
        struct ask *ask = request_query(req, "search")
                              ? page_new(req, o->sql_of_search, o->first_of_search)
                              : page_new(req, o->sql, o->first);
        add_filters(ask);
        page_send(ask);
    }
}

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
