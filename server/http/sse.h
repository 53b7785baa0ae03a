#ifndef SERVER_HTTP_SSE_H
#define SERVER_HTTP_SSE_H

#include <stdint.h>
#include "server/http/stream.h"

/*
 * Server-sent events on a stream. The client is told to come back after
 * SSE_RETRY_MS; a comment goes out every SSE_BEAT_S seconds of silence, which is how
 * a client that vanished is noticed. The number of open streams is bounded
 * (SSE_MAX_CLIENTS): beyond it sse_open replies 503 and returns NULL.
 *
 * Exactness: every stored event has an id; a client that was cut off says
 * Last-Event-ID and gets everything after it. So when sse_send says E_LIMIT nothing is
 * lost by ending the stream.
 */
enum { SSE_MAX_CLIENTS = 2048, SSE_BACKLOG = 256 * 1024, SSE_RETRY_MS = 1000, SSE_BEAT_S = 10 };

/* Opens the stream with hooks as in stream.h; NULL when it replied with an error. */
struct stream *sse_open(struct request *req, const struct stream_hooks *hooks);

/* Last-Event-ID (header, or query member last_event_id) as a number; -1 when absent or wrong. */
int64_t sse_last_id(struct request *req);

/* One event. `id` < 0 sends none; `event` NULL is "message"; `data` may have several
 * lines. The whole event goes in, or nothing does and E_LIMIT comes back. */
enum status sse_send(struct stream *stream, int64_t id, const char *event, const char *data);

/* An id alone: the client was told everything up to it. No event to anybody, but where a
 * client comes back to that has heard none yet. E_LIMIT as above. */
enum status sse_mark(struct stream *stream, int64_t id);

#endif
