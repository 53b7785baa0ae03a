#ifndef SERVER_PG_PG_CANCEL_H
#define SERVER_PG_PG_CANCEL_H

#include "server/pg/pg_conn.h"

/*
 * Stops what nobody wants any more. For the connection; nobody else.
 *
 * A request to cancel names the session, not the statement, and comes when it comes. So it is made
 * only while the unwanted batch is alone in the pipeline, and nothing is sent until it is through
 * (the connection is not ready meanwhile): a session that is idle by then ignores it.
 *
 * The request takes a connection of its own, for which libpq waits: it does so in libuv's thread
 * pool. Whether it got through is not told; it is made again, and statement_timeout remains.
 */

/* Begins a request if there is something to cancel; hooks.up is called when it is through. */
void pg_cancel_unwanted(struct pg_conn *conn);

/* The session is over: a request under way has nobody to tell. */
void pg_cancel_forget(struct pg_conn *conn);

#endif
