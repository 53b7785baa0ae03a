#include "server/http/stream.h"

#include <stdlib.h>
#include <string.h>
#include "server/http/exchange.h"
#include "server/http/sse.h"

enum { END_MS = 10000, KEEP_BYTES = 4096 };

struct stream {
    struct list link; /* in http->streams */
    struct exchange *x;
    struct buf backlog; /* bytes from `head` on wait */
    size_t head;
    bool waiting; /* suspended by us for want of bytes */
    bool ended, is_sse;
    uint64_t spoke_at;
    struct stream_hooks hooks;
};

struct stream *stream_of_link(struct list *link) { return container_of(link, struct stream, link); }

/* ---- towards the client -------------------------------------------------------------------- */

static void forget_sent(struct stream *s)
{
    if (s->head == s->backlog.len) {
        s->head = 0;
        if (s->backlog.capacity > KEEP_BYTES)
            buf_release(&s->backlog);
        else
            buf_clear(&s->backlog);
    } else if (s->head > s->backlog.ceiling / 2) {
        buf_drop(&s->backlog, s->head);
        s->head = 0;
    }
}

static ssize_t rest(struct stream *s)
{
    if (s->ended || s->x->aborted) return MHD_CONTENT_READER_END_OF_STREAM;
    s->waiting = true;
    s->x->suspended = true;
    MHD_suspend_connection(s->x->mhd);
    return 0;
}

static ssize_t on_read(void *data, uint64_t pos, char *out, size_t max)
{
    struct stream *s = data;
    size_t n = s->backlog.len - s->head;
    (void)pos;
    if (n == 0) return rest(s);
    if (n > max) n = max;
    memcpy(out, s->backlog.bytes + s->head, n);
    s->head += n;
    forget_sent(s);
    if (s->backlog.len == 0 && !s->ended && s->hooks.drained) s->hooks.drained(s, s->hooks.data);
    return (ssize_t)n;
}

static void wake(struct stream *s)
{
    if (!s->waiting) return;
    s->waiting = false;
    http_wake(s->x);
}

/* ---- open, push, end ------------------------------------------------------------------------- */

struct stream *stream_open(struct request *req, const char *type, size_t backlog,
                           const struct stream_hooks *hooks)
{
    struct exchange *x = exchange_of(req);
    struct stream *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->x = x;
    s->hooks = *hooks;
    s->spoke_at = uv_now(x->http->loop);
    buf_init(&s->backlog, backlog);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_read, s, NULL);
    if (!response) abort();
    MHD_add_response_header(response, "Content-Type", type);
    x->stream = s;
    list_append(&x->http->streams, &s->link);
    x->http->n_streams++;
    exchange_reply(x, 200, response);
    if (x->http->draining) stream_end(s);
    return s;
}

size_t stream_room(const struct stream *s)
{
    return s->ended ? 0 : s->backlog.ceiling - (s->backlog.len - s->head);
}

enum status stream_push(struct stream *s, const void *bytes, size_t len)
{
    if (s->ended) return E_CANCELLED;
    if (len > stream_room(s)) return E_LIMIT;
    if (s->backlog.len + len > s->backlog.ceiling) {
        buf_drop(&s->backlog, s->head);
        s->head = 0;
    }
    buf_put(&s->backlog, bytes, len);
    s->spoke_at = uv_now(s->x->http->loop);
    wake(s);
    return OK;
}

void stream_end(struct stream *s)
{
    if (s->ended) return;
    s->ended = true;
    if (s->x->conn) s->x->conn->deadline = uv_now(s->x->http->loop) + END_MS;
    wake(s);
}

void stream_drain(struct stream *s) { stream_end(s); }

/* ---- from http.c --------------------------------------------------------------------------- */

void stream_ended(struct exchange *x)
{
    struct stream *s = x->stream;
    s->ended = true;
    s->waiting = false;
    list_remove(&s->link);
    x->http->n_streams--;
    if (s->hooks.closed) s->hooks.closed(s, s->hooks.data);
    x->stream = NULL;
    buf_release(&s->backlog);
    free(s);
}

void stream_beat(struct stream *s, uint64_t now)
{
    if (s->is_sse && !s->ended && now - s->spoke_at >= SSE_BEAT_S * 1000u)
        stream_push(s, ":\n\n", 3);
}

/* ---- server-sent events -------------------------------------------------------------------- */

int64_t sse_last_id(struct request *req)
{
    const char *text = request_header(req, "Last-Event-ID");
    char *end;
    if (!text) text = request_query(req, "last_event_id");
    if (!text || !*text || *text < '0' || *text > '9') return -1;
    long long id = strtoll(text, &end, 10);
    return *end ? -1 : id;
}

struct stream *sse_open(struct request *req, const struct stream_hooks *hooks)
{
    char hello[48];
    struct exchange *x = exchange_of(req);
    if (x->http->n_streams >= SSE_MAX_CLIENTS || x->http->draining) {
        reply_header(req, "Retry-After", "5");
        reply_problem(req, 503, "busy",
                      "too many clients listen to events, or the service is stopping");
        return NULL;
    }
    struct stream *s = stream_open(req, "text/event-stream", SSE_BACKLOG, hooks);
    s->is_sse = true;
    int n = snprintf(hello, sizeof hello, "retry: %d\n\n", SSE_RETRY_MS);
    stream_push(s, hello, (size_t)n);
    return s;
}

static void put_data(struct buf *out, const char *data)
{
    for (;;) {
        size_t n = strcspn(data, "\r\n");
        buf_puts(out, "data: ");
        buf_put(out, data, n);
        buf_putc(out, '\n');
        data += n;
        if (!*data) return;
        data += data[0] == '\r' && data[1] == '\n' ? 2 : 1;
    }
}

enum status sse_mark(struct stream *s, int64_t id)
{
    char text[32];
    int n = snprintf(text, sizeof text, "id: %lld\n\n", (long long)id);
    return stream_push(s, text, (size_t)n);
}

enum status sse_send(struct stream *s, int64_t id, const char *event, const char *data)
{
    struct buf text;
    buf_init(&text, SSE_BACKLOG);
    if (id >= 0) buf_printf(&text, "id: %lld\n", (long long)id);
    if (event) buf_printf(&text, "event: %s\n", event);
    put_data(&text, data);
    buf_putc(&text, '\n');
    enum status status = text.failed ? E_LIMIT : stream_push(s, text.bytes, text.len);
    buf_release(&text);
    return status;
}
