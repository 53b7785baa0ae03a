#include "server/pg/pg_pool.h"

#include <stdlib.h>
#include <string.h>
#include "server/pg/pg_batch.h"
#include "server/pg/pg_conn.h"

enum { MAX_CONNS = 32 };

struct pg_pool {
    uv_loop_t *loop;
    char *conninfo, *name;
    int depth, queue_max;
    unsigned patience_ms;
    struct list queue;   /* batches that wait, oldest first */
    struct list refused; /* batches that did not get in; reported by the timer */
    int n_queue;
    uv_timer_t timer; /* the patience of the oldest, or now for the refused */
    bool closing;
    int n_open; /* connections whose closed has not come yet */
    void (*closed)(void *data);
    void *data;
    struct pg_pool_stats stats;
    int n_conns;
    struct pg_conn conns[];
};

static bool any_up(const struct pg_pool *pool)
{
    for (int i = 0; i < pool->n_conns; i++)
        if (pg_conn_is_ready(&pool->conns[i])) return true;
    return false;
}

static struct pg_query *take(struct list *list)
{
    struct pg_query *query = container_of(list->next, struct pg_query, link);
    list_remove(&query->link);
    return query;
}

/* ---- the queue ---------------------------------------------------------------------- */

/* Behind what takes long is the last place to wait. */
static int burden(const struct pg_pool *pool, struct pg_conn *conn)
{
    return conn->n_flying + (pg_conn_is_slow(conn) ? pool->depth : 0);
}

static struct pg_conn *least_loaded(struct pg_pool *pool)
{
    struct pg_conn *best = NULL;
    for (int i = 0; i < pool->n_conns; i++) {
        struct pg_conn *conn = &pool->conns[i];
        if (pg_conn_is_ready(conn) && conn->n_flying < pool->depth &&
            (!best || burden(pool, conn) < burden(pool, best)))
            best = conn;
    }
    return best;
}

static void pump(struct pg_pool *pool)
{
    struct pg_conn *conn;
    while (!list_empty(&pool->queue) && (conn = least_loaded(pool))) {
        struct pg_query *query = take(&pool->queue);
        pool->n_queue--;
        if (query->unwanted)
            pg_batch_fail(query, E_CANCELLED, "nobody waits for it any more");
        else
            pg_conn_send(conn, query);
    }
}

static uint64_t age(const struct pg_pool *pool, struct list *link)
{
    return uv_now(pool->loop) - container_of(link, struct pg_query, link)->sent_at;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct pg_pool *pool)
{
    if (pool->closing) return;
    if (!list_empty(&pool->refused))
        uv_timer_start(&pool->timer, on_timer, 0, 0);
    else if (!list_empty(&pool->queue) && !uv_is_active((uv_handle_t *)&pool->timer))
        uv_timer_start(&pool->timer, on_timer, pool->patience_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct pg_pool *pool = timer->data;
    struct list over;
    list_init(&over);
    while (!list_empty(&pool->queue) && age(pool, pool->queue.next) >= pool->patience_ms) {
        pool->n_queue--;
        list_append(&over, &take(&pool->queue)->link);
    }
    while (!list_empty(&pool->refused)) list_append(&over, &take(&pool->refused)->link);
    if (!list_empty(&pool->queue))
        uv_timer_start(timer, on_timer, pool->patience_ms - age(pool, pool->queue.next), 0);
    while (!list_empty(&over)) {
        pool->stats.busy++;
        pg_batch_fail(take(&over), E_BUSY,
                      any_up(pool) ? "the database has too much to do, try again"
                                   : "the database cannot be reached, try again");
    }
}

void pg_pool_send(struct pg_pool *pool, struct pg_query *query)
{
    pg_batch_begin(query);
    query->unwanted = false;
    query->sent_at = uv_now(pool->loop);
    pool->stats.queries++;
    struct pg_conn *conn = list_empty(&pool->queue) && !pool->closing ? least_loaded(pool) : NULL;
    if (conn) {
        pg_conn_send(conn, query);
    } else if (pool->n_queue < pool->queue_max || pool->closing) {
        list_append(&pool->queue, &query->link);
        pool->n_queue++;
        arm(pool);
    } else {
        list_append(&pool->refused, &query->link);
        arm(pool);
    }
}

/* ---- open and close ------------------------------------------------------------------ */

static void on_up(struct pg_conn *conn) { pump(conn->hooks.data); }

static void set_defaults(struct pg_pool *pool, const struct pg_pool_options *options)
{
    pool->depth = options->depth ? options->depth : 16;
    pool->queue_max = options->queue_max ? options->queue_max : 1024;
    pool->patience_ms = options->patience_ms ? options->patience_ms : 5000;
}

struct pg_pool *pg_pool_open(uv_loop_t *loop, const struct pg_pool_options *options)
{
    int n = options->n_conns ? options->n_conns : 4;
    assert(n > 0 && n <= MAX_CONNS);
    struct pg_pool *pool = calloc(1, sizeof *pool + (size_t)n * sizeof *pool->conns);
    if (!pool) abort();
    pool->loop = loop;
    pool->conninfo = strdup(options->conninfo);
    pool->name = strdup(options->name ? options->name : "lathed");
    set_defaults(pool, options);
    list_init(&pool->queue);
    list_init(&pool->refused);
    uv_timer_init(loop, &pool->timer);
    pool->timer.data = pool;
    pool->n_conns = pool->n_open = n;
    struct pg_conn_hooks hooks = { .up = on_up, .data = pool };
    unsigned timeout_ms = options->statement_timeout_ms ? options->statement_timeout_ms : 15000;
    for (int i = 0; i < n; i++)
        pg_conn_init(&pool->conns[i], loop, pool->conninfo, pool->name, timeout_ms, &hooks);
    return pool;
}

static void on_all_closed(uv_handle_t *handle)
{
    struct pg_pool *pool = handle->data;
    while (!list_empty(&pool->queue) || !list_empty(&pool->refused))
        pg_batch_fail(take(list_empty(&pool->queue) ? &pool->refused : &pool->queue), E_CANCELLED,
                      "the service is stopping");
    pool->closed(pool->data);
    free(pool->conninfo);
    free(pool->name);
    free(pool);
}

static void on_conn_closed(struct pg_conn *conn)
{
    struct pg_pool *pool = conn->hooks.data;
    if (--pool->n_open == 0) uv_close((uv_handle_t *)&pool->timer, on_all_closed);
}

void pg_pool_close(struct pg_pool *pool, void (*closed)(void *data), void *data)
{
    assert(!pool->closing);
    pool->closing = true;
    pool->closed = closed;
    pool->data = data;
    uv_timer_stop(&pool->timer);
    for (int i = 0; i < pool->n_conns; i++) pg_conn_close(&pool->conns[i], on_conn_closed);
}

void pg_pool_stats(const struct pg_pool *pool, struct pg_pool_stats *out)
{
    *out = pool->stats;
    out->n_conns = pool->n_conns;
    out->waiting = pool->n_queue;
    out->oldest_ms = list_empty(&pool->queue) ? 0 : age(pool, pool->queue.next);
    for (int i = 0; i < pool->n_conns; i++) {
        out->n_up += pg_conn_is_ready(&pool->conns[i]);
        out->flying += pool->conns[i].n_flying;
        out->reconnects += pool->conns[i].reconnects;
    }
}
