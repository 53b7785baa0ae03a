#ifndef SERVER_PG_PG_SESSION_H
#define SERVER_PG_PG_SESSION_H

#include "server/pg/pg_query.h"

/*
 * The first thing said on a new connection: its settings, and whose it is. Each process has a random
 * number, the same on all its connections; they hold it as a shared advisory lock for as long as they
 * live, so that others see in pg_locks whether the process is still there (sql/0013), and name it in
 * the setting lathe.server.
 */
struct pg_session {
    struct pg_query query; /* ready to be sent; `done` and `data` are the caller's */
    char timeout[16];
    const char *params[2];
};

void pg_session_init(struct pg_session *session, unsigned statement_timeout_ms);

#endif
