#include <string.h>
#include "search/base/hash.h"
#include "search/base/log.h"
#include "server/access/access.h"
#include "server/http/request.h"

/*
 * A POST with an Idempotency-Key is done once. Its reply is stored before it goes out, so a
 * client that did not get it may send the request again and gets the same one.
 * Replies of 500 and above are not stored: the next try is a new one, unless something was made:
 * where it is was stored with it (create.c), and the next try shows it as it is then.
 * A key that died with its server is free (sql/0013).
 */
enum { KEY_MAX = 255, REPLY_MAX = 256 * 1024 };

static const char begin_sql[] = "select verdict, status, content_type, location, body"
                                " from idempotency_begin($1, $2, $3)";
static const char store_sql[] =
    "update idempotency_key set status = $3, content_type = $4, location = $5, body = $6"
    " where who = $1 and key = $2 and server is not distinct from this_server()";
static const char forget_sql[] =
    "delete from idempotency_key where who = $1 and key = $2 and made is null"
    " and server is not distinct from this_server()";

struct key {
    struct request *req;
    struct pg_query query;
    const char *params[6];
};

static void fingerprint(struct request *req, char out[HASH_HEX])
{
    struct hash *hash = hash_new();
    const char *target = http_target(req);
    hash_add(hash, target, strlen(target) + 1);
    if (req->body) hash_add(hash, req->body, req->n_body);
    if (req->upload) hash_add(hash, req->upload->sha256, strlen(req->upload->sha256));
    hash_end(hash, out);
}

static bool is_good(const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (key[i] < 0x20 || key[i] > 0x7e) return false;
    return n > 0 && n <= KEY_MAX;
}

static void give_again(struct request *req, const PGresult *rows)
{
    if (!pg_null(rows, 0, 3)) reply_header(req, "Location", pg_text(rows, 0, 3));
    reply_header(req, "Idempotency-Replayed", "true");
    if (!*pg_text(rows, 0, 2))
        reply_empty(req, (int)pg_int(rows, 0, 1));
    else
        reply_bytes(req, (int)pg_int(rows, 0, 1), pg_text(rows, 0, 2), pg_text(rows, 0, 4),
                    strlen(pg_text(rows, 0, 4)));
}

static void on_begun(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct key *key = query->data;
    struct request *req = key->req;
    const char *verdict = err->status ? "" : pg_text(rows, 0, 0);
    if (err->status) {
        reply_error(req, err);
    } else if (!strcmp(verdict, "new")) {
        *http_gate_data(req) = key;
        http_gate_pass(req);
    } else if (!strcmp(verdict, "done")) {
        give_again(req, rows);
    } else if (!strcmp(verdict, "made")) {
        reply_header(req, "Location", pg_text(rows, 0, 3));
        reply_header(req, "Idempotency-Replayed", "true");
        http_gate_show(req, request_strdup(req, pg_text(rows, 0, 3)), 201);
    } else if (!strcmp(verdict, "differs")) {
        reply_problem(req, 422, "idempotency",
                      "this Idempotency-Key was used for another request; take a new one");
    } else {
        reply_header(req, "Retry-After", "1");
        reply_problem(req, 409, "idempotency",
                      "the first request with this Idempotency-Key is still "
                      "being worked on");
    }
}

bool keys_enter(struct request *req)
{
    const char *text = strcmp(req->method, "POST") || req->route->no_key || !req->who
                           ? NULL
                           : request_header(req, "Idempotency-Key");
    if (!text) return true;
    if (!is_good(text)) {
        reply_problem(req, 400, "idempotency", "Idempotency-Key must be 1 to %d visible characters",
                      KEY_MAX);
        return false;
    }
    struct key *key = request_new(req, struct key);
    char *hash = request_alloc(req, HASH_HEX, 1);
    fingerprint(req, hash);
    key->req = req;
    key->params[0] = req->who->id, key->params[1] = text, key->params[2] = hash;
    key->query = (struct pg_query){
        .sql = begin_sql, .n_params = 3, .params = key->params, .done = on_begun, .data = key
    };
    request_send(req, &key->query);
    return false;
}

static void on_stored(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct key *key = query->data;
    (void)rows;
    if (err->status)
        log_warn("http: %s: the reply for its Idempotency-Key was not stored: %s", key->req->id,
                 err->text);
    http_gate_release(key->req);
}

bool keys_leave(struct request *req, int status, const char *type, const char *bytes, size_t len)
{
    struct key *key = *http_gate_data(req);
    if (!key) return true;
    *http_gate_data(req) = NULL;
    bool keep = status < 500 && len <= REPLY_MAX;
    key->params[2] = request_printf(req, "%d", status);
    key->params[3] = type;
    key->params[4] = http_gate_header(req, "Location");
    key->params[5] = NULL;
    if (len <= REPLY_MAX) { /* NUL-terminated for the database */
        char *copy = request_alloc(req, len + 1, 1);
        memcpy(copy, bytes, len);
        key->params[5] = copy;
    }
    key->query = (struct pg_query){ .sql = keep ? store_sql : forget_sql,
                                    .n_params = keep ? 6 : 2,
                                    .params = key->params,
                                    .done = on_stored,
                                    .data = key };
    request_send(req, &key->query);
    return false;
}
