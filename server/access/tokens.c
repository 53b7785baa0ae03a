#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/log.h"
#include "server/access/access.h"
#include "server/api/action.h"
#include "server/api/ask.h"
#include "server/api/create.h"
#include "server/api/listing.h"
#include "server/http/auth.h"
#include "server/pg/pg_listen.h"
#include "server/pg/pg_pool.h"

/* ---- the tokens in memory ------------------------------------------------------------------- */

static const char load_sql[] =
    "select 'tok_' || token_id, name, scope, sha256, coalesce(floor(extract(epoch from "
    "expires_at)), 0)"
    "  from token where revoked_at is null and (expires_at is null or expires_at > now())"
    " order by token_id desc limit 1000";
static const char used_sql[] =
    "update token set last_used_at = now() where token_id = any ($1::bigint[])";

static struct tokens {
    struct app *app;
    struct pg_listener *listener;
    uv_timer_t timer;
    struct pg_query load, used;
    const char *used_params[1];
    char used_ids[16 * AUTH_MAX_TOKENS];
    bool loading, again, marking, closing;
    int looks;
    void (*closed)(void *data);
    void *data;
} tokens;

static enum token_scope scope_of(const char *name)
{
    return !strcmp(name, "admin") ? SCOPE_ADMIN : !strcmp(name, "write") ? SCOPE_WRITE : SCOPE_READ;
}

static void read_token(struct auth_token *token, const PGresult *rows, int i)
{
    snprintf(token->who.id, sizeof token->who.id, "%s", pg_text(rows, i, 0));
    snprintf(token->who.name, sizeof token->who.name, "%s", pg_text(rows, i, 1));
    snprintf(token->hash, sizeof token->hash, "%s", pg_text(rows, i, 3));
    token->who.scope = scope_of(pg_text(rows, i, 2));
    token->expires_at = pg_int(rows, i, 4);
}

static void look(void);

static void on_loaded(struct pg_query *query, PGresult *rows, const struct error *err)
{
    (void)query;
    tokens.loading = false;
    if (err->status) {
        if (err->status != E_CANCELLED) log_warn("tokens: cannot be read: %s", err->text);
        return;
    }
    int n = PQntuples(rows);
    struct auth_token *list = calloc((size_t)n + 1, sizeof *list);
    if (!list) abort();
    for (int i = 0; i < n; i++) read_token(&list[i], rows, i);
    auth_replace(tokens.app->auth, list, (size_t)n);
    free(list);
    if (tokens.again) look();
}

static void look(void)
{
    tokens.again = tokens.loading;
    if (tokens.loading || tokens.closing) return;
    tokens.loading = true;
    tokens.load = (struct pg_query){ .sql = load_sql, .done = on_loaded };
    pg_pool_send(tokens.app->pool, &tokens.load);
}

static void on_marked(struct pg_query *query, PGresult *rows, const struct error *err)
{
    (void)query, (void)rows, (void)err;
    tokens.marking = false;
}

static void add_used(const struct identity *who, void *data)
{
    size_t n = strlen(tokens.used_ids);
    (void)data;
    snprintf(tokens.used_ids + n, sizeof tokens.used_ids - n, "%s%s", n > 1 ? "," : "",
             who->id + 4);
}

static void mark_used(void)
{
    if (tokens.marking) return;
    strcpy(tokens.used_ids, "{");
    auth_each_used(tokens.app->auth, add_used, NULL);
    if (!tokens.used_ids[1]) return;
    strcat(tokens.used_ids, "}");
    tokens.marking = true;
    tokens.used_params[0] = tokens.used_ids;
    tokens.used = (struct pg_query){
        .sql = used_sql, .n_params = 1, .params = tokens.used_params, .done = on_marked
    };
    pg_pool_send(tokens.app->slow, &tokens.used);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
    look();
    mark_used();
    if (tokens.looks++ % 240 == 0) retention_sweep(tokens.app); /* about once an hour */
}

static void on_heard(void *data, const char *channel, const char *payload)
{
    (void)data, (void)channel, (void)payload;
    look();
}

void tokens_open(struct app *app)
{
    static const char *const channels[] = { "lathe_token", NULL };
    tokens = (struct tokens){ .app = app };
    uv_timer_init(app->loop, &tokens.timer);
    uv_timer_start(&tokens.timer, on_timer, 0, ACCESS_LOOK_S * 1000);
    tokens.listener = pg_listen(app->loop, app->conninfo, channels, on_heard, NULL);
}

static void on_timer_closed(uv_handle_t *handle)
{
    (void)handle;
    tokens.closed(tokens.data);
}

static void on_listener_closed(void *data)
{
    (void)data;
    uv_close((uv_handle_t *)&tokens.timer, on_timer_closed);
}

void tokens_close(struct app *app, void (*closed)(void *data), void *data)
{
    (void)app;
    tokens.closing = true;
    tokens.closed = closed;
    tokens.data = data;
    pg_listener_close(tokens.listener, on_listener_closed, NULL);
}

/* ---- /v1/tokens ------------------------------------------------------------------------------ */

#define COLUMNS                                                                                    \
    "'tok_' || token_id as id, name, scope, created_by, created_at, expires_at, revoked_at, "      \
    "last_used_at, token_version(token) as _etag"

static const char *const token_scopes[] = { "read", "write", "admin", NULL };
static struct listing list = { .columns = COLUMNS,
                               .from = "token",
                               .key = "token_id",
                               .oldest_first = true,
                               .filters = { { "scope", "scope = @", .words = token_scopes } } };
static const char select_token[] = "select " COLUMNS " from token where token_id = $1";
static const char insert_token[] = "insert into token (name, scope, sha256, created_by, expires_at)"
                                   " values ($1, $2, $3, $4, now() + $5::float8 * interval '1 day')"
                                   " returning " COLUMNS ", $6::text as token";
static const char revoke_token[] =
    "select token_revoke(token_id, $2::text[]) from token where token_id = $1";

static void token_list(struct request *req) { listing_send(req, &list); }

static void token_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_token, ask_one);
    ask_id(ask, "tok", "token", request_param(req, "id"));
    ask_send(ask);
}

struct new_token {
    const char *name;
    int scope;
    double days;
};

static enum status read_new(struct new_token *new, struct field *body)
{
    new->name = field_string(body, "name", 60);
    if (new->name && !*new->name) field_fail(body, "name", "must not be empty");
    new->scope = field_choice_or(body, "scope", token_scopes, 0);
    new->days = field_double_or(body, "expires_in_days", 0, 36500, 0);
    return field_end(body);
}

static void insert(struct request *req, const struct new_token *new)
{
    char *text = request_alloc(req, AUTH_TOKEN, 1), *hash = request_alloc(req, HASH_HEX, 1);
    auth_new_token(text);
    hash_hex(text, strlen(text), hash);
    struct ask *ask = ask_new(req, insert_token, ask_one);
    ask->status = 201;
    ask_text(ask, new->name);
    ask_text(ask, token_scopes[new->scope]);
    ask_text(ask, hash);
    ask_text(ask, req->who->id);
    ask_text(ask, new->days > 0 ? request_printf(req, "%.17g", new->days) : NULL);
    ask_text(ask, text);
    ask_send(ask);
}

static void token_create(struct request *req)
{
    struct error err;
    struct field body;
    struct new_token new;
    bool dry_run;
    if (!create_dry_run(req, &dry_run) || !create_body(req, &body, &err)) return;
    if (read_new(&new, &body))
        reply_invalid(req, &err);
    else if (dry_run)
        reply_json(req, 200, "{\"dry_run\":true}");
    else
        insert(req, &new);
}

static void revoked(struct ask *ask, const PGresult *rows)
{
    if (PQntuples(rows))
        reply_empty(ask->req, 204);
    else
        reply_missing(ask->req, ask->what, ask->id);
}

static void token_revoke(struct request *req)
{
    struct ask *ask = ask_new(req, revoke_token, revoked);
    ask_id(ask, "tok", "token", request_param(req, "id"));
    ask_text(ask, action_seen(req));
    ask_send(ask);
}

/* A stored reply would hold the token's text: no key for its POST. */
static const struct route routes[] = {
    { "GET", "/v1/tokens", token_list, .scope = SCOPE_ADMIN, .operation = "listTokens",
      .summary = "Tokens, without their text" },
    { "POST", "/v1/tokens", token_create, .scope = SCOPE_ADMIN, .body = BODY_JSON,
      .operation = "createToken", .summary = "A new token; its text is shown here and never again",
      .no_key = true },
    { "GET", "/v1/tokens/{id}", token_get, .scope = SCOPE_ADMIN, .operation = "getToken",
      .summary = "One token, without its text" },
    { "DELETE", "/v1/tokens/{id}", token_revoke, .scope = SCOPE_ADMIN, .operation = "revokeToken",
      .summary = "Refuse this token from now on" },
};

void tokens_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
