/* Connections: what is too large or too slow, streams, those that vanish, and the drain. */
#include <sys/stat.h>
#define ZLIB_CONST
#include <zlib.h>
#include "tests/server/handlers.h"

/* ---- ceilings and deadlines ---------------------------------------------------------------- */

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
    const char *reply = wire_ask(&wire, request); /* too long for a line, or for all its headers */
    CHECK(!*reply || !strncmp(reply, "HTTP/1.1 414", 12) || !strncmp(reply, "HTTP/1.1 431", 12),
          "%s", reply);
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

/* That it is closed, not when: the deadlines are of about a second. */
static void expect_closed(const char *bytes, int drip_ms, const char *starts)
{
    enum { AT_MOST_MS = 10000 };
    struct timespec start, now;
    int fd = wire_connect(&wire);
    wire_send(fd, bytes, strlen(bytes));
    clock_gettime(CLOCK_MONOTONIC, &start);
    const char *got = "<open>";
    int ms = 0;
    while (!strcmp(got, "<open>") && ms < AT_MOST_MS) {
        if (drip_ms) wire_send(fd, "a", 1);
        got = wire_read(fd, drip_ms ? drip_ms : AT_MOST_MS);
        clock_gettime(CLOCK_MONOTONIC, &now);
        ms = (int)((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
    }
    CHECK(strcmp(got, "<open>") && !strncmp(got, starts, strlen(starts)), "%s: %d ms, got %s", bytes,
          ms, got);
    close(fd);
}

static void slow_clients(void)
{
    expect_closed("", 0, "");          /* silent */
    expect_closed("GET /hel", 50, ""); /* a dripping request line */
    expect_closed("GET /hello HTTP/1.1\r\nX: ", 50, "HTTP/1.1 408"); /* dripping headers */
    expect_closed("POST /v1/things HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n", 50,
                  "HTTP/1.1 401");
    expect_closed("GET /hello HTTP/1.1\r\n" HOST "\r\n", 0, "HTTP/1.1 200"); /* idle afterwards */
    char post[512];
    snprintf(post, sizeof post,
             "POST /v1/things HTTP/1.1\r\n" HOST "Authorization: Bearer %s\r\n"
             "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n",
             wire.token);
    expect_closed(post, 50, "HTTP/1.1 408"); /* a dripping body */
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
    const char *all = wire_read(fd, 30000), *body = strstr(all, "\r\n\r\n");
    CHECK_INT(strlen(body + 4), 8 << 20);
    close(fd);
}

static void unpacks(void)
{
    static char out[32768];
    static const char request[] = "GET /list HTTP/1.1\r\n" HOST "Accept-Encoding: gzip\r\n" LAST;
    int fd = wire_connect(&wire);
    wire_send(fd, request, strlen(request));
    const char *reply = wire_read(fd, 30000);
    z_stream z = { .avail_in = (uInt)atoi(strstr(reply, "Content-Length: ") + 16),
                   .next_out = (Bytef *)out,
                   .avail_out = sizeof out - 1 };
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
    for (int i = 0; i < 3000 && n_stream_closed < n; i++) usleep(10000);
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
    bool greeted = false;
    for (int i = 0; i < 100 && !greeted; i++) greeted = strstr(wire_read(fd, 100), "retry: 1000");
    CHECK(greeted, "no greeting");
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

static void wait_refused(void)
{
    int fd = 0;
    for (int i = 0; i < 500 && (fd = wire_connect(&wire)) >= 0; i++) close(fd), usleep(10000);
    CHECK_INT(fd, -1);
}

/* In flight: answered. Idle: closed. Half sent: answered. Streams: ended. New ones: refused. */
static void draining(void)
{
    static const char whole[] = "GET /late?ms=1000 HTTP/1.1\r\n" HOST "\r\n";
    static const char first[] = "GET /hello HTTP/1.1\r\n", second[] = HOST "\r\n";
    int before = n_held;
    int flying = wire_connect(&wire), idle = wire_connect(&wire), half = wire_connect(&wire),
        stream = wire_connect(&wire);
    wire_send(half, first, strlen(first));
    wire_send(flying, whole, strlen(whole));
    wire_send(stream, "GET /forever HTTP/1.1\r\n" HOST "\r\n",
              strlen("GET /forever HTTP/1.1\r\n" HOST "\r\n"));
    for (int i = 0; i < 5000 && n_held < before + 2; i++) usleep(1000);
    CHECK_INT(n_held, before + 2); /* and what was sent before those two has been read */
    wire_drain(&wire);
    wait_refused();
    wire_send(half, second, strlen(second));
    const char *reply = wire_read(flying, 10000);
    CHECK(strstr(reply, "\"late\"") && strstr(reply, "Connection: close") &&
              !strstr(reply, "<open>"),
          "%s", reply);
    reply = wire_read(half, 10000);
    CHECK(strstr(reply, "hello\n") && strstr(reply, "Connection: close") &&
              !strstr(reply, "<open>"),
          "%s", reply);
    CHECK_STR(wire_read(idle, 10000), "");
    reply = wire_read(stream, 10000);
    CHECK(strstr(reply, "retry: 1000") && strstr(reply, "\r\n0\r\n\r\n"), "%s", reply);
    close(flying), close(idle), close(half), close(stream);
}

int main(void)
{
    handlers_add();
    make_parts();
    wire_open(&wire);
    old_parts();
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
    CHECK(wire.drained_ms < 8000, "the drain took %d ms", wire.drained_ms);
    printf("ok\n");
    return 0;
}
