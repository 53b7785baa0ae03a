#ifndef SERVER_PG_PG_QUERY_H
#define SERVER_PG_PG_QUERY_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include "search/base/error.h"
#include "search/base/list.h"

/*
 * One statement on its way to PostgreSQL and back. The caller owns it and
 * everything it points at, and keeps them unchanged until `done`.
 *
 *     static const char insert_shape[] = "insert into ... values ($1, $2) returning id";
 *     ...
 *     create->query = (struct pg_query){ .sql = insert_shape, .n_params = 2,
 *         .params = create->params, .done = created, .data = create };
 *     pg_pool_send(app->pool, &create->query);
 *
 * Promises:
 *   - `done` runs exactly once for every query sent, and never from inside the
 *     sending call;
 *   - it runs after the transaction is committed (or rolled back), so what it
 *     reports has happened;
 *   - `rows` is cleared when `done` returns: copy what you keep. On success it is
 *     never NULL. On an error of the server it is the error result, for
 *     PQresultErrorField(rows, PG_DIAG_CONSTRAINT_NAME); otherwise NULL;
 *   - a query that may have reached the server is never sent twice: after a lost
 *     connection `done` gets E_BUSY and the caller decides. One that had not left
 *     us waits for the next connection, up to the pool's patience, then E_BUSY;
 *   - when the pool is closed before, E_CANCELLED;
 *   - whoever sets `unwanted` of one that was sent does not wait for its result any more: within a
 *     second or two it is not sent, or the server is asked to stop it, and `done` gets E_CANCELLED
 *     or E_BUSY. One that shares its connection's pipeline with others goes on, as theirs would be
 *     stopped in its place. For reads: what it would have changed may be done or not;
 *   - in `done` the query may be sent again, freed or forgotten.
 *
 * Statements are prepared on each connection when first met, under the address
 * of `sql`: it must have static storage duration and never change. Text made at
 * run time sets `dynamic`, is sent unprepared and must hold no outside value.
 *
 * Parameters are text (NULL is SQL null) and so are results.
 *
 * A batch is one transaction of several statements: link them by `and_then`, send
 * the first. Every `done` of a batch runs, in order, after the commit. When one
 * fails nothing of the batch has happened: that one gets the error, the others
 * E_CANCELLED. At most PG_BATCH_MAX statements.
 *
 * Errors of the server become statuses by SQLSTATE:
 *   22 data exception E_INPUT; 23 integrity E_CONFLICT; 40 serialization, 53
 *   resources, 55P03 lock, 57 shutdown or time-out E_BUSY; LT400 E_INPUT, LT404
 *   E_MISSING, LT409 E_CONFLICT, LT412 E_STALE, LT429 E_LIMIT (for `raise exception using
 *   errcode = 'LT404'` in our own functions); anything else E_DB. The text is the
 *   server's primary message.
 */
enum { PG_BATCH_MAX = 16 };

struct pg_query {
    const char *sql;
    int n_params;
    const char *const *params;
    bool dynamic;
    void (*done)(struct pg_query *query, PGresult *rows, const struct error *err);
    void *data;
    struct pg_query *and_then;
    bool unwanted; /* of the first of a batch; false when sent */

    /* private */
    struct list link;
    PGresult *rows;
    struct error err;
    uint64_t sent_at;
    bool prepares; /* sent with its preparation in front */
};

/* The rows of a result are read so often that it has words of its own. A null
 * reads as "", 0, false or `otherwise`; booleans are PostgreSQL's 't' and 'f'. */
const char *pg_text(const PGresult *rows, int row, int column);
const char *pg_text_or(const PGresult *rows, int row, int column, const char *otherwise);
int64_t pg_int(const PGresult *rows, int row, int column);
double pg_double(const PGresult *rows, int row, int column);
bool pg_bool(const PGresult *rows, int row, int column);
bool pg_null(const PGresult *rows, int row, int column);

/* The status and text of an error result, by the table above. */
enum status pg_error(const PGresult *rows, struct error *err);

#endif
