#include "server/http/http.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include "search/base/log.h"
#include "server/http/exchange.h"
#include "server/http/listen.h"

enum {
    /* Per connection, and all of it is touched. Cookies take twice their size of it, and proxies
     * that log people in send many: 7 KiB must pass. */
    POOL_BYTES = 16 * 1024,
    SWEEP_MS = 500,
    CROWD = 256,       /* connections */
    RUNS = 16,         /* of libmicrohttpd per wake-up, before the loop gets its turn */
    REPLY_MS = 120000, /* a client may take this long for a reply, and 1 s per 16 KiB */
};

/* ---- driving libmicrohttpd ----------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void run(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    http->kicked = false;
    for (int i = 0; i < RUNS; i++) {
        MHD_run(http->daemon);
        if (MHD_get_timeout(http->daemon, &ms) != MHD_YES) {
            uv_timer_stop(&http->timer);
            return;
        }
        if (ms) break;
    }
    uv_timer_start(&http->timer, on_timer, ms, 0);
}

static void on_timer(uv_timer_t *timer) { run(timer->data); }

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    run(poll->data);
}

/* A resumed connection is served by the next run only. A prepare handle comes after timers
 * and before the loop sleeps; a check handle would let it sleep first. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct http *http = prepare->data;
    if (http->kicked) run(http);
}

void http_kick(struct http *http) { http->kicked = true; }

void http_wake(struct exchange *x)
{
    if (!x->suspended || !x->mhd) return;
    x->suspended = false;
    MHD_resume_connection(x->mhd);
    http_kick(x->http);
}

/* ---- connections --------------------------------------------------------------------------- */

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void conn_open(struct http *http, struct MHD_Connection *mhd, void **context)
{
    int one = 1;
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) abort();
    conn->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    conn->deadline = uv_now(http->loop) + http->options.header_ms;
    list_append(&http->conns, &conn->link);
    http->n_conns++;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *context = conn;
}

static void on_connection(void *data, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        conn_open(data, mhd, context);
        return;
    }
    struct http *http = data;
    struct conn *conn = *context;
    list_remove(&conn->link);
    http->n_conns--;
    free(conn->target);
    free(conn);
    *context = NULL;
}

/* The request line has come. What we return becomes the request's context: none yet. */
static void *on_target(void *data, const char *target, struct MHD_Connection *mhd)
{
    struct http *http = data;
    struct conn *conn = conn_of(mhd);
    free(conn->target);
    conn->target = strdup(target);
    conn->busy = true;
    conn->deadline = uv_now(http->loop) + http->options.header_ms;
    return NULL;
}

static size_t leave_escaped(void *data, struct MHD_Connection *mhd, char *text)
{
    (void)data, (void)mhd;
    return strlen(text);
}

/* ---- requests ------------------------------------------------------------------------------ */

static enum MHD_Result queue(struct exchange *x)
{
    struct MHD_Response *response = x->response;
    x->response = NULL;
    x->queued = true;
    /* a slow reader gets time in proportion; a stream has rules of its own */
    x->conn->deadline = x->stream ? 0 : uv_now(x->http->loop) + REPLY_MS + x->n_reply / 16;
    enum MHD_Result result = MHD_queue_response(x->mhd, (unsigned)x->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_head(struct http *http, struct MHD_Connection *mhd, const char *method,
                               const char *version, void **context)
{
    struct conn *conn = conn_of(mhd);
    struct exchange *x = exchange_new(http, conn, mhd);
    *context = conn->exchange = x;
    conn->deadline = uv_now(http->loop) + http->options.body_ms;
    exchange_begin(x, method, version);
    /* answered before the body, libmicrohttpd closes; without a body it need not */
    return x->response && x->has_body ? queue(x) : MHD_YES;
}

static enum MHD_Result on_whole(struct exchange *x)
{
    if (x->aborted) return MHD_NO;
    x->conn->deadline = 0;
    if (!x->handed && !x->req.replied) exchange_whole(x);
    if (x->response && !x->leaving) return queue(x);
    x->suspended = true;
    MHD_suspend_connection(x->mhd);
    return MHD_YES;
}

static enum MHD_Result on_access(void *data, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *bytes,
                                 size_t *len, void **context)
{
    struct exchange *x = *context;
    (void)url;
    if (!x) return on_head(data, mhd, method, version, context);
    if (*len == 0) return on_whole(x);
    exchange_body(x, bytes, *len);
    *len = 0;
    return MHD_YES;
}

static void on_completed(void *data, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode why)
{
    struct http *http = data;
    struct conn *conn = conn_of(mhd);
    struct exchange *x = *context;
    *context = NULL;
    if (conn) {
        conn->busy = false;
        conn->exchange = NULL;
        conn->deadline = uv_now(http->loop) + http->options.idle_ms;
        if (http->draining) shutdown(conn->fd, SHUT_RD);
    }
    if (x) exchange_ended(x, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

/* ---- deadlines ----------------------------------------------------------------------------- */

/* Never closes the descriptor: libmicrohttpd does, when it sees the end. */
static void expire(struct conn *conn)
{
    static const char late[] =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
        "Content-Type: application/problem+json\r\nContent-Length: 83\r\n\r\n"
        "{\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,"
        "\"code\":\"timeout\"}  \n";
    bool unanswered = conn->busy && (!conn->exchange || !conn->exchange->queued);
    if (unanswered && send(conn->fd, late, sizeof late - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("http: a late client is gone already");
    shutdown(conn->fd, SHUT_RDWR);
    conn->deadline = 0;
}

static bool has_left(const struct conn *conn)
{
    struct pollfd socket = { .fd = conn->fd, .events = POLLRDHUP };
    return poll(&socket, 1, 0) > 0 && socket.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* Nobody watches a suspended connection. One that sends no more is taken to be gone. */
static void look_after(struct conn *conn)
{
    struct exchange *x = conn->exchange;
    if (x && x->suspended && !list_empty(&x->asked) && has_left(conn)) exchange_abandon(x);
}

/* The heap does not shrink by itself after a crowd has left. */
static void give_memory_back(struct http *http)
{
    if (http->n_conns > http->peak_conns) http->peak_conns = http->n_conns;
    if (http->peak_conns < CROWD || http->n_conns > http->peak_conns / 4) return;
    http->peak_conns = http->n_conns;
    malloc_trim(0);
}

static void on_sweep(uv_timer_t *timer)
{
    struct http *http = timer->data;
    uint64_t now = uv_now(http->loop);
    list_each(link, &http->conns)
    {
        struct conn *conn = container_of(link, struct conn, link);
        if (conn->deadline && conn->deadline <= now) expire(conn);
        look_after(conn);
    }
    list_each(link, &http->streams) stream_beat(stream_of_link(link), now);
    give_memory_back(http);
}

/* ---- opening ------------------------------------------------------------------------------- */

static void on_message(void *data, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

static void on_message(void *data, const char *fmt, va_list args)
{
    char text[512];
    (void)data;
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = 0;
    log_debug("libmicrohttpd: %s", text);
}

static struct MHD_Daemon *start_daemon(struct http *http, int fd)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, http, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        http, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_CONNECTION_LIMIT,
        http->options.max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
#if MHD_VERSION >= 0x00097701
        MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
#else
        MHD_OPTION_STRICT_FOR_CLIENT, 1,
#endif
        MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_END);
}

static void start_handles(struct http *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_poll_init(http->loop, &http->poll, info->epoll_fd);
    uv_timer_init(http->loop, &http->timer);
    uv_timer_init(http->loop, &http->sweep);
    uv_prepare_init(http->loop, &http->prepare);
    http->poll.data = http->timer.data = http->sweep.data = http->prepare.data = http;
    uv_poll_start(&http->poll, UV_READABLE, on_poll);
    uv_timer_start(&http->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_prepare_start(&http->prepare, on_prepare);
}

static void set_options(struct http *http, const struct http_options *options)
{
    struct http_options *o = &http->options;
    unsigned char random[4];
    *o = *options;
    if (!o->header_ms) o->header_ms = 10000;
    if (!o->body_ms) o->body_ms = 30000;
    if (!o->idle_ms) o->idle_ms = 60000;
    if (!o->max_connections) o->max_connections = 10000;
    if (getrandom(random, sizeof random, 0) != sizeof random) abort();
    snprintf(http->boot, sizeof http->boot, "%02x%02x%02x%02x", random[0], random[1], random[2],
             random[3]);
}

struct http *http_open(uv_loop_t *loop, const struct http_options *options, struct error *err)
{
    int fd;
    struct http *http = calloc(1, sizeof *http);
    if (!http) abort();
    http->loop = loop;
    set_options(http, options);
    list_init(&http->conns);
    list_init(&http->streams);
    fd = listen_on(http->options.address, http->options.port, &http->port, err);
    if (fd < 0) {
        free(http);
        return NULL;
    }
    http->daemon = start_daemon(http, fd);
    if (!http->daemon) {
        fail(err, E_IO, "libmicrohttpd does not start");
        close(fd);
        free(http);
        return NULL;
    }
    if (options->uploads_dir) upload_forget_parts(options->uploads_dir);
    start_handles(http);
    return http;
}

int http_port(const struct http *http) { return http->port; }

/* ---- draining and closing ------------------------------------------------------------------ */

/* libmicrohttpd has no "last connection gone" event: look. */
static void on_drain(uv_timer_t *timer)
{
    struct http *http = timer->data;
    int n = http->n_conns;
    bool late = uv_now(http->loop) >= http->drain_until;
    if (n && !late) return;
    if (n) log_warn("http: %d connections were not finished in time", n);
    uv_timer_start(&http->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    http->drained(http->drained_data);
}

void http_drain(struct http *http, unsigned limit_ms, void (*drained)(void *data), void *data)
{
    http->draining = true;
    http->drained = drained;
    http->drained_data = data;
    http->drain_until = uv_now(http->loop) + limit_ms;
    int fd = MHD_quiesce_daemon(http->daemon);
    if (fd >= 0) close(fd);
    list_each(link, &http->streams) stream_drain(stream_of_link(link));
    list_each(link, &http->conns)
    {
        struct conn *conn = container_of(link, struct conn, link);
        if (!conn->busy) shutdown(conn->fd, SHUT_RDWR);
    }
    http_kick(http);
    uv_timer_start(&http->sweep, on_drain, 20, 20);
}

void http_settle(struct http *http)
{
    if (http->closing && !http->n_closing && !http->n_exchanges) free(http);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http *http = handle->data;
    if (--http->n_closing) return;
    metrics_release(&http->metrics);
    http->n_exchanges++; /* we ourselves */
    http->closed(http->closed_data);
    http->n_exchanges--;
    http_settle(http);
}

/* libmicrohttpd must not be stopped while connections are suspended. */
static void abort_exchanges(struct http *http)
{
    list_each(link, &http->conns)
    {
        struct conn *conn = container_of(link, struct conn, link);
        if (!conn->exchange) continue;
        conn->exchange->aborted = true;
        http_wake(conn->exchange);
    }
    for (int i = 0; i < RUNS; i++) MHD_run(http->daemon);
}

void http_close(struct http *http, void (*closed)(void *data), void *data)
{
    http->closing = true;
    http->n_closing = 4;
    http->closed = closed;
    http->closed_data = data;
    abort_exchanges(http);
    uv_poll_stop(&http->poll);
    MHD_stop_daemon(http->daemon);
    uv_close((uv_handle_t *)&http->poll, on_handle_closed);
    uv_close((uv_handle_t *)&http->timer, on_handle_closed);
    uv_close((uv_handle_t *)&http->sweep, on_handle_closed);
    uv_close((uv_handle_t *)&http->prepare, on_handle_closed);
}
