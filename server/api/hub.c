#include "server/api/hub.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/log.h"
#include "server/pg/pg_listen.h"
#include "server/pg/pg_pool.h"

enum { POLL_MS = 1000 };

struct hub {
    struct app *app;
    struct list watchers;
    struct hub_event ring[HUB_EVENTS];
    char *block[HUB_EVENTS]; /* an event's strings, one after the other */
    size_t bytes[HUB_EVENTS], total;
    int first, n;
    int64_t last, forgotten; /* newest id told; newest id that is no longer in memory */
    bool asking, again, closing;
    uv_timer_t timer;
    struct pg_listener *listener;
    struct pg_query query;
    const char *params[1];
    char after[24];
    void (*closed)(struct app *app);
};

static void look(struct hub *hub);

/* ---- memory ------------------------------------------------------------------------ */

static void forget_oldest(struct hub *hub)
{
    struct hub_event *event = &hub->ring[hub->first];
    hub->forgotten = event->id;
    hub->total -= hub->bytes[hub->first];
    free(hub->block[hub->first]);
    hub->first = (hub->first + 1) % HUB_EVENTS;
    hub->n--;
}

static const struct hub_event *remember(struct hub *hub, struct hub_event event)
{
    size_t a = strlen(event.subject) + 1, b = strlen(event.kind) + 1, c = strlen(event.data) + 1;
    while (hub->n && (hub->n == HUB_EVENTS || hub->total + a + b + c > HUB_BYTES))
        forget_oldest(hub);
    char *block = malloc(a + b + c);
    if (!block) abort();
    memcpy(block, event.subject, a);
    memcpy(block + a, event.kind, b);
    memcpy(block + a + b, event.data, c);
    int at = (hub->first + hub->n++) % HUB_EVENTS;
    hub->block[at] = block;
    hub->bytes[at] = a + b + c;
    hub->total += a + b + c;
    hub->ring[at] = (struct hub_event){ event.id, block, block + a, block + a + b };
    return &hub->ring[at];
}

const struct hub_event *hub_after(const struct hub *hub, int64_t id, bool *gap)
{
    int low = 0, high = hub->n; /* ids ascend around the ring */
    *gap = id < hub->forgotten;
    while (low < high) {
        int middle = (low + high) / 2;
        if (hub->ring[(hub->first + middle) % HUB_EVENTS].id <= id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < hub->n ? &hub->ring[(hub->first + low) % HUB_EVENTS] : NULL;
}

int64_t hub_last(const struct hub *hub) { return hub->last; }

/* ---- following --------------------------------------------------------------------- */

static const char select_newest[] = "select coalesce(max(event_id), 0) from event";
static const char select_after[] =
    "select " HUB_COLUMNS " from event e where e.event_id > $1 order by e.event_id limit 500";

struct hub_event hub_event_of(const PGresult *rows, int row)
{
    return (struct hub_event){ pg_int(rows, row, 0), pg_text(rows, row, 1), pg_text(rows, row, 2),
                               pg_text(rows, row, 3) };
}

static void tell(struct hub *hub, const struct hub_event *event)
{
    hub->last = event->id;
    list_each(it, &hub->watchers)
    {
        struct watcher *watcher = container_of(it, struct watcher, link);
        watcher->happened(watcher, event);
    }
}

static void got_events(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct hub *hub = query->data;
    hub->asking = false;
    if (err->status) return;
    int n = PQntuples(rows);
    for (int i = 0; i < n; i++) tell(hub, remember(hub, hub_event_of(rows, i)));
    if (hub->again || n == HUB_PAGE) look(hub);
}

static void got_newest(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct hub *hub = query->data;
    hub->asking = false;
    if (err->status) return;
    hub->last = hub->forgotten = pg_int(rows, 0, 0);
    look(hub);
}

static void look(struct hub *hub)
{
    hub->again = hub->asking;
    if (hub->asking || hub->closing) return;
    snprintf(hub->after, sizeof hub->after, "%" PRId64, hub->last);
    hub->params[0] = hub->after;
    bool known = hub->last >= 0;
    hub->query = (struct pg_query){ .sql = known ? select_after : select_newest,
                                    .n_params = known,
                                    .params = hub->params,
                                    .data = hub,
                                    .done = known ? got_events : got_newest };
    hub->asking = true;
    pg_pool_send(hub->app->pool, &hub->query);
}

static void on_timer(uv_timer_t *timer) { look(timer->data); }

static void on_heard(void *data, const char *channel, const char *payload)
{
    (void)channel, (void)payload;
    look(data);
}

void hub_watch(struct hub *hub, struct watcher *watcher)
{
    list_append(&hub->watchers, &watcher->link);
}

void hub_leave(struct watcher *watcher) { list_remove(&watcher->link); }

/* ---- open and close ---------------------------------------------------------------- */

void hub_open(struct app *app)
{
    static const char *const channels[] = { "lathe_event", NULL };
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub) abort();
    hub->app = app;
    hub->last = -1;
    hub->forgotten = INT64_MAX; /* nothing is in memory */
    list_init(&hub->watchers);
    uv_timer_init(app->loop, &hub->timer);
    hub->timer.data = hub;
    uv_timer_start(&hub->timer, on_timer, 0, POLL_MS);
    hub->listener = pg_listen(app->loop, app->conninfo, channels, on_heard, hub);
    app->hub = hub;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct hub *hub = handle->data;
    struct app *app = hub->app;
    void (*closed)(struct app *) = hub->closed;
    while (hub->n) forget_oldest(hub);
    while (!list_empty(&hub->watchers)) list_remove(hub->watchers.next); /* they leave later */
    free(hub);
    app->hub = NULL;
    closed(app);
}

/* A query may still be out: wait for it, a little later. */
static void on_closing(uv_timer_t *timer)
{
    struct hub *hub = timer->data;
    if (hub->asking)
        uv_timer_start(timer, on_closing, 10, 0);
    else
        uv_close((uv_handle_t *)timer, on_timer_closed);
}

static void on_listener_closed(void *data)
{
    struct hub *hub = data;
    uv_timer_start(&hub->timer, on_closing, 0, 0);
}

void hub_close(struct app *app, void (*closed)(struct app *app))
{
    struct hub *hub = app->hub;
    hub->closing = true;
    hub->closed = closed;
    uv_timer_stop(&hub->timer);
    pg_listener_close(hub->listener, on_listener_closed, hub);
}
