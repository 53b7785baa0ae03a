#include "server/pg/pg_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/log.h"
#include "server/pg/pg_batch.h"
#include "server/pg/pg_cancel.h"

enum { DOWN, CONNECTING, READY, BROKEN, CLOSED };

static const struct sm_state states[] = {
    [DOWN] = { "down", SM_TO(CONNECTING) | SM_TO(CLOSED) },
    [CONNECTING] = { "connecting", SM_TO(READY) | SM_TO(BROKEN) | SM_TO(CLOSED) },
    [READY] = { "ready", SM_TO(BROKEN) | SM_TO(CLOSED) },
    [BROKEN] = { "broken", SM_TO(DOWN) | SM_TO(CLOSED) },
    [CLOSED] = { "closed", 0 },
};

enum {
    CONNECT_MS = 10000, /* one attempt to connect */
    REST_MIN_MS = 50,   /* between attempts, doubling */
    REST_MAX_MS = 4000,
    GRACE_MS = 5000, /* beyond statement_timeout, before we believe the server is gone */
    SLOW_MS = 50,    /* a batch that is out for longer keeps others waiting */
    OLDEST_SERVER = 130000,
};

static void tick(struct pg_conn *conn);

/* ---- waiting ---------------------------------------------------------------------- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
    (void)status, (void)events;
    tick(handle->data);
}

static void on_timer(uv_timer_t *handle);

static void free_handle(uv_handle_t *handle) { free(handle); }

static void unwatch(struct pg_conn *conn)
{
    if (conn->watch) uv_close((uv_handle_t *)conn->watch, free_handle);
    conn->watch = NULL;
    conn->events = 0;
}

static void watch(struct pg_conn *conn, int events)
{
    if (!conn->watch) {
        conn->watch = malloc(sizeof *conn->watch);
        if (!conn->watch) abort();
        uv_poll_init(conn->loop, conn->watch, PQsocket(conn->pg));
        conn->watch->data = conn;
    }
    if (events != conn->events) uv_poll_start(conn->watch, events, on_poll);
    conn->events = events;
}

static void wait_ms(struct pg_conn *conn, unsigned ms)
{
    uv_timer_start(&conn->timer, on_timer, ms, 0);
}

/* ---- a batch's life ----------------------------------------------------------------- */

static struct pg_query *first_flying(struct pg_conn *conn)
{
    return list_empty(&conn->flying) ? NULL
                                     : container_of(conn->flying.next, struct pg_query, link);
}

static struct pg_query *take_flying(struct pg_conn *conn)
{
    struct pg_query *query = first_flying(conn);
    list_remove(&query->link);
    conn->n_flying--;
    return query;
}

/* Points at the next answer of the first batch. */
static void aim(struct pg_conn *conn, struct pg_query *query)
{
    conn->at = query;
    conn->at_prepare = query && query->prepares;
}

/* ---- sending ------------------------------------------------------------------------ */

static bool send_unnamed(struct pg_conn *conn, struct pg_query *q)
{
    return PQsendQueryParams(conn->pg, q->sql, q->n_params, NULL, q->params, NULL, NULL, 0);
}

static bool send_query(struct pg_conn *conn, struct pg_query *q)
{
    char name[16];
    q->prepares = false;
    if (q->dynamic) return send_unnamed(conn, q);
    struct pg_prepared_entry *entry = pg_prepared_of(&conn->prepared, q->sql);
    if (entry->state == PG_PREPARING) return send_unnamed(conn, q);
    pg_prepared_name(entry, name);
    if (entry->state == PG_UNPREPARED) {
        entry->state = PG_PREPARING;
        q->prepares = true;
        if (!PQsendPrepare(conn->pg, name, q->sql, 0, NULL)) return false;
    }
    return PQsendQueryPrepared(conn->pg, name, q->n_params, q->params, NULL, NULL, 0);
}

static bool send_batch(struct pg_conn *conn, struct pg_query *query)
{
    for (struct pg_query *q = query; q; q = q->and_then)
        if (!send_query(conn, q)) return false;
    return PQpipelineSync(conn->pg);
}

void pg_conn_send(struct pg_conn *conn, struct pg_query *query)
{
    assert(pg_conn_is_ready(conn));
    pg_batch_begin(query);
    query->sent_at = uv_now(conn->loop);
    list_append(&conn->flying, &query->link);
    conn->n_flying++;
    bool sent = send_batch(conn, query);
    if (conn->n_flying == 1) aim(conn, query);
    int unsent = sent ? PQflush(conn->pg) : -1;
    if (unsent < 0) {
        sm_move(&conn->sm, BROKEN); /* its end is reported from the timer, not from here */
        unwatch(conn);
        wait_ms(conn, 0);
        return;
    }
    watch(conn, unsent ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

/* ---- receiving ---------------------------------------------------------------------- */

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

/* SQLSTATEs that say the prepared statement is no longer what we think it is. */
static bool is_stale(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state && (!strcmp(state, "26000") || !strcmp(state, "0A000"));
}

static void on_prepared(struct pg_conn *conn, PGresult *result)
{
    struct pg_query *q = conn->at;
    conn->at_prepare = false;
    if (is_good(result)) {
        pg_prepared_of(&conn->prepared, q->sql)->state = PG_PREPARED;
        PQclear(result);
    } else {
        pg_prepared_forget(&conn->prepared, q->sql);
        pg_batch_record(q, result);
    }
}

static void on_result(struct pg_conn *conn, PGresult *result)
{
    struct pg_query *q = conn->at;
    if (is_good(result)) {
        q->rows = result;
    } else {
        if (!q->dynamic && is_stale(result)) pg_prepared_forget(&conn->prepared, q->sql);
        if (q->err.status)
            PQclear(result); /* its preparation failed and said why */
        else
            pg_batch_record(q, result);
    }
    aim(conn, q->and_then);
}

/* The commit itself failed, for instance by a deferred constraint. */
static void on_commit_error(struct pg_conn *conn, PGresult *result)
{
    struct pg_query *q = first_flying(conn);
    while (q->and_then) q = q->and_then;
    if (q->err.status)
        PQclear(result);
    else
        pg_batch_record(q, result);
}

static void on_sync(struct pg_conn *conn, PGresult *result)
{
    PQclear(result);
    struct pg_query *query = take_flying(conn);
    aim(conn, first_flying(conn));
    pg_batch_settle(query);
}

static void dispatch(struct pg_conn *conn, PGresult *result)
{
    if (!first_flying(conn)) {
        log_warn("postgres: %s", PQresultErrorMessage(result));
        PQclear(result);
    } else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
        on_sync(conn, result);
    else if (!conn->at)
        on_commit_error(conn, result);
    else if (conn->at_prepare)
        on_prepared(conn, result);
    else
        on_result(conn, result);
}

static void notify(struct pg_conn *conn)
{
    PGnotify *n;
    while (conn->sm.at == READY && (n = PQnotifies(conn->pg))) {
        if (conn->hooks.notified) conn->hooks.notified(conn, n->relname, n->extra);
        PQfreemem(n);
    }
}

/* Everything that has arrived. Each answer is followed by a NULL, and a NULL also
 * means "nothing more"; two in a row can only mean that. */
static void receive(struct pg_conn *conn)
{
    for (int nulls = 0; nulls < 2 && conn->sm.at == READY && !PQisBusy(conn->pg);) {
        PGresult *result = PQgetResult(conn->pg);
        nulls = result ? 0 : nulls + 1;
        if (result) conn->heard_at = uv_now(conn->loop);
        if (result) dispatch(conn, result);
    }
    notify(conn);
}

/* ---- the machine -------------------------------------------------------------------- */

static void on_notice(void *data, const char *message)
{
    (void)data;
    log_debug("postgres: %s", message);
}

static void connect_start(struct pg_conn *conn)
{
    const char *keys[] = { "dbname", "application_name", "client_encoding", "tcp_user_timeout",
                           NULL };
    const char *values[] = { conn->conninfo, conn->name, "UTF8", "15000", NULL };
    conn->pg = PQconnectStartParams(keys, values, 1);
    if (!conn->pg) abort();
    PQsetNoticeProcessor(conn->pg, on_notice, NULL);
    wait_ms(conn, CONNECT_MS);
}

static void on_setup(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct pg_conn *conn = query->data;
    (void)rows;
    if (!err->status)
        conn->rest_ms = 0;
    else if (err->status != E_BUSY && err->status != E_CANCELLED)
        log_warn("postgres: settings of a session: %s", err->text);
}

static void become_ready(struct pg_conn *conn)
{
    PQsetnonblocking(conn->pg, 1);
    PQenterPipelineMode(conn->pg);
    pg_prepared_clear(&conn->prepared);
    uv_timer_stop(&conn->timer);
    sm_move(&conn->sm, READY);
    watch(conn, UV_READABLE);
    pg_session_init(&conn->session, conn->statement_timeout_ms);
    conn->session.query.done = on_setup;
    conn->session.query.data = conn;
    pg_conn_send(conn, &conn->session.query);
    wait_ms(conn, 1000);
}

/* The connection is over: rest, then tell whoever waits on it. */
static void give_up(struct pg_conn *conn)
{
    char text[300];
    const char *why = PQerrorMessage(conn->pg);
    snprintf(text, sizeof text, "the database connection was lost: %.220s",
             why && *why ? why : "closed");
    text[strcspn(text, "\n")] = 0;
    pg_cancel_forget(conn);
    unwatch(conn);
    PQfinish(conn->pg);
    conn->pg = NULL;
    conn->rest_ms = conn->rest_ms ? conn->rest_ms * 2 : REST_MIN_MS;
    if (conn->rest_ms > REST_MAX_MS) conn->rest_ms = REST_MAX_MS;
    if (conn->rest_ms == REST_MIN_MS) log_warn("%s: %s", conn->name, text);
    conn->reconnects++;
    sm_move(&conn->sm, DOWN);
    wait_ms(conn, conn->rest_ms);
    conn->at = NULL;
    if (conn->hooks.down) conn->hooks.down(conn);
    struct list gone;
    list_init(&gone);
    while (first_flying(conn)) list_append(&gone, &take_flying(conn)->link);
    while (!list_empty(&gone)) {
        struct pg_query *query = container_of(gone.next, struct pg_query, link);
        list_remove(&query->link);
        pg_batch_fail(query, E_BUSY, text);
    }
}

static bool is_too_old(const struct pg_conn *conn)
{
    if (PQserverVersion(conn->pg) >= OLDEST_SERVER) return false;
    log_error("postgres: version %d is too old, 13 or later is needed", PQserverVersion(conn->pg));
    return true;
}

static void tick(struct pg_conn *conn)
{
    for (;;) {
        switch (conn->sm.at) {
        case DOWN:
            connect_start(conn);
            sm_move(&conn->sm, CONNECTING);
            if (PQstatus(conn->pg) == CONNECTION_BAD) {
                sm_move(&conn->sm, BROKEN);
                continue;
            }
            watch(conn, UV_WRITABLE);
            return;

        case CONNECTING:
            /* libpq may close this socket and open another, perhaps with the same
             * number, so libuv must have let go of it first */
            unwatch(conn);
            switch (PQconnectPoll(conn->pg)) {
            case PGRES_POLLING_READING: watch(conn, UV_READABLE); return;
            case PGRES_POLLING_WRITING: watch(conn, UV_WRITABLE); return;
            case PGRES_POLLING_OK:
                if (is_too_old(conn)) break;
                become_ready(conn);
                if (conn->sm.at == READY && conn->hooks.up) conn->hooks.up(conn);
                return;
            default: break;
            }
            sm_move(&conn->sm, BROKEN);
            continue;

        case READY: {
            int unsent = PQflush(conn->pg);
            bool alive = unsent >= 0 && PQconsumeInput(conn->pg);
            receive(conn); /* also what came before the end */
            if (conn->sm.at != READY) return;
            if (!alive || PQstatus(conn->pg) == CONNECTION_BAD) {
                sm_move(&conn->sm, BROKEN);
                continue;
            }
            unsent = PQflush(conn->pg);
            watch(conn, unsent > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
            if (conn->hooks.up) conn->hooks.up(conn);
            return;
        }

        case BROKEN: give_up(conn); return;
        case CLOSED: return;
        }
    }
}

/* A server that neither answers nor closes is gone, too. */
static bool is_stuck(struct pg_conn *conn)
{
    struct pg_query *oldest = first_flying(conn);
    if (!oldest) return false;
    uint64_t since = oldest->sent_at > conn->heard_at ? oldest->sent_at : conn->heard_at;
    return uv_now(conn->loop) - since > conn->statement_timeout_ms + GRACE_MS;
}

static void on_timer(uv_timer_t *handle)
{
    struct pg_conn *conn = handle->data;
    if (conn->sm.at == READY) {
        wait_ms(conn, 1000);
        pg_cancel_unwanted(conn);
        if (!is_stuck(conn)) return;
    }
    if (conn->sm.at == READY || conn->sm.at == CONNECTING) sm_move(&conn->sm, BROKEN);
    tick(conn);
}

/* ---- the calls ---------------------------------------------------------------------- */

void pg_conn_init(struct pg_conn *conn, uv_loop_t *loop, const char *conninfo, const char *name,
                  unsigned statement_timeout_ms, const struct pg_conn_hooks *hooks)
{
    *conn = (struct pg_conn){ .loop = loop,
                              .conninfo = conninfo,
                              .name = name,
                              .statement_timeout_ms = statement_timeout_ms,
                              .hooks = *hooks };
    list_init(&conn->flying);
    uv_timer_init(loop, &conn->timer);
    conn->timer.data = conn;
    sm_init(&conn->sm, states, DOWN);
    wait_ms(conn, 0);
}

bool pg_conn_is_ready(const struct pg_conn *conn) { return conn->sm.at == READY && !conn->cancel; }

bool pg_conn_is_slow(struct pg_conn *conn)
{
    struct pg_query *oldest = first_flying(conn);
    return oldest && uv_now(conn->loop) - oldest->sent_at > SLOW_MS;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct pg_conn *conn = handle->data;
    while (first_flying(conn))
        pg_batch_fail(take_flying(conn), E_CANCELLED, "the database connection was closed");
    conn->closed(conn);
}

void pg_conn_close(struct pg_conn *conn, void (*closed)(struct pg_conn *conn))
{
    sm_move(&conn->sm, CLOSED);
    conn->closed = closed;
    pg_cancel_forget(conn);
    unwatch(conn);
    PQfinish(conn->pg);
    conn->pg = NULL;
    pg_prepared_clear(&conn->prepared);
    uv_close((uv_handle_t *)&conn->timer, on_timer_closed);
}
