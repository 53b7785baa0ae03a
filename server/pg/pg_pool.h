#ifndef SERVER_PG_PG_POOL_H
#define SERVER_PG_PG_POOL_H

#include <uv.h>
#include "server/pg/pg_query.h"

/*
 * A few pg_conns that share one queue. A query goes to the least loaded connection that is up
 * and has room in its pipeline, and behind a slow one only if all are; otherwise it waits, in
 * order. Queries of different sends may run at the same time and in any order: what must come after
 * something is sent from its `done`, or is in its batch.
 *
 * Everything is bounded: connections, queries in flight on each (`depth`), queries
 * waiting (`queue_max`) and how long they wait (`patience_ms`). Beyond, E_BUSY.
 * Lost connections come back by themselves, after 50 ms, doubling up to 4 s.
 */
struct pg_pool;

struct pg_pool_options {
    const char *conninfo;          /* copied; a URL or key=value text */
    const char *name;              /* application_name, and who we are in the log */
    int n_conns;                   /* default 4, at most 32 */
    int depth;                     /* default 16 */
    int queue_max;                 /* default 1024 */
    unsigned patience_ms;          /* default 5000 */
    unsigned statement_timeout_ms; /* default 15000 */
};

struct pg_pool *pg_pool_open(uv_loop_t *loop, const struct pg_pool_options *options);

/* Starts a query or batch; see pg_query.h for what `done` may rely on. Never fails:
 * what cannot be accepted is reported to `done` on a later turn of the loop. */
void pg_pool_send(struct pg_pool *pool, struct pg_query *query);

/* Every pending `done` comes first, with E_CANCELLED, then closed(data), then silence.
 * Sending to a pool that is closing gives E_CANCELLED as well. */
void pg_pool_close(struct pg_pool *pool, void (*closed)(void *data), void *data);

struct pg_pool_stats {
    int n_conns, n_up;   /* connections wanted, and usable now */
    int waiting, flying; /* queries in the queue, and sent */
    uint64_t queries, errors, busy, reconnects;
    uint64_t oldest_ms; /* age of the oldest query that waits */
};
void pg_pool_stats(const struct pg_pool *pool, struct pg_pool_stats *out);

#endif
