#ifndef SERVER_PG_PG_CONN_H
#define SERVER_PG_PG_CONN_H

#include <stdbool.h>
#include <uv.h>
#include "server/pg/pg_prepared.h"
#include "server/pg/pg_query.h"
#include "server/pg/pg_session.h"
#include "server/sm.h"

/*
 * One connection to PostgreSQL on the loop, in pipeline mode. It connects by itself,
 * sends batches as they come without waiting for answers, and reconnects when the
 * server goes away.
 *
 *     ┌──────── after a rest ◄────────┐
 *     ▼                               │
 *   DOWN ──► CONNECTING ──► READY ──► BROKEN
 *                │                    ▲
 *                └────────────────────┘
 *
 *   every state ──► CLOSED, by pg_conn_close
 *
 * Each batch ends with a Sync of its own, so it is its own transaction and an error
 * stays with it. Batches answer in the order sent; `flying` is that order.
 * The promises to callers are those of pg_query.h.
 */
struct pg_conn;

struct pg_conn_hooks {
    void (*up)(struct pg_conn *conn);   /* ready, or has room again */
    void (*down)(struct pg_conn *conn); /* the connection was lost; or NULL */
    void (*notified)(struct pg_conn *conn, const char *channel, const char *payload); /* or NULL */
    void *data;
};

struct pg_conn {
    struct sm sm;
    uv_loop_t *loop;
    const char *conninfo, *name; /* borrowed */
    unsigned statement_timeout_ms;
    struct pg_conn_hooks hooks;

    PGconn *pg;
    uv_poll_t *watch; /* a fresh handle for every socket; freed by its close callback */
    int events;       /* what it waits for */
    uv_timer_t timer; /* rest, connect time-out, or a look at the oldest batch */
    unsigned rest_ms;
    struct pg_prepared prepared;

    struct list flying;  /* first queries of the batches sent */
    int n_flying;        /* batches */
    struct pg_query *at; /* whose result comes next, in the first batch; NULL: its Sync */
    bool at_prepare;     /* ... or rather the answer to its preparation */
    uint64_t heard_at;   /* when the last answer came */
    uint64_t reconnects;
    struct pg_cancel *cancel; /* under way: nothing is sent meanwhile; or NULL */
    struct pg_session session;

    void (*closed)(struct pg_conn *conn);
};

/* Starts connecting. `conn` is the caller's and lives until closed(conn). */
void pg_conn_init(struct pg_conn *conn, uv_loop_t *loop, const char *conninfo, const char *name,
                  unsigned statement_timeout_ms, const struct pg_conn_hooks *hooks);

bool pg_conn_is_ready(const struct pg_conn *conn);

/* What is sent now would wait: the oldest batch takes its time. */
bool pg_conn_is_slow(struct pg_conn *conn);

/* Sends a batch; only while ready. */
void pg_conn_send(struct pg_conn *conn, struct pg_query *query);

void pg_conn_close(struct pg_conn *conn, void (*closed)(struct pg_conn *conn));

#endif
