#include <stdio.h>
#include "search/base/log.h"
#include "server/access/access.h"
#include "server/config.h"
#include "server/pg/pg_pool.h"

/* What is old goes: replies kept for a day, the audit log for a year, events and metrics for as
 * long as the settings say (sql/0009). Statements by themselves, so that one that fails stops no
 * other. */
static const char forget_keys[] =
    "with old as (delete from audit where at < now() - interval '1 year')"
    " delete from idempotency_key where started_at < now() - interval '1 day'";
static const char forget_events[] = "select events_forget($1::int * interval '1 day')";
static const char forget_metrics[] = "select metrics_forget($1::int * interval '1 day')";

enum { N_SWEEPS = 3 };

static struct sweep {
    struct pg_query query;
    const char *params[1];
    char days[16];
    bool busy;
} sweeps[N_SWEEPS];

static void on_swept(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct sweep *sweep = query->data;
    (void)rows;
    sweep->busy = false;
    if (err->status && err->status != E_CANCELLED && err->status != E_BUSY)
        log_warn("retention: %s", err->text);
}

static void start(struct app *app, struct sweep *sweep, const char *sql, int days)
{
    if (sweep->busy) return;
    sweep->busy = true;
    snprintf(sweep->days, sizeof sweep->days, "%d", days);
    sweep->params[0] = sweep->days;
    sweep->query = (struct pg_query){ .sql = sql,
                                      .n_params = sql != forget_keys,
                                      .params = sweep->params,
                                      .done = on_swept,
                                      .data = sweep };
    pg_pool_send(app->slow, &sweep->query);
}

void retention_sweep(struct app *app)
{
    const struct config *config = app->config;
    start(app, &sweeps[0], forget_keys, 0);
    if (config->keep_events) start(app, &sweeps[1], forget_events, config->keep_events);
    if (config->keep_metrics) start(app, &sweeps[2], forget_metrics, config->keep_metrics);
}
