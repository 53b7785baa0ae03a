#ifndef SERVER_HTTP_ROUTER_H
#define SERVER_HTTP_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;

/*
 * Which function answers which method and path.
 *
 *     static const struct route routes[] = {
 *         { "GET", "/v1/searches/{id}", search_get, .scope = SCOPE_READ },
 *         { "POST", "/v1/searches", search_create, .scope = SCOPE_WRITE, .body = BODY_JSON },
 *         { "POST", "/v1/uploads", upload_create, .scope = SCOPE_WRITE, .body = BODY_FILE },
 *     };
 *     router_add(router, routes, sizeof routes / sizeof *routes);
 *
 * A path is segments of plain text or one {name}; a name matches one non-empty
 * segment of at most ROUTER_MAX_SEGMENT bytes. Plain text wins over a name.
 * HEAD is answered by the GET route, OPTIONS and 405 with Allow by the router.
 * Two routes for the same method and path are a bug and abort.
 *
 * The table is not copied: it has static storage duration.
 *
 * Every route needs its words in the file <resource>.json beside the C file, under its
 * operation: what it takes and replies, in the short form of server/openapi/terms.h; see
 * server/openapi/openapi.h. lathed does not start, and server.test_openapi fails, while one
 * is missing. Tests in tests/e2e hold every reply they get against it.
 */
enum { ROUTER_MAX_PARAMS = 4, ROUTER_MAX_SEGMENT = 200 };

enum token_scope {
    SCOPE_UNSET, /* forgotten: router_add aborts */
    SCOPE_OPEN,  /* no token asked for: health and the dashboard's files */
    SCOPE_READ,
    SCOPE_WRITE, /* includes read */
    SCOPE_ADMIN, /* includes write */
};

/* What the route takes as body; any body for BODY_NONE is refused (an empty one is
 * fine). Refusals happen before the handler: 401, 403, 404, 405, 411, 413, 415. */
enum body {
    BODY_NONE,
    BODY_JSON, /* application/json, in memory; max_body. Empty reads as {} */
    BODY_FILE, /* application/octet-stream, straight to disk; max_upload. See struct upload */
};

struct route {
    const char *method;
    const char *path;
    void (*handle)(struct request *req);
    enum token_scope scope;
    enum body body;
    const char *operation; /* operationId in OpenAPI and label in metrics: "createSearch" */
    const char *summary;   /* one line for OpenAPI */
    bool no_key;           /* a POST that ignores Idempotency-Key (harmless to repeat) */
};

struct router;

struct router *router_new(void);
void router_free(struct router *router);
void router_add(struct router *router, const struct route *routes, size_t n);

struct route_match {
    const struct route *route;
    const char *name[ROUTER_MAX_PARAMS]; /* point into the template (not terminated) */
    size_t n_name[ROUTER_MAX_PARAMS];
    const char *value[ROUTER_MAX_PARAMS]; /* point into the path given */
    size_t n_value[ROUTER_MAX_PARAMS];
    int n_params;
    char allow[64]; /* methods of this path, when it exists but not for this method */
};

/* True with a route; false with `allow` filled (405) or empty (404). */
bool router_match(const struct router *router, const char *method, const char *path,
                  struct route_match *match);

/* Walks every route in the order added; for OpenAPI and tests. */
const struct route *router_route(const struct router *router, size_t i); /* NULL at the end */

#endif
