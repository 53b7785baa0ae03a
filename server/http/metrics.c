#include "server/http/metrics.h"

#include <stdlib.h>

static const double bounds[METRICS_BUCKETS] = { 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                0.05,   0.25,  1,      10 };

static struct metrics_route *find(struct metrics *m, const struct route *route)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->routes[i].route == route) return &m->routes[i];
    m->routes = realloc(m->routes, (m->n + 1) * sizeof *m->routes);
    if (!m->routes) abort();
    m->routes[m->n] = (struct metrics_route){ .route = route };
    return &m->routes[m->n++];
}

void metrics_count(struct metrics *m, const struct route *route, int status, double seconds)
{
    struct metrics_route *r = find(m, route);
    r->by_class[status >= 100 && status < 600 ? status / 100 : 0]++;
    r->seconds += seconds;
    for (int i = 0; i < METRICS_BUCKETS; i++)
        if (seconds <= bounds[i]) {
            r->buckets[i]++;
            return;
        }
}

void metrics_release(struct metrics *m)
{
    free(m->routes);
    *m = (struct metrics){ 0 };
}

/* ---- printing ------------------------------------------------------------------------------- */

void metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *name_of(const struct metrics_route *r)
{
    if (!r->route) return "none";
    return r->route->operation ? r->route->operation : r->route->path;
}

static uint64_t total(const struct metrics_route *r)
{
    uint64_t n = 0;
    for (int i = 0; i < 6; i++) n += r->by_class[i];
    return n;
}

static void print_histogram(const struct metrics_route *r, struct buf *out)
{
    static const char name[] = "lathe_http_request_duration_seconds";
    uint64_t n = 0;
    for (int i = 0; i < METRICS_BUCKETS; i++)
        buf_printf(out, "%s_bucket{operation=\"%s\",le=\"%g\"} %llu\n", name, name_of(r), bounds[i],
                   (unsigned long long)(n += r->buckets[i]));
    unsigned long long all = total(r);
    buf_printf(out, "%s_bucket{operation=\"%s\",le=\"+Inf\"} %llu\n", name, name_of(r), all);
    buf_printf(out, "%s_sum{operation=\"%s\"} %.6f\n", name, name_of(r), r->seconds);
    buf_printf(out, "%s_count{operation=\"%s\"} %llu\n", name, name_of(r), all);
}

void metrics_print(const struct metrics *m, struct buf *out)
{
    static const char *const classes[] = { "cut off", "1xx", "2xx", "3xx", "4xx", "5xx" };
    metrics_head(out, "lathe_http_requests_total", "counter",
                 "Requests by operation and kind of reply.");
    for (size_t i = 0; i < m->n; i++)
        for (int c = 0; c < 6; c++)
            if (m->routes[i].by_class[c])
                buf_printf(out, "lathe_http_requests_total{operation=\"%s\",code=\"%s\"} %llu\n",
                           name_of(&m->routes[i]), classes[c],
                           (unsigned long long)m->routes[i].by_class[c]);
    metrics_head(out, "lathe_http_request_duration_seconds", "histogram",
                 "From the last byte of the header to the last byte of the reply.");
    for (size_t i = 0; i < m->n; i++) print_histogram(&m->routes[i], out);
}
