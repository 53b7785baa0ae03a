#include "server/http/health.h"

#include <string.h>

#include "server/app.h"
#include "server/http/request.h"

static void livez(struct request *req) { reply_bytes(req, 200, "text/plain", "ok\n", 3); }

static const char ping[] = "select max(number) from migration";

static void on_ping(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct request *req = query->data;
    bool verbose = request_query(req, "verbose") != NULL, draining = req->app->draining;
    bool good = !err->status && !draining;
    const char *text = !good && !verbose ? "not ready\n" : "ok\n";
    if (verbose)
        text = request_printf(req, "[%s] database%s%s\n[%s] accepting\n%s\n",
                              err->status ? "-" : "+", err->status ? ": " : ", schema ",
                              err->status ? status_name(err->status) : pg_text(rows, 0, 0),
                              draining ? "-" : "+", good ? "ready" : "not ready");
    if (!good) reply_header(req, "Retry-After", "1");
    reply_bytes(req, good ? 200 : 503, "text/plain", text, strlen(text));
}

static void readyz(struct request *req)
{
    struct pg_query *query = request_new(req, struct pg_query);
    *query = (struct pg_query){ .sql = ping, .done = on_ping, .data = req };
    request_send(req, query);
}

static const struct route routes[] = {
    { "GET", "/livez", livez, .scope = SCOPE_OPEN, .operation = "getLivez",
      .summary = "Is the process alive?" },
    { "GET", "/readyz", readyz, .scope = SCOPE_OPEN, .operation = "getReadyz",
      .summary = "Would a request be served?" },
    { "GET", "/healthz", readyz, .scope = SCOPE_OPEN, .operation = "getHealthz",
      .summary = "/readyz by its old name" },
};

void health_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
