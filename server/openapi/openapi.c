#include "server/openapi/openapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/hash.h"
#include "server/config.h"
#include "server/http/request.h"

static struct {
    const struct router *router;
    char *text;
    char etag[HASH_HEX];
} openapi;

static void get_document(struct request *req)
{
    reply_header(req, "ETag", request_printf(req, "\"%s\"", openapi.etag));
    reply_header(req, "Cache-Control", "no-cache");
    if (request_etag_matches(req, "If-None-Match", openapi.etag))
        reply_empty(req, 304);
    else
        reply_json(req, 200, openapi.text);
}

static bool wanted(const struct config *config) { return config->role_api; }

static void add_routes(struct router *router)
{
    static const struct route routes[] = {
        { "GET", "/v1/openapi.json", get_document, .scope = SCOPE_OPEN, .operation = "getOpenApi",
          .summary = "This document" },
    };
    openapi.router = router;
    router_add(router, routes, sizeof routes / sizeof *routes);
}

static enum status open_document(struct app *app, struct error *err)
{
    (void)app;
    json_t *document = openapi_build(openapi.router, err);
    if (!document) return err->status;
    openapi.text = json_dumps(document, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(document);
    if (!openapi.text) abort();
    hash_hex(openapi.text, strlen(openapi.text), openapi.etag);
    return OK;
}

const struct part openapi_part = {
    .name = "openapi", .wanted = wanted, .routes = add_routes, .open = open_document
};
