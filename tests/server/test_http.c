#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#define ZLIB_CONST
#include <zlib.h>
#include "server/http/request.h"
#include "server/http/sse.h"
#include "tests/server/wire.h"
#include "tests/support/check.h"

/* Bytes in, bytes out, over a socket, against the real server with a few small handlers. */

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

static void late(struct request *req)
{
    struct later *later = request_new(req, struct later);
    later->req = req;
    uv_timer_init(&wire.loop, &later->timer);
    later->timer.data = later;
    uv_timer_start(&later->timer, on_later, 300, 0);
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

/* ---- golden replies -------------------------------------------------------------------------- */

#define HOST  "Host: localhost\r\n"
#define TOKEN "Authorization: Bearer $T\r\n"
#define LAST  "Connection: close\r\n\r\n"

static void expect(const char *request, const char *want)
{
    const char *got = wire_ask(&wire, request);
    CHECK_STR(got, want);
}

static void golden(void)
{
    expect("GET /hello HTTP/1.1\r\n" HOST LAST,
           "HTTP/1.1 200 OK\r\nDate: *\r\nConnection: close\r\nContent-Type: text/plain\r\n"
           "X-Request-Id: req_*\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
           "Content-Length: 6\r\n\r\nhello\n");
    expect(
        "GET /nothing HTTP/1.1\r\n" HOST LAST,
        "HTTP/1.1 404 Not Found\r\nDate: *\r\nConnection: close\r\n"
        "Content-Type: application/problem+json\r\nX-Request-Id: req_*\r\n"
        "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: 146\r\n\r\n"
        "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
        "\"detail\":\"there is nothing at "
        "/nothing\",\"code\":\"missing\",\"request_id\":\"req_*\"}");
    expect("GET /events HTTP/1.1\r\n" HOST "Last-Event-ID: 6\r\n" LAST,
           "HTTP/1.1 200 OK\r\nDate: *\r\nConnection: close\r\nContent-Type: text/event-stream\r\n"
           "X-Request-Id: req_*\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
           "Transfer-Encoding: chunked\r\n\r\n"
           "29\r\nretry: 1000\n\nid: 7\nevent: step\ndata: {}\n\n\r\n"
           "1D\r\nid: 8\ndata: two\ndata: lines\n\n\r\n0\r\n\r\n");
}

/* ---- many small ones: what is sent, how the reply starts, what it holds ------------------------
 */

static const struct {
    const char *request, *status, *holds;
} cases[] = {
    /* routes */
    { "GET /v1/things/a%20b?n=7&word=x+y%21 HTTP/1.1\r\n" HOST TOKEN LAST, "200",
      "[\"a b\",7,\"x y!\",\"tok_0\"]" },
    { "GET /v1/things/special HTTP/1.1\r\n" HOST TOKEN LAST, "200", "hello" },
    { "HEAD /hello HTTP/1.1\r\n" HOST LAST, "200", "Content-Length: 6\r\n\r\n" },
    { "OPTIONS /v1/things HTTP/1.1\r\n" HOST LAST, "204", "Allow: POST, OPTIONS\r\n" },
    { "DELETE /hello HTTP/1.1\r\n" HOST LAST, "405", "Allow: GET, HEAD, OPTIONS\r\n" },
    { "BREW /hello HTTP/1.1\r\n" HOST LAST, "405", "BREW is not possible here" },
    { "GET /hello HTTP/1.0\r\n\r\n", "200", "hello" },
    { "GET /v1/things/a?n=11 HTTP/1.1\r\n" HOST TOKEN LAST, "400",
      "\"pointer\":\"?n\",\"detail\":\"n must be a whole number from 1 to 10\"" },
    { "GET /v1/things/a?m=1 HTTP/1.1\r\n" HOST TOKEN LAST, "400",
      "there is no query member \\\"m\\\" here" },
    { "GET /v1/things/a?n=1&n=2 HTTP/1.1\r\n" HOST TOKEN LAST, "400",
      "the query names \\\"n\\\" twice" },
    { "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: mine-1\r\n" LAST, "200",
      "X-Request-Id: mine-1\r\n" },
    { "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: bad id\r\n" LAST, "200",
      "X-Request-Id: req_*" },
    { "GET /forgets HTTP/1.1\r\n" HOST LAST, "500",
      "something went wrong here; the log has req_*" },
    { "GET /late HTTP/1.1\r\n" HOST LAST, "200", "\"late\"" },
    /* paths */
    { "GET /v1/things/%2e%2e HTTP/1.1\r\n" HOST TOKEN LAST, "400", "dot segment" },
    { "GET /v1/../hello HTTP/1.1\r\n" HOST LAST, "400", "dot segment" },
    { "GET /v1/things/a%2fb HTTP/1.1\r\n" HOST TOKEN LAST, "400", "forbidden character" },
    { "GET /v1/things/a%5cb HTTP/1.1\r\n" HOST TOKEN LAST, "400", "forbidden character" },
    { "GET /v1/things/a%00b HTTP/1.1\r\n" HOST TOKEN LAST, "400", "forbidden character" },
    { "GET /v1/things/a%0ab HTTP/1.1\r\n" HOST TOKEN LAST, "400", "forbidden character" },
    { "GET /v1/things/%ff%fe HTTP/1.1\r\n" HOST TOKEN LAST, "400", "forbidden character" },
    { "GET /v1/things/%c0%ae%c0%ae HTTP/1.1\r\n" HOST TOKEN LAST, "400", "forbidden character" },
    { "GET /v1/things/a%2 HTTP/1.1\r\n" HOST TOKEN LAST, "400", "malformed" },
    { "GET /v1//things HTTP/1.1\r\n" HOST LAST, "400", "empty segment" },
    { "GET http://elsewhere/hello HTTP/1.1\r\n" HOST LAST, "400", "must start with" },
    { "GET /v1/things/ HTTP/1.1\r\n" HOST TOKEN LAST, "404", "there is nothing" },
    /* tokens */
    { "GET /v1/things/a HTTP/1.1\r\n" HOST LAST, "401",
      "WWW-Authenticate: Bearer realm=\"lathe\"\r\n" },
    { "GET /v1/things/a HTTP/1.1\r\n" HOST "Authorization: Bearer lathe_wrong\r\n" LAST, "401",
      "error=\"invalid_token\"" },
    { "GET /v1/things/a HTTP/1.1\r\n" HOST "Authorization: Bearer \r\n" LAST, "401",
      "not known here" },
    { "GET /v1/things/a HTTP/1.1\r\n" HOST "Authorization: Basic $T\r\n" LAST, "401",
      "not known here" },
    { "GET /v1/things/a HTTP/1.1\r\n" HOST "authorization: bearer $T\r\n" LAST, "200", "tok_0" },
    { "POST /v1/things HTTP/1.1\r\n" HOST "Content-Length: 2\r\n" LAST "{}", "401", "token" },
    /* whose request */
    { "GET /hello HTTP/1.1\r\nHost: evil.example\r\n" LAST, "421",
      "is not a name of this service" },
    { "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:7878\r\n" LAST, "200", "hello" },
    { "GET /hello HTTP/1.1\r\nHost: [::1]:80\r\n" LAST, "200", "hello" },
    { "GET /hello HTTP/1.1\r\nHost: ours.example:443\r\n" LAST, "200", "hello" },
    { "GET /hello HTTP/1.1\r\nHost: localhost:80x\r\n" LAST, "421", "is not a name" },
    { "GET /hello HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n" LAST, "403",
      "another site" },
    { "GET /hello HTTP/1.1\r\n" HOST "Origin: null\r\n" LAST, "403", "another site" },
    { "GET /hello HTTP/1.1\r\n" HOST "Origin: http://localhost\r\n" LAST, "200", "hello" },
    /* bodies */
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: application/json; charset=utf-8\r\nContent-Length: 7\r\n" LAST "{\"a\":1}",
      "201", "{\"a\":1}" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN "Content-Length: 0\r\n" LAST, "201", "{}" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n" LAST
      "3\r\n{\"a\r\n4\r\n\":2}\r\n0\r\n\r\n",
      "201", "{\"a\":2}" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: application/json\r\nContent-Length: 6\r\n" LAST "{\"a\":1",
      "400", "\"code\":\"input\"" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: application/json\r\nContent-Length: 13\r\n" LAST "{\"a\":1,\"a\":2}",
      "400", "duplicate" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: text/plain\r\nContent-Length: 2\r\n" LAST "{}",
      "415", "must be application/json" },
    { "POST /v1/things/a/stop HTTP/1.1\r\n" HOST TOKEN "Content-Length: 0\r\n" LAST, "204", "" },
    { "POST /v1/things/a/stop HTTP/1.1\r\n" HOST TOKEN "Content-Length: 2\r\n" LAST "{}", "400",
      "takes no body" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: application/json\r\nContent-Length: 5000\r\n" LAST,
      "413", "larger than 4096 bytes" },
    { "POST /v1/files HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: application/octet-stream\r\nContent-Length: 3\r\n" LAST "abc",
      "201", "[3,\"ba7816bf\"]" },
    { "POST /v1/files HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: application/octet-stream\r\nContent-Length: 0\r\n" LAST,
      "201", "[0,\"e3b0c442\"]" },
    { "POST /v1/files HTTP/1.1\r\n" HOST TOKEN
      "Content-Type: application/octet-stream\r\nContent-Length: 1048577\r\n" LAST,
      "413", "larger than 1048576 bytes" },
    { "POST /v1/files HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" LAST "abc", "401", "token" },
    /* files */
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN LAST, "200",
      "Content-Disposition: attachment; filename=\"a.bin\"\r\n" },
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN "Range: bytes=0-5\r\n" LAST, "206", "\r\n\r\nlathe_" },
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN "Range: bytes=0-5\r\n" LAST, "206",
      "Content-Range: bytes 0-5/50\r\n" },
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN "Range: bytes=-1\r\n" LAST, "206", "\r\n\r\n\n" },
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN "Range: bytes=45-\r\n" LAST, "206",
      "Content-Range: bytes 45-49/50\r\n" },
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN "Range: bytes=50-\r\n" LAST, "416",
      "Content-Range: bytes */50\r\n" },
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN "Range: bytes=0-1,3-4\r\n" LAST, "200",
      "Content-Length: 50\r\n" },
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN "Range: bytes=0-5\r\nIf-Range: \"old\"\r\n" LAST,
      "200", "Content-Length: 50\r\n" },
    { "GET /v1/file HTTP/1.1\r\n" HOST TOKEN "If-None-Match: \"x\", W/\"abc\"\r\n" LAST, "304",
      "ETag: \"abc\"\r\n" },
    /* packed or not */
    { "GET /list HTTP/1.1\r\n" HOST "Accept-Encoding: br, gzip;q=0.5\r\n" LAST, "200",
      "Content-Encoding: gzip\r\n" },
    { "GET /list HTTP/1.1\r\n" HOST "Accept-Encoding: gzip;q=0\r\n" LAST, "200",
      "Content-Length: 20001\r\n" },
    { "GET /list HTTP/1.1\r\n" HOST LAST, "200", "Vary: Accept-Encoding\r\n" },
    { "GET /hello HTTP/1.1\r\n" HOST "Accept-Encoding: gzip\r\n" LAST, "200",
      "Content-Length: 6\r\n" },
    /* two ways to read */
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST
          LAST,
      "400", "both Content-Length and Transfer-Encoding" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
      "400", "more than one Content-Length" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN "Content-Length: +2\r\n\r\n{}", "400", "" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      "400", "is not \\\"chunked\\\"" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
      "400", "is not \\\"chunked\\\"" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN "Content-Length : 2\r\n\r\n{}", "400", "" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
      "Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
      "400", "folded" },
    { "POST /v1/things HTTP/1.1\r\n" HOST TOKEN "Content-Length:\r\n 2\r\n\r\n{}", "400",
      "folded" },
    { "GET /hello HTTP/1.1\r\n\r\n", "400", "" },
    { "GET /hello HTTP/1.1\r\n" HOST HOST "\r\n", "400", "exactly one Host" },
    { "GET /hello HTTP/1.1\r\n" HOST "X: a\001b\r\n\r\n", "400", "control character" },
    { "GET /hello HTTP/1.1\r\n" HOST "X(y): a\r\n\r\n", "400", "forbidden character" },
    { "GET /hello HTTP/1.2\r\n" HOST "\r\n", "400", "" },
    { "GET /hello HTTP/1.1\r\n" HOST "X: a\rTransfer-Encoding: chunked\r\n\r\n", "400", "" },
};

static void many(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *reply = wire_ask(&wire, cases[i].request);
        CHECK(!strncmp(reply, "HTTP/1.1 ", 9) && !strncmp(reply + 9, cases[i].status, 3) &&
                  strstr(reply, cases[i].holds) && !strstr(reply, "<open>"),
              "case %zu: %s\n--- got\n%s\n--- want %s and %s", i, cases[i].request, reply,
              cases[i].status, cases[i].holds);
    }
}

/* ---- ceilings and deadlines --------------------------------------------------------------------
 */

static void repeat(char *out, const char *text, int n)
{
    while (n--) out = stpcpy(out, text);
}

static void oversized(void)
{
    static char request[300000];
    strcpy(request, "GET /hello HTTP/1.1\r\n" HOST);
    repeat(request + strlen(request), "X-Long: 0123456789012345678901234567890123456789\r\n", 2500);
    CHECK(!strncmp(wire_ask(&wire, request), "HTTP/1.1 431", 12), "a large header");
    strcpy(request, "GET /hello HTTP/1.1\r\n" HOST "Cookie: ");
    repeat(request + strlen(request), "0123456789abcdef", 448);
    strcat(request, "\r\n" LAST);
    CHECK(!strncmp(wire_ask(&wire, request), "HTTP/1.1 200", 12), "7 KiB of cookies");
    strcpy(request, "GET /hello HTTP/1.1\r\n" HOST);
    repeat(request + strlen(request), "X-Long: 0123456789012345678901234567890123456789\r\n", 100);
    strcat(request, LAST);
    CHECK(!strncmp(wire_ask(&wire, request), "HTTP/1.1 200", 12), "a hundred headers");
    strcpy(request, "GET /");
    repeat(request + strlen(request), "0123456789", 6000);
    strcat(request, " HTTP/1.1\r\n" HOST LAST);
    CHECK(!strncmp(wire_ask(&wire, request), "HTTP/1.1 414", 12), "a large target");
    strcpy(request, "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
                    "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n" LAST);
    repeat(request + strlen(request), "10\r\n[[[[[[[[[[[[[[[[\r\n", 400);
    strcat(request, "0\r\n\r\n");
    CHECK(!strncmp(wire_ask(&wire, request), "HTTP/1.1 413", 12), "a large chunked body");
    strcpy(request, "POST /v1/things HTTP/1.1\r\n" HOST TOKEN
                    "Content-Type: application/json\r\nContent-Length: 4000\r\n" LAST);
    repeat(request + strlen(request), "[", 4000);
    CHECK(!strncmp(wire_ask(&wire, request), "HTTP/1.1 400", 12), "a deep body");
}

static void expect_closed(const char *bytes, int drip_ms, int at_most_ms, const char *starts)
{
    struct timespec start, now;
    int fd = wire_connect(&wire);
    wire_send(fd, bytes, strlen(bytes));
    clock_gettime(CLOCK_MONOTONIC, &start);
    const char *got = "<open>";
    int ms = 0;
    while (!strcmp(got, "<open>") && ms < 2 * at_most_ms) {
        if (drip_ms) wire_send(fd, "a", 1);
        got = wire_read(fd, drip_ms ? drip_ms : at_most_ms);
        clock_gettime(CLOCK_MONOTONIC, &now);
        ms = (int)((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
    }
    CHECK(ms <= at_most_ms && !strncmp(got, starts, strlen(starts)), "%s: %d ms, got %s", bytes, ms,
          got);
    close(fd);
}

static void slow_clients(void)
{
    expect_closed("", 0, 1700, "");          /* silent */
    expect_closed("GET /hel", 50, 1700, ""); /* a dripping request line */
    expect_closed("GET /hello HTTP/1.1\r\nX: ", 50, 1700, "HTTP/1.1 408"); /* dripping headers */
    expect_closed("POST /v1/things HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n", 50, 1700,
                  "HTTP/1.1 401");
    expect_closed("GET /hello HTTP/1.1\r\n" HOST "\r\n", 0, 2200,
                  "HTTP/1.1 200"); /* idle afterwards */
    char post[512];
    snprintf(post, sizeof post,
             "POST /v1/things HTTP/1.1\r\n" HOST "Authorization: Bearer %s\r\n"
             "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n",
             wire.token);
    expect_closed(post, 50, 1700, "HTTP/1.1 408"); /* a dripping body */
}

static void pipelined(void)
{
    static char request[8192];
    for (int i = 0; i < 50; i++) strcat(request, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    strcat(request, "GET /late HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST LAST);
    const char *reply = wire_ask(&wire, request), *p = reply, *after;
    int n = 0;
    for (; (p = strstr(p, "hello\n")); p++) n++;
    CHECK_INT(n, 51);
    after = strstr(reply, "\"late\"");
    CHECK(after && strstr(after, "hello\n"), "out of order");
}

static void slow_reader(void)
{
    int fd = wire_connect(&wire);
    wire_send(fd, "GET /big HTTP/1.1\r\n" HOST LAST, strlen("GET /big HTTP/1.1\r\n" HOST LAST));
    usleep(200000);
    CHECK(strstr(wire_ask(&wire, "GET /hello HTTP/1.1\r\n" HOST LAST), "hello"), "others wait");
    const char *all = wire_read(fd, 5000), *body = strstr(all, "\r\n\r\n");
    CHECK_INT(strlen(body + 4), 8 << 20);
    close(fd);
}

static void unpacks(void)
{
    static char out[32768];
    static const char request[] = "GET /list HTTP/1.1\r\n" HOST "Accept-Encoding: gzip\r\n" LAST;
    int fd = wire_connect(&wire);
    wire_send(fd, request, strlen(request));
    const char *reply = wire_read(fd, 5000);
    z_stream z = { .avail_in = (uInt)atoi(strstr(reply, "Content-Length: ") + 16),
                   .next_out = (Bytef *)out, .avail_out = sizeof out - 1 };
    z.next_in = (z_const Bytef *)strstr(reply, "\r\n\r\n") + 4;
    CHECK(z.avail_in > 20 && z.avail_in < 5000, "%u bytes", z.avail_in);
    CHECK_INT(inflateInit2(&z, 31), Z_OK);
    CHECK_INT(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    close(fd);
    CHECK_INT(strlen(out), 20001);
    CHECK(!strncmp(out, "[0,1,2,3", 8) && out[20000] == ']', "%s", out);
}

static void wait_closed(int n)
{
    for (int i = 0; i < 500 && n_stream_closed < n; i++) usleep(10000);
    CHECK_INT(n_stream_closed, n);
}

static void streams(void)
{
    int before = n_stream_closed;
    const char *all = wire_ask(&wire, "GET /flood HTTP/1.1\r\n" HOST LAST);
    int n = 0;
    for (const char *p = all; (p = strstr(p, "\ndata: ")); p++) n++;
    CHECK(n > 200, "%d events came", n);
    wait_closed(before + 1);
    int fd = wire_connect(&wire);
    wire_send(fd, "GET /forever HTTP/1.1\r\n" HOST "\r\n",
              strlen("GET /forever HTTP/1.1\r\n" HOST "\r\n"));
    CHECK(strstr(wire_read(fd, 300), "retry: 1000"), "no greeting");
    close(fd); /* noticed at the next beat or at the drain, not before */
}

/* Clients that vanish at any point leave nothing behind. */
static void vanishing(void)
{
    static const char request[] =
        "POST /v1/files HTTP/1.1\r\n" HOST "Authorization: Bearer xx\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: 10\r\n\r\n12345";
    for (size_t n = 0; n < sizeof request; n += 7) {
        int fd = wire_connect(&wire);
        wire_send(fd, request, n);
        close(fd);
    }
    for (int i = 0; i < 20; i++) {
        int fd = wire_connect(&wire);
        wire_send(fd, "GET /late HTTP/1.1\r\n" HOST "\r\n",
                  strlen("GET /late HTTP/1.1\r\n" HOST "\r\n"));
        close(fd);
    }
    CHECK(strstr(wire_ask(&wire, "GET /late HTTP/1.1\r\n" HOST LAST), "late"), "still well");
}

/* One that a server left behind long ago is gone since the start, a fresh one is not. */
static void old_parts(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/part-old", wire.dir);
    CHECK(access(path, F_OK), "the old part is still there");
    snprintf(path, sizeof path, "%s/part-new", wire.dir);
    CHECK_INT(unlink(path), 0);
}

static void make_parts(void)
{
    char path[128];
    struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    snprintf(path, sizeof path, "%s/part-new", wire.dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/part-old", wire.dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    CHECK_INT(utimensat(AT_FDCWD, path, old, 0), 0);
}

static void no_parts_left(void)
{
    char command[128];
    snprintf(command, sizeof command, "ls %s | grep -c part-", wire.dir);
    FILE *f = popen(command, "r");
    int n = -1;
    CHECK(f && fscanf(f, "%d", &n) == 1, "ls");
    pclose(f);
    CHECK_INT(n, 0);
}

/* In flight: answered. Idle: closed. Half sent: answered. Streams: ended. New ones: refused. */
static void draining(void)
{
    static const char whole[] = "GET /late HTTP/1.1\r\n" HOST "\r\n";
    static const char first[] = "GET /hello HTTP/1.1\r\n", second[] = HOST "\r\n";
    int flying = wire_connect(&wire), idle = wire_connect(&wire), half = wire_connect(&wire),
        stream = wire_connect(&wire);
    wire_send(flying, whole, strlen(whole));
    wire_send(half, first, strlen(first));
    wire_send(stream, "GET /forever HTTP/1.1\r\n" HOST "\r\n",
              strlen("GET /forever HTTP/1.1\r\n" HOST "\r\n"));
    usleep(100000);
    wire_drain(&wire);
    usleep(50000);
    CHECK_INT(wire_connect(&wire), -1);
    wire_send(half, second, strlen(second));
    const char *reply = wire_read(flying, 2000);
    CHECK(strstr(reply, "\"late\"") && strstr(reply, "Connection: close") &&
              !strstr(reply, "<open>"),
          "%s", reply);
    reply = wire_read(half, 2000);
    CHECK(strstr(reply, "hello\n") && strstr(reply, "Connection: close") &&
              !strstr(reply, "<open>"),
          "%s", reply);
    CHECK_STR(wire_read(idle, 2000), "");
    reply = wire_read(stream, 2000);
    CHECK(strstr(reply, "retry: 1000") && strstr(reply, "\r\n0\r\n\r\n"), "%s", reply);
    close(flying), close(idle), close(half), close(stream);
}

int main(void)
{
    wire_init(&wire);
    router_add(wire.router, routes, sizeof routes / sizeof *routes);
    wire.options.hosts = "other.example,ours.example";
    wire.options.header_ms = 600, wire.options.body_ms = 600, wire.options.idle_ms = 1000;
    make_parts();
    wire_open(&wire);
    old_parts();
    golden();
    many();
    oversized();
    pipelined();
    slow_reader();
    unpacks();
    streams();
    vanishing();
    slow_clients();
    no_parts_left();
    draining();
    wire_close(&wire);
    CHECK(wire.drained_ms < 1500, "the drain took %d ms", wire.drained_ms);
    printf("ok\n");
    return 0;
}
