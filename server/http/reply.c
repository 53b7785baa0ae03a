#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "search/base/emit.h"
#include "search/base/log.h"
#include "server/http/exchange.h"
#include "server/http/gzip.h"

enum { PROBLEM_MAX = 8192 };

/* ---- the way out -------------------------------------------------------------------------- */

static void add_headers(struct exchange *x, struct MHD_Response *response)
{
    MHD_add_response_header(response, "X-Request-Id", x->id);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (const struct header *h = x->headers; h; h = h->next)
        MHD_add_response_header(response, h->name, h->value);
    if (!MHD_get_response_header(response, "Cache-Control"))
        MHD_add_response_header(response, "Cache-Control", "no-store");
    if (x->http->draining) MHD_add_response_header(response, "Connection", "close");
}

void exchange_reply(struct exchange *x, int status, struct MHD_Response *response)
{
    if (x->req.replied) {
        log_error("http: %s was answered twice", x->id);
        abort();
    }
    add_headers(x, response);
    x->req.replied = true;
    x->status = status;
    x->response = response;
    if (x->suspended && !x->leaving) http_wake(x);
}

void http_gate_release(struct request *req)
{
    struct exchange *x = exchange_of(req);
    x->leaving = false;
    if (x->suspended) http_wake(x);
}

const char *http_gate_header(struct request *req, const char *name)
{
    for (const struct header *h = exchange_of(req)->headers; h; h = h->next)
        if (!strcasecmp(h->name, name)) return h->value;
    return NULL;
}

void **http_gate_data(struct request *req) { return &exchange_of(req)->gate_data; }

/* True when the reply may go out now. When the service has stopped listening there is nobody to wait
 * for, and pools may be gone that the gate would use. */
static bool ask_gate(struct exchange *x, int status, const char *type, const char *bytes,
                     size_t len)
{
    const struct http_gate *gate = x->http->options.gate;
    if (!x->passed || !gate || !gate->leave || x->req.replied || x->http->closing) return true;
    return gate->leave(&x->req, status, type, bytes, len);
}

void reply_header(struct request *req, const char *name, const char *value)
{
    struct exchange *x = exchange_of(req);
    struct header *h = request_new(req, struct header);
    *h = (struct header){ .next = x->headers,
                          .name = request_strdup(req, name),
                          .value = request_strdup(req, value) };
    x->headers = h;
}

/* Replaces the bytes by packed ones when the client takes them and it pays. */
static void pack(struct request *req, const char *type, char **bytes, size_t *len)
{
    bool text = !strncmp(type, "text/", 5) || strstr(type, "json");
    if (!text || *len < GZIP_MIN || req->gone) return;
    if (http_gate_header(req, "Content-Encoding")) return; /* packed by the handler */
    if (!http_gate_header(req, "Vary")) reply_header(req, "Vary", "Accept-Encoding");
    if (!gzip_is_taken(request_header(req, "Accept-Encoding"))) return;
    size_t packed;
    char *out = gzip_pack(*bytes, *len, &packed);
    if (!out) return;
    free(*bytes);
    *bytes = out;
    *len = packed;
    reply_header(req, "Content-Encoding", "gzip");
}

/* Takes over `bytes`, from malloc. */
static void reply_owned(struct request *req, int status, const char *type, char *bytes, size_t len)
{
    if (status == 200 && exchange_of(req)->shown_as) status = exchange_of(req)->shown_as;
    exchange_of(req)->leaving = !ask_gate(exchange_of(req), status, type, bytes, len);
    pack(req, type, &bytes, &len);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
    if (!response) abort();
    MHD_add_response_header(response, "Content-Type", type);
    exchange_of(req)->n_reply = len;
    exchange_reply(exchange_of(req), status, response);
}

void reply_bytes(struct request *req, int status, const char *type, const void *bytes, size_t len)
{
    char *copy = malloc(len + 1);
    if (!copy) abort();
    memcpy(copy, bytes, len);
    reply_owned(req, status, type, copy, len);
}

void reply_json(struct request *req, int status, const char *json)
{
    reply_bytes(req, status, "application/json", json, strlen(json));
}

void reply_buf(struct request *req, int status, struct buf *json)
{
    size_t len;
    if (json->failed) {
        buf_release(json);
        log_error("http: %s: the reply is larger than its buffer", req->id);
        reply_problem(req, 500, "internal", "the reply is too large; ask for less of it");
        return;
    }
    char *bytes = buf_detach(json, &len);
    reply_owned(req, status, "application/json", bytes, len);
}

void reply_empty(struct request *req, int status)
{
    static char nothing[1];
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    if (!response) abort();
    exchange_of(req)->leaving = !ask_gate(exchange_of(req), status, "", nothing, 0);
    exchange_reply(exchange_of(req), status, response);
}

/* ---- problems (RFC 9457) -------------------------------------------------------------------- */

static const char *title_of(int status)
{
    const char *title = MHD_get_reason_phrase_for((unsigned)status);
    return title ? title : "Error";
}

static void problem(struct request *req, int status, const char *code, const char *detail,
                    const char *pointer)
{
    struct buf buf;
    struct emit e;
    buf_init(&buf, PROBLEM_MAX);
    emit_init(&e, &buf);
    emit_begin(&e, '{');
    emit_kv_string(&e, "type", "about:blank");
    emit_kv_string(&e, "title", title_of(status));
    emit_kv_int(&e, "status", status);
    emit_kv_string(&e, "detail", detail);
    emit_kv_string(&e, "code", code);
    emit_kv_string(&e, "request_id", req->id);
    if (pointer && *pointer) {
        emit_key(&e, "errors"), emit_begin(&e, '['), emit_begin(&e, '{');
        emit_kv_string(&e, "pointer", pointer);
        emit_kv_string(&e, "detail", detail);
        emit_end(&e), emit_end(&e);
    }
    emit_end(&e);
    size_t len;
    char *bytes = buf_detach(&buf, &len);
    reply_owned(req, status, "application/problem+json", bytes, len);
}

void reply_problem(struct request *req, int status, const char *code, const char *fmt, ...)
{
    char detail[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    problem(req, status, code, detail, NULL);
}

void reply_missing(struct request *req, const char *what, const char *id)
{
    reply_problem(req, 404, status_name(E_MISSING), "there is no %s %.100s", what, id);
}

static int http_status_of(enum status status)
{
    switch (status) {
    case OK: return 200;
    case E_INPUT: return 400;
    case E_MISSING: return 404;
    case E_CONFLICT: return 409;
    case E_STALE: return 412;
    case E_LIMIT: return 429;
    case E_BUSY:
    case E_CANCELLED: return 503;
    case E_MEMORY: return 507;
    case E_IO:
    case E_DB: return 500;
    }
    return 500;
}

void reply_error(struct request *req, const struct error *err)
{
    int status = http_status_of(err->status);
    if (status == 503 || status == 429) reply_header(req, "Retry-After", "1");
    if (status == 500) {
        log_error("http: %s: %s", req->id, err->text);
        reply_problem(req, 500, status_name(err->status),
                      "something went wrong here; the log has %s", req->id);
        return;
    }
    problem(req, status, status_name(err->status), err->text, err->pointer);
}

void reply_invalid(struct request *req, const struct error *err)
{
    if (err->status == E_INPUT)
        problem(req, 422, status_name(E_INPUT), err->text, err->pointer);
    else
        reply_error(req, err);
}
