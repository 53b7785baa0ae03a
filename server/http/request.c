#include "server/http/request.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/field.h"
#include "search/base/log.h"
#include "server/app.h"
#include "server/http/exchange.h"
#include "server/pg/pg_pool.h"

/* ---- what was asked ---------------------------------------------------------------------- */

const char *request_param(const struct request *req, const char *name)
{
    const struct exchange *x = (const struct exchange *)req;
    const struct route_match *m = &x->match;
    for (int i = 0; i < m->n_params; i++)
        if (strlen(name) == m->n_name[i] && !memcmp(name, m->name[i], m->n_name[i]))
            return x->params[i];
    log_error("http: %s has no part {%s}", m->route->path, name);
    abort();
}

static struct uri_member *find_member(struct request *req, const char *name)
{
    struct uri *uri = &exchange_of(req)->uri;
    for (int i = 0; i < uri->n_query; i++)
        if (!strcmp(uri->query[i].name, name)) return &uri->query[i];
    return NULL;
}

const char *request_query(struct request *req, const char *name)
{
    struct uri_member *member = find_member(req, name);
    if (!member) return NULL;
    member->asked = true;
    return member->value;
}

bool request_query_end(struct request *req)
{
    const struct uri *uri = &exchange_of(req)->uri;
    for (int i = 0; i < uri->n_query; i++) {
        if (uri->query[i].asked) continue;
        struct error err = { 0 };
        fail(&err, E_INPUT, "there is no query member \"%.60s\" here", uri->query[i].name);
        snprintf(err.pointer, sizeof err.pointer, "?%.60s", uri->query[i].name);
        reply_error(req, &err);
        return false;
    }
    return true;
}

static void query_fail(struct error *err, const char *name, const char *text)
{
    if (err->status) return;
    fail(err, E_INPUT, "%s %s", name, text);
    snprintf(err->pointer, sizeof err->pointer, "?%.60s", name);
}

int64_t request_query_int(struct request *req, const char *name, int64_t min, int64_t max,
                          int64_t otherwise, struct error *err)
{
    const char *text = request_query(req, name);
    char *end, why[96];
    if (!text) return otherwise;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (!errno && end != text && !*end && *text != ' ' && value >= min && value <= max)
        return value;
    snprintf(why, sizeof why, "must be a whole number from %lld to %lld", (long long)min,
             (long long)max);
    query_fail(err, name, why);
    return otherwise;
}

double request_query_double(struct request *req, const char *name, double min, double max,
                            double otherwise, struct error *err)
{
    const char *text = request_query(req, name);
    char *end, why[96];
    if (!text) return otherwise;
    double value = strtod(text, &end);
    if (end != text && !*end && *text != ' ' && isfinite(value) && value >= min && value <= max)
        return value;
    snprintf(why, sizeof why, "must be a number from %g to %g", min, max);
    query_fail(err, name, why);
    return otherwise;
}

const char *request_header(struct request *req, const char *name)
{
    struct exchange *x = exchange_of(req);
    const char *value = x->mhd ? MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name) : NULL;
    return value ? request_strdup(req, value)
                 : NULL; /* libmicrohttpd's own goes with the connection */
}

bool request_etag_matches(struct request *req, const char *header, const char *etag)
{
    const char *p = request_header(req, header);
    size_t len = strlen(etag);
    if (p && !strcmp(p, "*")) return true;
    for (; p && *p; p += strcspn(p, ","), p += *p == ',') {
        p += strspn(p, " \t");
        if (!strncmp(p, "W/", 2)) p += 2;
        if (*p == '"' && !strncmp(p + 1, etag, len) && p[len + 1] == '"') return true;
    }
    return false;
}

json_t *request_json(struct request *req, struct error *err)
{
    struct exchange *x = exchange_of(req);
    if (x->json) return x->json;
    bool empty = req->n_body == 0;
    return x->json = field_parse(empty ? "{}" : req->body, empty ? 2 : req->n_body, err);
}

/* ---- memory ------------------------------------------------------------------------------ */

void *request_alloc(struct request *req, size_t count, size_t size)
{
    void *out = arena_alloc(&req->arena, count, size);
    if (out) return out;
    log_error("http: %s asks for more memory than a request may hold", req->id);
    abort();
}

char *request_strdup(struct request *req, const char *text)
{
    size_t n = strlen(text) + 1;
    return memcpy(request_alloc(req, n, 1), text, n);
}

char *request_printf(struct request *req, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *out = request_alloc(req, (size_t)n + 1, 1);
    va_start(args, fmt);
    vsnprintf(out, (size_t)n + 1, fmt, args);
    va_end(args);
    return out;
}

/* ---- holding ------------------------------------------------------------------------------ */

void request_hold(struct request *req) { req->pending++; }

void request_release(struct request *req)
{
    struct exchange *x = exchange_of(req);
    if (--req->pending) return;
    if (x->handed && !x->in_handler && !req->replied) {
        if (!req->gone) log_error("http: %s: nobody replied to %s", req->id, x->match.route->path);
        reply_problem(req, 500, "internal", "something went wrong here; the log has %s", req->id);
    }
    exchange_settle(x);
}

/* A query of a request: holds it, and calls the handler's done in between. */
struct held {
    struct list link; /* of exchange.asked */
    struct pg_query *query;
    struct request *req;
    void (*done)(struct pg_query *query, PGresult *rows, const struct error *err);
    void *data;
};

static void on_done(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct held *held = query->data;
    struct request *req = held->req;
    list_remove(&held->link);
    query->done = held->done;
    query->data = held->data;
    query->done(query, rows, err);
    request_release(req);
}

/* What changes something is done all the same. */
void exchange_abandon(struct exchange *x)
{
    if (strcmp(x->req.method, "GET")) return;
    list_each(link, &x->asked) container_of(link, struct held, link)->query->unwanted = true;
}

static void send_to(struct request *req, struct pg_pool *pool, struct pg_query *query)
{
    for (struct pg_query *q = query; q; q = q->and_then) {
        struct held *held = request_new(req, struct held);
        *held = (struct held){ .query = q, .req = req, .done = q->done, .data = q->data };
        list_append(&exchange_of(req)->asked, &held->link);
        q->done = on_done;
        q->data = held;
        request_hold(req);
    }
    pg_pool_send(pool, query);
}

void request_send(struct request *req, struct pg_query *query)
{
    send_to(req, req->app->pool, query);
}

void request_send_slow(struct request *req, struct pg_query *query)
{
    send_to(req, req->app->slow, query);
}
