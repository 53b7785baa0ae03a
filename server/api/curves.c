#include <string.h>
#include "server/api/api.h"
#include "server/api/ask.h"
#include "server/api/rows.h"

/*
 * /v1/searches/{id}/metrics and /v1/runs/{id}/metrics
 *
 *     ?keys=loss,validation_loss&x=step|tokens|time&max_points=500
 *     {"x": "step", "series": [{"key": "loss", "points": [[1, 5.5], ...]}, ...]}
 *
 * Long curves are sampled evenly on the server: at most max_points steps, the first and the
 * last among them. Time is in seconds since 1970.
 */
#define X_OF(table)                                                                                \
    " case $2 when 'step' then " table ".step when 'tokens' then " table ".tokens"                 \
    " else extract(epoch from " table ".at) end"

#define POINTS(of)                                                                                 \
    "with j as (select job_id from " of ")"                                                        \
    " select 0 as which," X_OF(                                                                    \
        "m") "::float8 as x, m.loss, m.learning_rate, m.grad_norm,"                                \
             " m.tokens_per_second, m.params::float8, null::float8 as validation_loss"             \
             " from j cross join lateral metric_sample(j.job_id, $3) m"                            \
             " union all select 1," X_OF("v") "::float8, null, null, null, null, null, v.loss"     \
                                              " from j join validation v using (job_id)"           \
                                              " union all select 2, null, null, null, null, "      \
                                              "null, null, null from j order by which, x"

static const char search_points[] = POINTS("search where search_id = $1");
static const char run_points[] = POINTS("run where run_id = $1");

static const char *const keys[] = { "loss",   "learning_rate",   "grad_norm", "tokens_per_second",
                                    "params", "validation_loss", NULL };
enum { N_KEYS = 6, VALIDATION = 5, METRICS_BYTES = 32 * 1024 * 1024 };

struct wanted {
    const char *x;
    bool key[N_KEYS];
};

static void emit_points(const PGresult *rows, int key, struct emit *e)
{
    int which = key == VALIDATION ? 1 : 0, n = PQntuples(rows);
    emit_key(e, "points");
    emit_begin(e, '[');
    for (int i = 0; i < n; i++) {
        if (pg_int(rows, i, 0) != which || pg_null(rows, i, 2 + key)) continue;
        emit_begin(e, '[');
        rows_value(e, rows, i, 1);
        rows_value(e, rows, i, 2 + key);
        emit_end(e);
    }
    emit_end(e);
}

static void got(struct ask *ask, const PGresult *rows)
{
    const struct wanted *wanted = ask->data;
    struct buf out;
    struct emit e;
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    buf_init(&out, METRICS_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_kv_string(&e, "x", wanted->x);
    emit_key(&e, "series");
    emit_begin(&e, '[');
    for (int key = 0; key < N_KEYS; key++) {
        if (!wanted->key[key]) continue;
        emit_begin(&e, '{');
        emit_kv_string(&e, "key", keys[key]);
        emit_points(rows, key, &e);
        emit_end(&e);
    }
    emit_end(&e);
    emit_end(&e);
    reply_buf(ask->req, 200, &out);
}

static void complain(struct error *err, const char *name, const char *text)
{
    if (err->status) return;
    fail(err, E_INPUT, "%s", text);
    snprintf(err->pointer, sizeof err->pointer, "?%s", name);
}

static void read_keys(struct wanted *wanted, const char *text, struct error *err)
{
    while (text && *text) {
        size_t n = strcspn(text, ",");
        int key = 0;
        while (keys[key] && (strlen(keys[key]) != n || strncmp(keys[key], text, n))) key++;
        if (key == N_KEYS)
            complain(err, "keys",
                     "keys may be loss, learning_rate, grad_norm, tokens_per_second, params "
                     "and validation_loss, with commas between them");
        else
            wanted->key[key] = true;
        text += n + (text[n] == ',');
    }
}

static void metrics(struct request *req, const char *sql, const char *prefix, const char *what)
{
    struct ask *ask = ask_new(req, sql, got);
    struct wanted *wanted = request_new(req, struct wanted);
    const char *x = request_query(req, "x"), *asked = request_query(req, "keys");
    ask->data = wanted;
    wanted->x = x ? x : "step";
    if (strcmp(wanted->x, "step") && strcmp(wanted->x, "tokens") && strcmp(wanted->x, "time"))
        complain(&ask->err, "x", "x must be step, tokens or time");
    read_keys(wanted, asked ? asked : "loss,validation_loss", &ask->err);
    ask_id(ask, prefix, what, request_param(req, "id"));
    ask_text(ask, wanted->x);
    ask_int(ask, request_query_int(req, "max_points", 2, 100000, 1000, &ask->err));
    if (ask->err.status || request_query_end(req)) ask_send(ask);
}

static void search_metrics(struct request *req) { metrics(req, search_points, "srch", "search"); }
static void run_metrics(struct request *req) { metrics(req, run_points, "run", "run"); }

static const struct route routes[] = {
    { .method = "GET",
      .path = "/v1/searches/{id}/metrics",
      .handle = search_metrics,
      .scope = SCOPE_READ,
      .operation = "getSearchMetrics",
      .summary = "Curves of a search" },
    { .method = "GET",
      .path = "/v1/runs/{id}/metrics",
      .handle = run_metrics,
      .scope = SCOPE_READ,
      .operation = "getRunMetrics",
      .summary = "Curves of a run" },
};

void curves_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
