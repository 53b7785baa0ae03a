#ifndef CLIENTS_CLI_STREAM_H
#define CLIENTS_CLI_STREAM_H

#include "clients/cli/http.h"
#include "clients/cli/sse.h"

/*
 * The service's events (GET /v1/events), followed for as long as it takes.
 *
 * stream_wait hands events to the callback in their order, each once. When the
 * connection breaks, the service restarts or nothing comes for STREAM_SILENT_S,
 * it connects again after a pause that grows to STREAM_MAX_PAUSE_MS and asks to go on after the
 * last event seen (Last-Event-ID), so nothing is lost and nothing comes twice.
 * What only the user can mend (a wrong token, an unknown id) is returned.
 */
enum { STREAM_MAX_PAUSE_MS = 5000, STREAM_SILENT_S = 45 };

struct stream {
    struct where where;
    struct sse sse;
    CURLM *multi;
    CURL *curl; /* NULL between connections */
    struct curl_slist *headers;
    char path[HTTP_MAX_PATH];
    bool connected;      /* the service answered 200 and has not hung up */
    int pause_ms;        /* before the next try */
    int64_t retry_at_ms; /* monotonic */
    struct buf problem;  /* the body of a refusal */
};

/* `after` is the id of the last event that is already known, or NULL: from now on. */
enum status stream_open(struct stream *stream, const struct where *where, const char *path,
                        const char *after,
                        void (*on_event)(void *context, const struct sse_event *event),
                        void *context, struct error *err);
void stream_close(struct stream *stream);

/* Waits up to `ms` for events and hands them on. OK also while there is no connection. */
enum status stream_wait(struct stream *stream, int ms, struct error *err);

/* Milliseconds of a clock that only goes forward. */
int64_t stream_now_ms(void);

#endif
