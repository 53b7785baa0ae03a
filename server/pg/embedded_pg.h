#ifndef SERVER_PG_EMBEDDED_PG_H
#define SERVER_PG_EMBEDDED_PG_H

#include <uv.h>
#include "search/base/error.h"

/*
 * A private PostgreSQL: made on first use, started with the service, restarted when it
 * dies, stopped with the service. It listens on a Unix socket only, in a directory that
 * only its user (and root) can enter; hence no passwords.
 *
 *            ┌────────── rest ◄──── exited ───────┐
 *            ▼                                    │
 *   open ► WAITING ──► RUNNING ───────────────────┘
 *            │            │
 *            └────────────┴──► STOPPING ──► STOPPED   by embedded_pg_stop
 *
 * WAITING also lasts while processes of an earlier server are still leaving.
 */
struct embedded_pg;

/* Makes, if need be, and starts the server; waits until it takes connections. The
 * loop need not run yet. `bin` and `user` may be NULL (see pg_home.h). */
struct embedded_pg *embedded_pg_open(uv_loop_t *loop, const char *data_dir, const char *bin,
                                     const char *user, struct error *err);

/* How libpq reaches it. */
const char *embedded_pg_conninfo(const struct embedded_pg *pg);

/* A line for people: psql -h ... */
const char *embedded_pg_psql(const struct embedded_pg *pg);

/* The server's process, 0 while there is none. For tests. */
int embedded_pg_pid(const struct embedded_pg *pg);

/* Fast shutdown, after 10 s an immediate one; then closed(data) and `pg` is gone. */
void embedded_pg_close(struct embedded_pg *pg, void (*closed)(void *data), void *data);

#endif
