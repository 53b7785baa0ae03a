#include "server/pg/pg_batch.h"

static const char another_failed[] = "another statement of the same transaction failed";

void pg_batch_begin(struct pg_query *query)
{
    for (struct pg_query *q = query; q; q = q->and_then) {
        q->rows = NULL;
        q->err = (struct error){ 0 };
    }
}

static void drop_rows(struct pg_query *q)
{
    PQclear(q->rows);
    q->rows = NULL;
}

static void tell(struct pg_query *query)
{
    while (query) {
        struct pg_query *next = query->and_then;
        PGresult *rows = query->rows;
        struct error err = query->err;
        query->rows = NULL;
        query->done(query, rows, &err);
        PQclear(rows);
        query = next;
    }
}

void pg_batch_fail(struct pg_query *query, enum status status, const char *text)
{
    for (struct pg_query *q = query; q; q = q->and_then) {
        drop_rows(q);
        q->err = (struct error){ 0 };
        fail(&q->err, status, "%.300s", text);
    }
    tell(query);
}

void pg_batch_settle(struct pg_query *query)
{
    bool failed = false;
    for (struct pg_query *q = query; q; q = q->and_then) failed |= q->err.status != OK;
    for (struct pg_query *q = query; failed && q; q = q->and_then) {
        if (q->err.status) continue;
        drop_rows(q);
        fail(&q->err, E_CANCELLED, "%s", another_failed);
    }
    tell(query);
}

void pg_batch_record(struct pg_query *query, PGresult *result)
{
    if (PQresultStatus(result) == PGRES_PIPELINE_ABORTED) {
        fail(&query->err, E_CANCELLED, "%s", another_failed);
        PQclear(result);
        return;
    }
    pg_error(result, &query->err);
    drop_rows(query);
    query->rows = result;
}
