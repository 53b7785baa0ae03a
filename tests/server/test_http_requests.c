/* What is answered to which bytes. */
#include "tests/server/handlers.h"

/* ---- golden replies -------------------------------------------------------------------------- */

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

/* ---- many small ones: what is sent, how the reply starts, what it holds -------------------- */

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

int main(void)
{
    handlers_add();
    wire_open(&wire);
    golden();
    many();
    wire_close(&wire);
    printf("ok\n");
    return 0;
}
