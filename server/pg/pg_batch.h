#ifndef SERVER_PG_PG_BATCH_H
#define SERVER_PG_PG_BATCH_H

#include "server/pg/pg_query.h"

/*
 * The queries of one transaction, linked by and_then from the first: how they begin and
 * how they are told their end. For the connection and the pool; nobody else. Each `done` may
 * free or send its query again, so nothing is touched after it.
 */

/* Forgets the results of an earlier use. */
void pg_batch_begin(struct pg_query *query);

/* Tells every query what it got. When one failed, the others have not happened either and get
 * E_CANCELLED. */
void pg_batch_settle(struct pg_query *query);

/* Tells every query the same failure. */
void pg_batch_fail(struct pg_query *query, enum status status, const char *text);

/* Takes over an error result as what became of this query. */
void pg_batch_record(struct pg_query *query, PGresult *result);

#endif
