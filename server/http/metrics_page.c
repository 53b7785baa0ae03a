#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "server/app.h"
#include "server/http/exchange.h"
#include "server/http/metrics.h"
#include "server/pg/pg_pool.h"

enum { PAGE_MAX = 1 << 20 };

/* ---- what we know ourselves ---------------------------------------------------------------- */

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    metrics_head(out, name, "gauge", help);
    buf_printf(out, "%s %.15g\n", name, value);
}

static double resident_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void print_process(struct buf *out)
{
    metrics_head(out, "lathe_build_info", "gauge", "Always 1; the version is in the label.");
    buf_printf(out, "lathe_build_info{version=\"%s\"} 1\n", LATHE_VERSION);
    gauge(out, "process_resident_memory_bytes", "Memory of lathed itself.", resident_bytes());
    metrics_head(out, "process_cpu_seconds_total", "counter", "Processor time of lathed itself.");
    buf_printf(out, "process_cpu_seconds_total %.3f\n", cpu_seconds());
}

static void print_pool(struct buf *out, const char *label, const struct pg_pool *pool)
{
    struct pg_pool_stats s;
    pg_pool_stats(pool, &s);
    buf_printf(out, "lathe_db_pool_connections{pool=\"%s\"} %d\n", label, s.n_conns);
    buf_printf(out, "lathe_db_pool_connected{pool=\"%s\"} %d\n", label, s.n_up);
    buf_printf(out, "lathe_db_pool_in_use{pool=\"%s\"} %d\n", label, s.flying);
    buf_printf(out, "lathe_db_pool_waiting{pool=\"%s\"} %d\n", label, s.waiting);
    buf_printf(out, "lathe_db_queries_total{pool=\"%s\"} %llu\n", label,
               (unsigned long long)s.queries);
    buf_printf(out, "lathe_db_busy_total{pool=\"%s\"} %llu\n", label, (unsigned long long)s.busy);
    buf_printf(out, "lathe_db_reconnects_total{pool=\"%s\"} %llu\n", label,
               (unsigned long long)s.reconnects);
}

static void print_here(struct request *req, struct buf *out)
{
    struct http *http = exchange_of(req)->http;
    print_process(out);
    gauge(out, "lathe_http_connections", "Open connections.", http->n_conns);
    gauge(out, "lathe_http_streams", "Clients that listen to events.", http->n_streams);
    metrics_print(&http->metrics, out);
    if (!req->app) return;
    print_pool(out, "short", req->app->pool);
    print_pool(out, "slow", req->app->slow);
}

/* ---- what the database knows --------------------------------------------------------------- */

static const char count_jobs[] = "select kind, state, count(*), coalesce(sum(tokens), 0) from job "
                                 "group by kind, state order by 1, 2";

static void print_jobs(struct buf *out, const PGresult *rows)
{
    metrics_head(out, "lathe_jobs", "gauge", "Jobs by kind and state.");
    for (int i = 0; i < PQntuples(rows); i++)
        buf_printf(out, "lathe_jobs{kind=\"%s\",state=\"%s\"} %s\n", pg_text(rows, i, 0),
                   pg_text(rows, i, 1), pg_text(rows, i, 2));
    double tokens = 0;
    for (int i = 0; i < PQntuples(rows); i++) tokens += pg_double(rows, i, 3);
    gauge(out, "lathe_tokens_trained", "Tokens that all jobs have trained on.", tokens);
}

static void send_page(struct request *req, const char *jobs)
{
    struct buf out;
    buf_init(&out, PAGE_MAX);
    print_here(req, &out);
    buf_puts(&out, jobs);
    reply_bytes(req, 200, "text/plain; version=0.0.4", out.bytes, out.len);
    buf_release(&out);
}

/* What was asked last, for clients that ask again at once. */
static struct {
    uint64_t at;
    char text[16384];
} asked;

static void on_counted(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct request *req = query->data;
    struct buf out;
    if (exchange_of(req)->http->closing) { /* pools and counts may be gone */
        reply_problem(req, 503, "busy", "the service is stopping");
        return;
    }
    buf_init(&out, sizeof asked.text);
    if (!err->status) print_jobs(&out, rows);
    snprintf(asked.text, sizeof asked.text, "%s", out.failed || !out.bytes ? "" : out.bytes);
    asked.at = uv_now(req->app->loop);
    buf_release(&out);
    send_page(req, asked.text);
}

static void metrics_get(struct request *req)
{
    if (!req->app) {
        send_page(req, "");
        return;
    }
    if (asked.at && uv_now(req->app->loop) - asked.at < METRICS_REST_S * 1000u) {
        send_page(req, asked.text);
        return;
    }
    struct pg_query *query = request_new(req, struct pg_query);
    *query = (struct pg_query){ .sql = count_jobs, .done = on_counted, .data = req };
    request_send_slow(req, query);
}

static const struct route routes[] = {
    { "GET", "/metrics", metrics_get, .scope = SCOPE_OPEN, .operation = "getMetrics",
      .summary = "Counters and gauges for Prometheus" },
};

void metrics_page_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
