#include "tests/server/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/support/check.h"

/* ---- the server ------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void wire_init(struct wire *w)
{
    char path[128];
    struct error err = { 0 };
    signal(SIGPIPE, SIG_IGN);
    *w = (struct wire){ .router = router_new() };
    strcpy(w->dir, "/tmp/lathe-wire-XXXXXX");
    CHECK(mkdtemp(w->dir), "mkdtemp");
    snprintf(path, sizeof path, "%s/token", w->dir);
    w->auth = auth_open(path, &err);
    CHECK(w->auth, "%s", err.text);
    FILE *f = fopen(path, "r");
    CHECK(f && fscanf(f, "%60s", w->token) == 1, "no token");
    fclose(f);
    uv_loop_init(&w->loop);
    w->options = (struct http_options){ .address = "127.0.0.1",
                                        .router = w->router,
                                        .auth = w->auth,
                                        .uploads_dir = w->dir,
                                        .max_body = 4096,
                                        .max_upload = 1 << 20 };
}

static void on_closed(void *data) { uv_close((uv_handle_t *)&((struct wire *)data)->stop, NULL); }

static uint64_t asked_at;

static void on_drained(void *data)
{
    struct wire *w = data;
    w->drained_ms = (int)(uv_now(&w->loop) - asked_at);
    http_close(w->http, on_closed, w);
}

static void on_stop(uv_async_t *stop)
{
    struct wire *w = stop->data;
    if (asked_at) return;
    asked_at = uv_now(&w->loop);
    http_drain(w->http, 10000, on_drained, w);
}

static void *serve(void *data)
{
    struct wire *w = data;
    uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

void wire_open(struct wire *w)
{
    struct error err = { 0 };
    asked_at = 0;
    w->http = http_open(&w->loop, &w->options, &err);
    CHECK(w->http, "%s", err.text);
    w->port = http_port(w->http);
    uv_async_init(&w->loop, &w->stop, on_stop);
    w->stop.data = w;
    CHECK_INT(pthread_create(&w->thread, NULL, serve, w), 0);
}

void wire_drain(struct wire *w) { uv_async_send(&w->stop); }

void wire_close(struct wire *w)
{
    wire_drain(w);
    pthread_join(w->thread, NULL);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    router_free(w->router);
    auth_free(w->auth);
    nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the client ------------------------------------------------------------------------- */

int wire_connect(const struct wire *w)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)w->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return fd;
    close(fd);
    return -1;
}

void wire_send(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return; /* refused early: the reply tells */
        bytes += n;
        len -= (size_t)n;
    }
}

static char text[16 << 20];

const char *wire_read(int fd, int ms)
{
    size_t n = 0;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int left = ms - (int)((now.tv_sec - start.tv_sec) * 1000 +
                              (now.tv_nsec - start.tv_nsec) / 1000000);
        if (left <= 0 || poll(&p, 1, left) == 0) {
            strcpy(text + n, "<open>");
            return text;
        }
        ssize_t got = recv(fd, text + n, sizeof text - n - 16, 0);
        if (got <= 0) break;
        n += (size_t)got;
    }
    text[n] = 0;
    return text;
}

/* The value after `key` up to one of `ends` becomes "*". */
static void mask(char *s, const char *key, const char *ends)
{
    while ((s = strstr(s, key))) {
        s += strlen(key);
        size_t n = strcspn(s, ends);
        if (!n) continue;
        *s++ = '*';
        memmove(s, s + n - 1, strlen(s + n - 1) + 1);
    }
}

const char *wire_ask(const struct wire *w, const char *request)
{
    static char sent[1 << 20];
    size_t n = 0;
    for (const char *p = request; *p; p++) {
        if (p[0] == '$' && p[1] == 'T')
            n += (size_t)sprintf(sent + n, "%s", w->token), p++;
        else
            sent[n++] = *p;
    }
    int fd = wire_connect(w);
    CHECK(fd >= 0, "connect: %s", strerror(errno));
    wire_send(fd, sent, n);
    wire_read(fd, 30000);
    close(fd);
    mask(text, "Date: ", "\r");
    mask(text, "X-Request-Id: req_", "\r");
    mask(text, "\"request_id\":\"req_", "\"");
    mask(text, "the log has req_", "\"");
    return text;
}
