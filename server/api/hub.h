#ifndef SERVER_API_HUB_H
#define SERVER_API_HUB_H

#include <libpq-fe.h>
#include <stdint.h>
#include "search/base/list.h"
#include "server/app.h"
#include "server/pg/pg_query.h"

/*
 * Follows table `event` and keeps its newest rows in memory, so that a thousand people who
 * watch cost one query, not a thousand. Woken by channel lathe_event, and once a second in
 * any case. Because ids are given out in the order of commits (sql/0001), "what comes after
 * the last id" misses nothing.
 *
 *   UNKNOWN ──► FOLLOWING      once the newest id is known
 *
 * Watchers are called with every event in order while FOLLOWING; hub_after gives a late-comer
 * what is still in memory. Bounded by HUB_EVENTS and HUB_BYTES.
 */
enum { HUB_EVENTS = 4096, HUB_BYTES = 4 * 1024 * 1024, HUB_PAGE = 500 };

struct hub_event {
    int64_t id;
    const char *subject, *kind, *data; /* data: one line of JSON */
};

struct watcher {
    struct list link;
    void (*happened)(struct watcher *watcher, const struct hub_event *event);
};

struct hub;

void hub_open(struct app *app);
void hub_close(struct app *app, void (*closed)(struct app *app));

/* From now on `happened` is called, later, for every event after hub_last. */
void hub_watch(struct hub *hub, struct watcher *watcher);
void hub_leave(struct watcher *watcher);

/* The newest event everybody was told of; -1 while unknown. */
int64_t hub_last(const struct hub *hub);

/* The first event in memory after `id`, or NULL; *gap when some between were forgotten.
 * Valid until control returns to the loop. */
const struct hub_event *hub_after(const struct hub *hub, int64_t id, bool *gap);

/* Columns of table event e as the hub and readers of the past want them. */
#define HUB_COLUMNS                                                                                \
    "e.event_id, e.subject, e.kind, jsonb_build_object('resource', e.subject) || e.body"

struct hub_event hub_event_of(const PGresult *rows, int row);

#endif
