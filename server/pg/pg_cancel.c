#include "server/pg/pg_cancel.h"

#include <stdlib.h>
#include "search/base/log.h"

struct pg_cancel {
    uv_work_t work;
    PGcancel *request;
    char why[256];
    struct pg_conn *conn; /* NULL: forgotten */
};

static void ask(uv_work_t *work)
{
    struct pg_cancel *cancel = work->data;
    if (!cancel->request || PQcancel(cancel->request, cancel->why, sizeof cancel->why))
        cancel->why[0] = 0;
}

static void asked(uv_work_t *work, int status)
{
    struct pg_cancel *cancel = work->data;
    struct pg_conn *conn = cancel->conn;
    (void)status;
    if (cancel->why[0]) log_debug("postgres: a statement was not cancelled: %s", cancel->why);
    PQfreeCancel(cancel->request);
    free(cancel);
    if (!conn) return;
    conn->cancel = NULL;
    if (pg_conn_is_ready(conn) && conn->hooks.up) conn->hooks.up(conn);
}

void pg_cancel_unwanted(struct pg_conn *conn)
{
    if (conn->cancel || conn->n_flying != 1) return;
    if (!container_of(conn->flying.next, struct pg_query, link)->unwanted) return;
    struct pg_cancel *cancel = calloc(1, sizeof *cancel);
    if (!cancel) abort();
    cancel->work.data = cancel;
    cancel->request = PQgetCancel(conn->pg);
    cancel->conn = conn;
    conn->cancel = cancel;
    uv_queue_work(conn->loop, &cancel->work, ask, asked);
}

void pg_cancel_forget(struct pg_conn *conn)
{
    if (conn->cancel) conn->cancel->conn = NULL;
    conn->cancel = NULL;
}
