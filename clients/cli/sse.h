#ifndef CLIENTS_CLI_SSE_H
#define CLIENTS_CLI_SSE_H

#include "search/base/buf.h"

/*
 * Reads server-sent events (HTML Living Standard, 9.2.6) from bytes as they come,
 * cut anywhere. Lines end in LF, CR LF or CR; fields are id, event, data and
 * retry; a blank line ends an event; an event without data is none. What is
 * unfinished when the connection ends is dropped, as the standard says.
 */
enum { SSE_MAX_ID = 128, SSE_MAX_NAME = 64, SSE_MAX_EVENT_BYTES = 1 << 20 };

struct sse_event {
    const char *id;   /* the last id seen, "" when none was */
    const char *name; /* "message" unless the event says otherwise */
    const char *data; /* lines joined by LF */
};

struct sse {
    struct buf line, data;
    char id[SSE_MAX_ID], name[SSE_MAX_NAME];
    char whole_id[SSE_MAX_ID]; /* of the last event that came whole: where to go on */
    int retry_ms; /* how long the service asks to wait before coming back; 0: not said */
    bool after_cr;
    void (*on_event)(void *context, const struct sse_event *event);
    void *context;
};

void sse_init(struct sse *sse, void (*on_event)(void *context, const struct sse_event *event),
              void *context);
void sse_release(struct sse *sse);

/* A new connection: forgets what is unfinished, its id too. */
void sse_restart(struct sse *sse);

/* False when an event is longer than SSE_MAX_EVENT_BYTES. */
bool sse_feed(struct sse *sse, const char *bytes, size_t len);

#endif
