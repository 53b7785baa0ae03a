#ifndef SERVER_PG_PG_PROCESS_H
#define SERVER_PG_PG_PROCESS_H

#include "server/pg/pg_home.h"

/*
 * PostgreSQL's programs as children of ours, and what is left of earlier ones.
 *
 * A child runs as home->uid, in a session of its own (a terminal's ^C is for us), with
 * an empty environment, its words appended to home->log, and gets SIGINT, a fast
 * shutdown, when we die.
 */

/* Starts argv[0]; -1 when fork failed. */
pid_t pg_process_start(const struct pg_home *home, char *const argv[]);

/* Makes the cluster if there is none, in a folder that is renamed when it is whole. Waits. */
enum status pg_process_initdb(const struct pg_home *home, struct error *err);

/* Starts the server on the cluster; -1 when fork failed. */
pid_t pg_process_serve(const struct pg_home *home);

/* The process id in postmaster.pid, 0 without one. *ready: it takes connections. */
pid_t pg_process_recorded(const struct pg_home *home, bool *ready);

/* Deals with a server that an earlier lathed left: asks it to stop (fast shutdown) if it
 * still runs, and removes a postmaster.pid whose process id now belongs to a stranger.
 * True when nothing is in the way any more; false: ask again a little later. */
bool pg_process_clear_orphans(const struct pg_home *home);

#endif
