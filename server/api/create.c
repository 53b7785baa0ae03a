#include "server/api/create.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/app.h"
#include "server/config.h"

bool create_body(struct request *req, struct field *body, struct error *err)
{
    memset(err, 0, sizeof *err);
    json_t *json = request_json(req, err);
    if (!json) {
        reply_error(req, err);
        return false;
    }
    field_root(body, json, err);
    return true;
}

bool create_dry_run(struct request *req, bool *dry_run)
{
    struct error err = { 0 };
    const char *text = request_query(req, "dry_run");
    *dry_run = text && !strcmp(text, "true");
    if (!text || *dry_run || !strcmp(text, "false")) return request_query_end(req);
    fail(&err, E_INPUT, "dry_run must be true or false");
    strcpy(err.pointer, "?dry_run");
    reply_error(req, &err);
    return false;
}

const char *create_name(struct field *body, const char *otherwise)
{
    const char *name = field_string_or(body, "name", 200, otherwise);
    if (name && !*name) field_fail(body, "name", "must not be empty");
    return name;
}

static const char *check_id(struct field *body, const char *key, const char *prefix, const char *id)
{
    const char *number = id_number(id, prefix);
    if (id && !number)
        field_fail(body, key, "must be an id such as %s_1, not \"%.60s\"", prefix, id);
    return number;
}

const char *create_id(struct field *body, const char *key, const char *prefix)
{
    return check_id(body, key, prefix, field_string(body, key, 64));
}

const char *create_id_or_null(struct field *body, const char *key, const char *prefix)
{
    return check_id(body, key, prefix, field_string_or(body, key, 64, NULL));
}

void emit_kv_id(struct emit *e, const char *key, const char *prefix, const char *number)
{
    char id[64];
    snprintf(id, sizeof id, "%s_%s", prefix, number ? number : "");
    emit_kv_string(e, key, number ? id : NULL);
}

int create_threads(const struct request *req)
{
    const struct config *config = req->app->config;
    int slots = config->slots > 0 ? config->slots : 1;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int share = (int)(processors > 0 ? processors : 1) / slots;
    return config->threads > 0 ? config->threads : share > 0 ? share : 1;
}

/* ---- making -------------------------------------------------------------------------------- */

/* The statement that makes it and, in the same transaction, says so beside the request's key. */
static const char *once(const char *create)
{
    enum { MOST = 64 };
    static struct {
        const char *create;
        char *sql;
    } known[MOST];
    int i = 0;
    while (i < MOST && known[i].create && known[i].create != create) i++;
    if (i == MOST) abort();
    if (!known[i].create) {
        struct buf sql;
        size_t len;
        buf_init(&sql, CREATE_BYTES);
        buf_printf(&sql, "select idempotency_made((%s), $2, $3, $4)", create);
        known[i].create = create;
        known[i].sql = buf_detach(&sql, &len);
    }
    return known[i].sql;
}

void create_once(struct ask *ask, const struct creation *creation)
{
    struct request *req = ask->req;
    const char *key = req->route->no_key ? NULL : request_header(req, "Idempotency-Key");
    ask->query.sql = once(creation->create);
    ask_text(ask, request_printf(req, "%s/%s_", creation->path, creation->prefix));
    ask_text(ask, req->who->id);
    ask_text(ask, key);
}

static void got_resource(struct ask *ask, const PGresult *rows)
{
    const struct creation *creation = ask->data;
    reply_header(
        ask->req, "Location",
        request_printf(ask->req, "%s/%s_%s", creation->path, creation->prefix, ask->params[0]));
    ask_one(ask, rows);
}

static void got_number(struct ask *ask, const PGresult *rows)
{
    const struct creation *creation = ask->data;
    struct ask *next = ask_new(ask->req, creation->select, got_resource);
    next->data = ask->data;
    next->status = 201;
    ask_text(next, request_strdup(ask->req, pg_text(rows, 0, 0)));
    ask_send(next);
}

void create_send(struct request *req, const struct creation *creation, struct buf *object)
{
    if (object->failed) {
        buf_release(object);
        reply_problem(req, 413, "limit", "what was asked for is larger than %d bytes",
                      CREATE_BYTES);
        return;
    }
    size_t len;
    char *text = buf_detach(object, &len);
    struct ask *ask = ask_new(req, creation->create, got_number);
    struct creation *copy = request_new(req, struct creation);
    *copy = *creation;
    ask->data = copy;
    ask_text(ask, request_strdup(req, text));
    free(text);
    create_once(ask, creation);
    ask_send(ask);
}
