#ifndef SERVER_HTTP_STREAM_H
#define SERVER_HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include "search/base/error.h"

struct request;

/*
 * A reply of unknown length that we push into as things happen: SSE, NDJSON.
 *
 * Bytes wait in a bounded backlog until the client takes them. A push that does not
 * fit puts nothing and returns E_LIMIT; the writer then either waits for `drained`
 * (paging through the database) or ends the stream (live events: a client this slow
 * does better to come back with Last-Event-ID).
 *
 *   drained   the backlog has become empty after it was not; push more from here.
 *             Never called from inside stream_push; may be NULL
 *   closed    the stream is over, by the client, by stream_end or by the server's
 *             drain; called exactly once, last, never from inside a call of ours.
 *             After it returns `stream` is gone. The request is held until then
 */
struct stream;

struct stream_hooks {
    void (*drained)(struct stream *stream, void *data);
    void (*closed)(struct stream *stream, void *data);
    void *data;
};

/* Replies 200 with this content type and keeps the reply open. `backlog` in bytes. */
struct stream *stream_open(struct request *req, const char *type, size_t backlog,
                           const struct stream_hooks *hooks);

enum status stream_push(struct stream *stream, const void *bytes, size_t len);

/* Bytes that a push could take now. */
size_t stream_room(const struct stream *stream);

/* Sends what is in the backlog, then ends the reply. Pushes after it are E_CANCELLED. */
void stream_end(struct stream *stream);

#endif
