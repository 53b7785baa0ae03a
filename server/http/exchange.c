#include "server/http/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "search/base/log.h"
#include "server/http/auth.h"
#include "server/http/guard.h"

enum { REQUEST_ARENA = 8 << 20 };

/* ---- birth and death -------------------------------------------------------------------- */

struct exchange *exchange_new(struct http *http, struct conn *conn, struct MHD_Connection *mhd)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) abort();
    x->http = http;
    http->n_exchanges++;
    x->conn = conn;
    x->mhd = mhd;
    x->started_at = uv_hrtime();
    x->req.app = http->options.app;
    x->req.id = x->id;
    x->req.method = x->req.path = "";
    list_init(&x->asked);
    arena_init(&x->req.arena, REQUEST_ARENA);
    buf_init(&x->body, (size_t)http->options.max_body);
    return x;
}

void exchange_settle(struct exchange *x)
{
    struct http *http = x->http;
    if (x->mhd || x->req.pending || x->stream) return;
    if (x->response) MHD_destroy_response(x->response);
    if (x->writer) upload_writer_free(x->writer);
    json_decref(x->json);
    buf_release(&x->body);
    arena_release(&x->req.arena);
    free(x);
    http->n_exchanges--;
    http_settle(http);
}

static void log_end(const struct exchange *x, bool complete)
{
    const char *who = x->req.who ? x->req.who->id : "-";
    double ms = (double)(uv_hrtime() - x->started_at) / 1e6;
    bool is_write =
        *x->req.method && strcmp(x->req.method, "GET") && strcmp(x->req.method, "OPTIONS");
    log_line(is_write ? LOG_INFO : LOG_DEBUG, "http: %s %s %d %.1f ms %s %s%s", x->req.method,
             x->req.path, x->status, ms, x->id, who, complete ? "" : " (cut off)");
}

void exchange_ended(struct exchange *x, bool complete)
{
    const struct http_gate *gate = x->http->options.gate;
    log_end(x, complete);
    if (gate && gate->ended && x->req.who) gate->ended(&x->req, complete ? x->status : 0);
    metrics_count(&x->http->metrics, x->match.route, x->status,
                  (double)(uv_hrtime() - x->started_at) / 1e9);
    x->mhd = NULL;
    x->conn = NULL;
    x->req.gone = true;
    if (x->stream) stream_ended(x);
    exchange_settle(x);
}

/* ---- what can be refused by the headers ------------------------------------------------- */

static const char *header_of(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

static bool is_plain_id(const char *id)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strspn(id, letters);
    return n > 0 && n <= 64 && !id[n];
}

static void name_request(struct exchange *x)
{
    const char *theirs = header_of(x, "X-Request-Id");
    unsigned long long n = (unsigned long long)++x->http->n_requests;
    if (theirs && is_plain_id(theirs))
        snprintf(x->id, sizeof x->id, "%s", theirs);
    else
        snprintf(x->id, sizeof x->id, "req_%s%06llx", x->http->boot, n);
}

static bool check_guard(struct exchange *x, const char *version)
{
    struct error err = { 0 };
    const char *host = header_of(x, "Host");
    if (guard_headers(x->mhd, version, &err)) {
        x->has_body = true; /* nobody can tell: close */
        reply_error(&x->req, &err);
        return false;
    }
    if (host && !guard_host(host, x->http->options.hosts)) {
        reply_problem(&x->req, 421, "host",
                      "\"%.100s\" is not a name of this service (see --hosts)", host);
        return false;
    }
    if (!guard_origin(header_of(x, "Origin"), host)) {
        reply_problem(&x->req, 403, "origin", "a page of another site may not call this service");
        return false;
    }
    return true;
}

static bool check_uri(struct exchange *x)
{
    struct error err = { 0 };
    x->target = request_strdup(&x->req, x->conn->target ? x->conn->target : "");
    if (!uri_parse(&x->uri, x->conn->target ? x->conn->target : "", &x->req.arena, &err)) {
        x->req.path = x->uri.path;
        return true;
    }
    reply_error(&x->req, &err);
    return false;
}

static void copy_params(struct exchange *x)
{
    for (int i = 0; i < x->match.n_params; i++) {
        char *copy = request_alloc(&x->req, x->match.n_value[i] + 1, 1);
        memcpy(copy, x->match.value[i], x->match.n_value[i]);
        x->params[i] = copy;
    }
}

static bool check_route(struct exchange *x, const char *method)
{
    if (router_match(x->http->options.router, method, x->req.path, &x->match)) {
        x->req.route = x->match.route;
        x->req.method = x->match.route->method;
        copy_params(x);
        return true;
    }
    if (!*x->match.allow) {
        reply_problem(&x->req, 404, "missing", "there is nothing at %.200s", x->req.path);
        return false;
    }
    reply_header(&x->req, "Allow", x->match.allow);
    if (!strcmp(method, "OPTIONS"))
        reply_empty(&x->req, 204);
    else
        reply_problem(&x->req, 405, "method", "%.20s is not possible here", method);
    return false;
}

static bool check_token(struct exchange *x)
{
    if (x->match.route->scope == SCOPE_OPEN) return true;
    const char *header = header_of(x, "Authorization");
    const struct identity *who = auth_check(x->http->options.auth, header, (int64_t)time(NULL));
    if (!who && !auth_miss(x->http->options.auth, uv_now(x->http->loop))) {
        reply_header(&x->req, "Retry-After", "10");
        reply_problem(&x->req, 429, "limit", "too many wrong tokens were sent, try again later");
        return false;
    }
    if (!who) {
        reply_header(&x->req, "WWW-Authenticate",
                     header ? "Bearer realm=\"lathe\", error=\"invalid_token\""
                            : "Bearer realm=\"lathe\"");
        reply_problem(&x->req, 401, "token",
                      header
                          ? "the token is not known here, or no longer valid"
                          : "send \"Authorization: Bearer <token>\"; the token is in the file that "
                            "lathed names at start");
        return false;
    }
    if (!auth_admit(x->http->options.auth, who, x->http->options.rate, uv_now(x->http->loop))) {
        reply_header(&x->req, "Retry-After", "1");
        reply_problem(&x->req, 429, "limit", "this token may send %d requests a second",
                      x->http->options.rate);
        return false;
    }
    x->who = *who;
    x->req.who = &x->who;
    if (who->scope >= x->match.route->scope) return true;
    reply_problem(&x->req, 403, "scope", "this token may not do that: it needs the scope \"%s\"",
                  x->match.route->scope == SCOPE_ADMIN ? "admin" : "write");
    return false;
}

static bool has_type(const struct exchange *x, const char *type)
{
    const char *sent = header_of(x, "Content-Type");
    size_t n = strlen(type);
    return sent && !strncasecmp(sent, type, n) && strchr(" ;\t", sent[n]);
}

static bool check_body(struct exchange *x)
{
    static const char *const types[] = {
        [BODY_JSON] = "application/json", [BODY_FILE] = "application/octet-stream"
    };
    enum body body = x->match.route->body;
    const char *length = header_of(x, "Content-Length");
    int64_t max = body == BODY_FILE ? x->http->options.max_upload : x->http->options.max_body;
    if (x->has_body && body == BODY_NONE) {
        reply_problem(&x->req, 400, "body", "%s %s takes no body", x->req.method, x->req.path);
        return false;
    }
    if (body != BODY_NONE && (x->has_body || body == BODY_FILE) && !has_type(x, types[body])) {
        reply_problem(&x->req, 415, "type", "the body must be %s", types[body]);
        return false;
    }
    if (body == BODY_FILE && !x->has_body && !(length && !strcmp(length, "0"))) {
        reply_problem(&x->req, 411, "length", "say how long the file is (Content-Length)");
        return false;
    }
    if (length && strtoll(length, NULL, 10) > max) {
        reply_problem(&x->req, 413, "limit", "the body is larger than %lld bytes", (long long)max);
        return false;
    }
    return true;
}

static void open_upload(struct exchange *x)
{
    struct error err = { 0 };
    if (x->match.route->body != BODY_FILE) return;
    x->writer = upload_writer_new(x, &err);
    if (!x->writer) reply_error(&x->req, &err);
}

void exchange_begin(struct exchange *x, const char *method, const char *version)
{
    const char *length = header_of(x, "Content-Length");
    x->begun = true;
    x->req.method = request_strdup(&x->req, method);
    x->has_body = (length && strcmp(length, "0")) || header_of(x, "Transfer-Encoding");
    name_request(x);
    if (check_guard(x, version) && check_uri(x) && check_route(x, method) && check_token(x) &&
        check_body(x))
        open_upload(x);
}

/* ---- the body --------------------------------------------------------------------------- */

static void too_large(struct exchange *x, int64_t max)
{
    reply_problem(&x->req, 413, "limit", "the body is larger than %lld bytes", (long long)max);
}

static void body_to_disk(struct exchange *x, const char *bytes, size_t len)
{
    struct error err = { 0 };
    if (!upload_writer_add(x->writer, bytes, len, &err)) {
        x->conn->deadline = uv_now(x->http->loop) + x->http->options.body_ms;
        return;
    }
    if (err.status == E_LIMIT)
        too_large(x, x->http->options.max_upload);
    else
        reply_error(&x->req, &err);
}

void exchange_body(struct exchange *x, const char *bytes, size_t len)
{
    if (x->req.replied) return; /* refused: the rest is swallowed, until the deadline */
    if (x->writer) {
        body_to_disk(x, bytes, len);
        return;
    }
    buf_put(&x->body, bytes, len);
    if (x->body.failed) too_large(x, x->http->options.max_body);
}

/* ---- handing over ------------------------------------------------------------------------ */

static void check_answered(struct exchange *x)
{
    if (x->req.replied || x->req.pending) return;
    log_error("http: %s: the handler of %s neither replied nor waits", x->id, x->match.route->path);
    reply_problem(&x->req, 500, "internal", "something went wrong here; the log has %s", x->id);
}

const char *http_target(const struct request *req)
{
    return ((const struct exchange *)req)->target;
}

void http_gate_pass(struct request *req)
{
    struct exchange *x = exchange_of(req);
    x->passed = x->in_handler = true;
    x->match.route->handle(req);
    x->in_handler = false;
    check_answered(x);
}

void http_gate_show(struct request *req, const char *path, int status)
{
    struct exchange *x = exchange_of(req);
    if (!router_match(x->http->options.router, "GET", path, &x->match)) {
        reply_problem(req, 404, "missing", "there is nothing at %.200s any more", path);
        return;
    }
    req->route = x->match.route;
    copy_params(x);
    x->shown_as = status;
    http_gate_pass(req);
}

static void hand(struct exchange *x)
{
    const struct http_gate *gate = x->http->options.gate;
    x->handed = true;
    if (!gate || !gate->enter || gate->enter(&x->req))
        http_gate_pass(&x->req);
    else
        check_answered(x);
}

static void on_synced(struct exchange *x, const struct error *err)
{
    if (err->status)
        reply_error(&x->req, err);
    else if (!x->req.gone)
        hand(x);
}

void exchange_whole(struct exchange *x)
{
    x->handed = true;
    if (x->match.route->body == BODY_JSON) {
        x->req.body = x->body.bytes ? x->body.bytes : "";
        x->req.n_body = x->body.len;
    }
    if (x->writer)
        upload_writer_finish(x->writer, on_synced);
    else
        hand(x);
}
