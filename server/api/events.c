#include <inttypes.h>
#include <string.h>
#include "server/api/api.h"
#include "server/api/ask.h"
#include "server/api/hub.h"
#include "server/http/sse.h"
#include "server/pg/pg_pool.h"

/*
 * /v1/events[?resource=srch_3]: everything that happens, as it happens, and with
 * Last-Event-ID everything since. An event's data is what the trainer said, or
 * {"id", "state", ...} for a change of state, with "resource" in front.
 *
 *   READING ◄──► LIVE
 *     │ ▲          │        a client that takes less than comes is READING again
 *     ▼ │          ▼        once its backlog is empty
 *    FULL ◄────────┘
 *
 *   READING  pages of the past come from PostgreSQL
 *   LIVE     the hub calls
 *   FULL     the client's backlog holds no more; we wait until it is empty
 *
 * Becoming LIVE, it sends an id alone: who listens knows that no more of the past comes.
 * All it keeps for a client is the last id that it was given.
 */
enum { PAGE = 200 };
enum state { READING, LIVE, FULL };

struct reader {
    struct watcher watcher;
    struct request *req;
    struct stream *stream; /* NULL once closed */
    enum state state;
    bool asking;
    int64_t cursor; /* the newest id that was sent or did not concern it */
    const char *resource;
    struct pg_query query;
    const char *params[2];
    char after[24];
};

#define PAST(condition)                                                                            \
    "with top as (select coalesce(max(event_id), 0) as id from event)"                             \
    " select " HUB_COLUMNS ", top.id from top left join lateral (select * from event"              \
    "   where event_id > $1" condition " order by event_id limit 200) e on true"                   \
    " order by e.event_id"

static const char select_past[] = PAST("");
static const char select_past_of_resource[] = PAST(" and subject = $2");

static void read_on(struct reader *r);

/* ---- sending ----------------------------------------------------------------------- */

/* False when the client has no room for it now. */
static bool give(struct reader *r, const struct hub_event *event)
{
    if (event->id <= r->cursor) return true;
    if (!r->resource || !strcmp(r->resource, event->subject))
        if (sse_send(r->stream, event->id, event->kind, event->data)) {
            r->state = FULL;
            return false;
        }
    r->cursor = event->id;
    return true;
}

static void happened(struct watcher *watcher, const struct hub_event *event)
{
    struct reader *r = container_of(watcher, struct reader, watcher);
    if (r->stream && r->state == LIVE) give(r, event);
}

/* From the past into the present: what the hub still holds, then what it will say. */
static void go_live(struct reader *r)
{
    const struct hub *hub = r->req->app->hub;
    bool gap;
    const struct hub_event *event;
    if (!hub) { /* the service stops */
        stream_end(r->stream);
        return;
    }
    while ((event = hub_after(hub, r->cursor, &gap)) && !gap)
        if (!give(r, event)) return;
    if (gap)
        read_on(r);
    else
        r->state = sse_mark(r->stream, r->cursor) ? FULL : LIVE;
}

static void got_past(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct reader *r = query->data;
    struct request *req = r->req;
    r->asking = false;
    int n = err->status || pg_null(rows, 0, 0) ? 0 : PQntuples(rows);
    if (!r->stream) {
    } else if (err->status) {
        stream_end(r->stream); /* it comes back with Last-Event-ID */
    } else {
        bool room = true;
        for (int i = 0; i < n && room; i++) {
            struct hub_event event = hub_event_of(rows, i);
            room = give(r, &event);
        }
        if (room && n < PAGE) r->cursor = pg_int(rows, 0, 4); /* also down, from an id that never was */
        if (room && n < PAGE)
            go_live(r);
        else if (room)
            read_on(r);
    }
    request_release(req);
}

static void read_on(struct reader *r)
{
    r->state = READING;
    if (r->asking) return;
    bool from_now = r->cursor < 0;
    snprintf(r->after, sizeof r->after, "%" PRId64, from_now ? INT64_MAX : r->cursor);
    r->params[0] = r->after;
    r->params[1] = r->resource;
    r->query = (struct pg_query){ .sql = r->resource ? select_past_of_resource : select_past,
                                  .n_params = r->resource ? 2 : 1,
                                  .params = r->params,
                                  .done = got_past,
                                  .data = r };
    r->asking = true;
    request_hold(r->req);
    pg_pool_send(r->req->app->pool, &r->query);
}

/* ---- the stream -------------------------------------------------------------------- */

static void on_drained(struct stream *stream, void *data)
{
    (void)stream;
    struct reader *r = data;
    if (r->state == FULL) read_on(r);
}

static void on_closed(struct stream *stream, void *data)
{
    (void)stream;
    struct reader *r = data;
    r->stream = NULL;
    hub_leave(&r->watcher);
}

static bool is_resource(const char *text)
{
    size_t letters = strspn(text, "abcdefghijklmnopqrstuvwxyz");
    if (!letters || text[letters] != '_') return false;
    const char *digits = text + letters + 1;
    return *digits && !digits[strspn(digits, "0123456789")];
}

static void event_stream(struct request *req)
{
    struct error err = { 0 };
    const char *resource = request_query(req, "resource");
    int64_t last = sse_last_id(req);
    if (resource && !is_resource(resource)) {
        fail(&err, E_INPUT, "resource must be an id such as srch_1");
        strcpy(err.pointer, "?resource");
        reply_error(req, &err);
        return;
    }
    struct reader *r = request_new(req, struct reader);
    *r = (struct reader){
        .req = req, .resource = resource, .cursor = last, .watcher.happened = happened
    };
    list_init(&r->watcher.link);
    struct stream_hooks hooks = { .drained = on_drained, .closed = on_closed, .data = r };
    r->stream = sse_open(req, &hooks);
    if (!r->stream) return;
    hub_watch(req->app->hub, &r->watcher);
    read_on(r);
}

static const struct route routes[] = {
    { .method = "GET",
      .path = "/v1/events",
      .handle = event_stream,
      .scope = SCOPE_READ,
      .operation = "watchEvents",
      .summary = "What happens, as server-sent events" },
};

void events_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
