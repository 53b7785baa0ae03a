#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "search/base/arena.h"
#include "search/base/buf.h"
#include "search/base/error.h"
#include "server/http/router.h"
#include "server/pg/pg_query.h"

struct app;

/*
 * One HTTP request, from the last byte of its body until its reply is out and
 * nothing pending refers to it any more.
 *
 * A handler (struct route) is called once, on the loop, with the request whole:
 * routed, authorised, its body read. It replies exactly once, at once or later,
 * with one of the reply_ functions, or opens a stream (sse.h). To reply later it must
 * hold the request: request_send (a query) does so until its `done` has returned,
 * request_hold and request_release do it by hand. A request that nobody holds and
 * nobody answered is answered with 500 and logged: a bug of ours.
 *
 *     static void search_get(struct request *req)
 *     {
 *         struct ask *ask = request_new(req, struct ask);
 *         ask->params[0] = request_param(req, "id");
 *         ask->query = (struct pg_query){ .sql = select_search, .n_params = 1,
 *             .params = ask->params, .done = got, .data = req };
 *         request_send(req, &ask->query);
 *     }
 *     static void got(struct pg_query *query, PGresult *rows, const struct error *err)
 *     {
 *         struct request *req = query->data;
 *         if (err->status)            reply_error(req, err);
 *         else if (!PQntuples(rows))  reply_missing(req, "search", request_param(req, "id"));
 *         else                        reply_json(req, 200, pg_text(rows, 0, 0));
 *     }
 *
 * Memory: take it from the request (request_new, request_alloc); it is freed with it.
 * Strings returned below live as long as the request. When the client leaves early,
 * `gone` turns true and replies are dropped silently: no handler needs to ask.
 */
struct upload {
    char *path; /* a finished, fsynced file below uploads_dir; rename it away to keep it,
                   what is still there at the end of the request is unlinked */
    int64_t bytes;
    char sha256[65];
};

struct identity {
    char id[32]; /* "tok_3", or "tok_0" for the token of the data directory */
    char name[64];
    enum token_scope scope; /* what it may do */
};

struct request {
    struct app *app;
    const struct route *route;
    const char *method;         /* "GET" also when the client said HEAD */
    const char *path;           /* decoded once, no dot segments, no control characters, UTF-8 */
    const char *id;             /* request id, also in the reply's X-Request-Id */
    const struct identity *who; /* NULL on SCOPE_OPEN routes */
    const char *body;           /* BODY_JSON: NUL-terminated; otherwise NULL */
    size_t n_body;
    struct upload *upload; /* BODY_FILE: the file; otherwise NULL */
    struct arena arena;    /* ceiling 8 MiB */
    bool gone;             /* the client left; work for it may stop */
    bool replied;
    int pending; /* holds; the request lives while > 0 */
};

/* A part of the path ("id"), never NULL for a name in the route's template. */
const char *request_param(const struct request *req, const char *name);

/* A decoded member of the query string, or NULL. A name given twice is 400 before
 * the handler. A query name the handler never asks for is ignored, unless it calls
 * request_query_end after its last request_query: then it replies 400 and returns false. */
const char *request_query(struct request *req, const char *name);
bool request_query_end(struct request *req);

/* A query member as a number within bounds, or `otherwise` when absent. A wrong one
 * fills err (E_INPUT, pointer "?name"). */
int64_t request_query_int(struct request *req, const char *name, int64_t min, int64_t max,
                          int64_t otherwise, struct error *err);
double request_query_double(struct request *req, const char *name, double min, double max,
                            double otherwise, struct error *err);

/* A header by name without regard to case, or NULL. */
const char *request_header(struct request *req, const char *name);

/* Does this header (If-Match, If-None-Match) list `etag` (unquoted) or say "*"? A weak
 * tag counts as equal. False when the header is absent. */
bool request_etag_matches(struct request *req, const char *header, const char *etag);

/* The body as JSON, freed with the request; NULL with err filled (reply_error it). */
json_t *request_json(struct request *req, struct error *err);

/* Zeroed memory of the request; beyond the ceiling the program ends, so sizes that
 * depend on the outside are bounded by the caller. */
void *request_alloc(struct request *req, size_t count, size_t size);
#define request_new(req, type)      ((type *)request_alloc((req), 1, sizeof(type)))
#define request_new_n(req, type, n) ((type *)request_alloc((req), (n), sizeof(type)))
char *request_printf(struct request *req, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *request_strdup(struct request *req, const char *text);

/* Sends to app->pool (or app->slow) and holds the request until done has returned. */
void request_send(struct request *req, struct pg_query *query);
void request_send_slow(struct request *req, struct pg_query *query);

void request_hold(struct request *req);
void request_release(struct request *req);

/* ---- replies: exactly one of these per request ------------------------------------ */

/* Before the reply: one more header of it. Copied. */
void reply_header(struct request *req, const char *name, const char *value);

/* JSON text, copied. */
void reply_json(struct request *req, int status, const char *json);

/* JSON built in a buffer: takes its bytes, leaves it empty; a failed buffer gives 500. */
void reply_buf(struct request *req, int status, struct buf *json);

/* Anything else, copied. */
void reply_bytes(struct request *req, int status, const char *type, const void *bytes, size_t len);

/* No body: 204, 304. */
void reply_empty(struct request *req, int status);

/* problem+json of an error: E_INPUT 400, E_MISSING 404, E_CONFLICT 409, E_STALE 412, E_LIMIT 429,
 * E_BUSY 503 with Retry-After, E_CANCELLED 503, E_MEMORY 507, others 500 (logged with the
 * request id, and the text is not shown). `code` is status_name; errors[] has the pointer. */
void reply_error(struct request *req, const struct error *err);

/* The same for a body that was read but cannot be meant: E_INPUT is 422 here. */
void reply_invalid(struct request *req, const struct error *err);

/* problem+json with a status and code of your own. */
void reply_problem(struct request *req, int status, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* 404: "there is no <what> <id>". */
void reply_missing(struct request *req, const char *what, const char *id);

/* A file we own, from an open descriptor that the call takes over; answers Range and
 * If-None-Match by `etag` (unquoted text, or NULL), and sends Content-Disposition:
 * attachment with `name` when it is not NULL. */
void reply_file(struct request *req, int fd, const char *type, const char *name, const char *etag);

#endif
