#ifndef SERVER_HTTP_METRICS_H
#define SERVER_HTTP_METRICS_H

#include <stdint.h>
#include "search/base/buf.h"
#include "server/http/router.h"

/*
 * How many requests each route answered, how, and how long they took; and GET /metrics,
 * which prints that and the state of the pools, the jobs and the process for Prometheus
 * (text format 0.0.4). Label values are operations and states: a fixed, small set.
 *
 * /metrics needs no token and shows nothing secret. What it asks the database it asks at
 * most every METRICS_REST_S seconds.
 */
enum { METRICS_REST_S = 5, METRICS_BUCKETS = 9 };

struct metrics_route {
    const struct route *route; /* NULL: requests that matched none */
    uint64_t by_class[6];      /* [2]: 2xx; [0]: cut off before a reply */
    uint64_t buckets[METRICS_BUCKETS];
    double seconds;
};

struct metrics {
    struct metrics_route *routes;
    size_t n;
};

void metrics_count(struct metrics *m, const struct route *route, int status, double seconds);
void metrics_print(const struct metrics *m, struct buf *out);
void metrics_release(struct metrics *m);

/* # HELP and # TYPE of a metric. */
void metrics_head(struct buf *out, const char *name, const char *type, const char *help);

void metrics_page_routes(struct router *router);

#endif
