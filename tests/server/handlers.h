#ifndef TESTS_SERVER_HANDLERS_H
#define TESTS_SERVER_HANDLERS_H

/* The real server with a few small handlers, for tests that send bytes and read bytes (wire.h). */
#include <fcntl.h>
#include <unistd.h>
#include "server/http/request.h"
#include "server/http/sse.h"
#include "tests/server/wire.h"
#include "tests/support/check.h"

#define HOST  "Host: localhost\r\n"
#define TOKEN "Authorization: Bearer $T\r\n"
#define LAST  "Connection: close\r\n\r\n"

static struct wire wire;

/* ---- handlers ------------------------------------------------------------------------------ */

static void hello(struct request *req) { reply_bytes(req, 200, "text/plain", "hello\n", 6); }

static void get_thing(struct request *req)
{
    struct error err = { 0 };
    int64_t n = request_query_int(req, "n", 1, 10, 5, &err);
    const char *word = request_query(req, "word");
    if (!request_query_end(req)) return;
    if (err.status)
        reply_error(req, &err);
    else
        reply_json(req, 200,
                   request_printf(req, "[\"%s\",%d,\"%s\",\"%s\"]", request_param(req, "id"),
                                  (int)n, word ? word : "", req->who->id));
}

static void echo(struct request *req)
{
    struct error err = { 0 };
    json_t *json = request_json(req, &err);
    if (!json) {
        reply_error(req, &err);
        return;
    }
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    reply_json(req, 201, text);
    free(text);
}

static void stop_it(struct request *req) { reply_empty(req, 204); }

static void take_file(struct request *req)
{
    struct stat st;
    CHECK(!stat(req->upload->path, &st) && st.st_size == req->upload->bytes,
          "the file is not whole");
    reply_json(
        req, 201,
        request_printf(req, "[%lld,\"%.8s\"]", (long long)req->upload->bytes, req->upload->sha256));
}

struct later {
    uv_timer_t timer;
    struct request *req;
};

static void on_timer_closed(uv_handle_t *handle)
{
    struct request *req = ((struct later *)handle->data)->req;
    request_release(req);
}

static void on_later(uv_timer_t *timer)
{
    struct later *later = timer->data;
    reply_json(later->req, 200, "\"late\"");
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

static _Atomic int n_held; /* requests of /late and /forever that have come */

/* /late?ms=300 */
static void late(struct request *req)
{
    struct error err = { 0 };
    n_held++;
    struct later *later = request_new(req, struct later);
    later->req = req;
    uv_timer_init(&wire.loop, &later->timer);
    later->timer.data = later;
    uv_timer_start(&later->timer, on_later,
                   (uint64_t)request_query_int(req, "ms", 1, 5000, 300, &err), 0);
    request_hold(req);
}

static void forgets(struct request *req) { (void)req; }

static void big(struct request *req)
{
    size_t n = 8 << 20;
    char *bytes = malloc(n);
    memset(bytes, 'x', n);
    reply_bytes(req, 200, "text/plain", bytes, n);
    free(bytes);
}

static void list(struct request *req)
{
    struct buf buf;
    buf_init(&buf, 1 << 20);
    buf_puts(&buf, "[0");
    for (int i = 1; i < 10000; i++) buf_printf(&buf, ",%d", i % 10);
    buf_puts(&buf, "]");
    reply_buf(req, 200, &buf);
}

static void get_file(struct request *req)
{
    char path[256];
    snprintf(path, sizeof path, "%s/token", wire.dir);
    reply_file(req, open(path, O_RDONLY), "application/octet-stream", "a.bin", "abc");
}

static _Atomic int n_stream_closed, n_drained;

static void on_stream_drained(struct stream *stream, void *data)
{
    (void)data;
    if (++n_drained >= 2)
        stream_end(stream);
    else
        sse_send(stream, 8, NULL, "two\nlines");
}

static void on_stream_closed(struct stream *stream, void *data)
{
    (void)stream, (void)data;
    n_stream_closed++;
}

static void events(struct request *req)
{
    struct stream_hooks hooks = { .drained = on_stream_drained, .closed = on_stream_closed };
    int64_t last = sse_last_id(req);
    struct stream *s = sse_open(req, &hooks);
    if (s) sse_send(s, last + 1, "step", "{}");
}

static void forever(struct request *req)
{
    n_held++;
    struct stream_hooks hooks = { .closed = on_stream_closed };
    sse_open(req, &hooks);
}

/* Pushes until the backlog is full, as a hub with a slow client would. */
static void flood(struct request *req)
{
    static char kilobyte[1025];
    struct stream_hooks hooks = { .closed = on_stream_closed };
    struct stream *s = sse_open(req, &hooks);
    memset(kilobyte, 'x', 1024);
    int n = 0;
    while (sse_send(s, n, NULL, kilobyte) == OK) n++;
    CHECK(n > 200 && n < 260, "%d events of 1 KiB fit", n);
    CHECK_INT(sse_send(s, n, NULL, kilobyte), E_LIMIT);
    stream_end(s);
    CHECK_INT(sse_send(s, n, NULL, "x"), E_CANCELLED);
}

static const struct route routes[] = {
    { "GET", "/hello", hello, .scope = SCOPE_OPEN },
    { "GET", "/v1/things/{id}", get_thing, .scope = SCOPE_READ },
    { "GET", "/v1/things/special", hello, .scope = SCOPE_READ },
    { "POST", "/v1/things", echo, .scope = SCOPE_WRITE, .body = BODY_JSON },
    { "POST", "/v1/things/{id}/stop", stop_it, .scope = SCOPE_WRITE },
    { "POST", "/v1/files", take_file, .scope = SCOPE_WRITE, .body = BODY_FILE },
    { "GET", "/v1/file", get_file, .scope = SCOPE_READ },
    { "GET", "/list", list, .scope = SCOPE_OPEN },
    { "GET", "/late", late, .scope = SCOPE_OPEN },
    { "GET", "/forgets", forgets, .scope = SCOPE_OPEN },
    { "GET", "/big", big, .scope = SCOPE_OPEN },
    { "GET", "/events", events, .scope = SCOPE_OPEN },
    { "GET", "/forever", forever, .scope = SCOPE_OPEN },
    { "GET", "/flood", flood, .scope = SCOPE_OPEN },
};

static void handlers_add(void)
{
    wire_init(&wire);
    router_add(wire.router, routes, sizeof routes / sizeof *routes);
    wire.options.hosts = "other.example,ours.example";
    wire.options.header_ms = 1500, wire.options.body_ms = 600, wire.options.idle_ms = 1000;
}

#endif
