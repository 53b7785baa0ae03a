/*
 * An open-loop HTTP client: sends GETs at a fixed rate over kept connections, whether or not the
 * server keeps up, and measures each from the moment it was due (so a stall counts for all that
 * wait behind it). Prints one line: requests, errors, and latencies in milliseconds.
 *
 *     open_loop PORT PATH TOKEN CONNECTIONS RATE SECONDS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNS = 1024, MAX_REPLY = 1 << 20 };

static struct conn {
    int fd;
    bool busy;
    double due;
    size_t n;
    char *reply;
} conns[MAX_CONNS];

static char request[2048];
static size_t n_request;
static int n_conns, epoll;
static double *latency;
static long n_done, n_errors;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void open_conn(struct conn *c, int port)
{
    int one = 1;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((unsigned short)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->reply = malloc(MAX_REPLY);
    if (c->fd < 0 || !c->reply || connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void start(struct conn *c, double due)
{
    c->busy = true;
    c->due = due;
    c->n = 0;
    if (send(c->fd, request, n_request, MSG_NOSIGNAL) != (ssize_t)n_request) die("send");
}

/* The length of a whole reply, 0 while it is not whole. */
static size_t whole(const struct conn *c)
{
    char *end = memmem(c->reply, c->n, "\r\n\r\n", 4);
    char *length = end ? memmem(c->reply, (size_t)(end - c->reply), "ontent-", 7) : NULL;
    while (length && strncasecmp(length, "ontent-length:", 14))
        length = memmem(length + 1, (size_t)(end - length - 1), "ontent-", 7);
    if (!length) return 0;
    size_t all = (size_t)(end - c->reply) + 4 + strtoul(length + 14, NULL, 10);
    return c->n >= all ? all : 0;
}

static void receive(struct conn *c, long max)
{
    ssize_t n = recv(c->fd, c->reply + c->n, MAX_REPLY - 1 - c->n, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) die("recv");
    if (n < 0) return;
    c->n += (size_t)n;
    c->reply[c->n] = 0;
    if (!whole(c)) return;
    if (strncmp(c->reply + 9, "200", 3)) n_errors++;
    if (n_done < max) latency[n_done++] = now() - c->due;
    c->busy = false;
}

static struct conn *idle(void)
{
    static int at;
    for (int i = 0; i < n_conns; i++) {
        struct conn *c = &conns[at++ % n_conns];
        if (!c->busy) return c;
    }
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void load(double rate, double seconds)
{
    long max = (long)(rate * seconds), sent = 0;
    latency = malloc((size_t)max * sizeof *latency);
    if (!latency) die("malloc");
    double begin = now();
    while (n_done < max && now() < begin + seconds + 10) {
        struct conn *c;
        struct epoll_event events[64];
        while (sent < max && now() >= begin + (double)sent / rate && (c = idle()))
            start(c, begin + (double)sent++ / rate);
        double rest = begin + (double)sent / rate - now();
        struct timespec until = { .tv_nsec = rest < 1e-6 ? 0 : rest > 0.1 ? 100000000 : (long)(rest * 1e9) };
        int n = epoll_pwait2(epoll, events, 64, sent < max && idle() ? &until : NULL, NULL);
        for (int i = 0; i < n; i++) receive(events[i].data.ptr, max);
    }
    qsort(latency, (size_t)n_done, sizeof *latency, ascending);
    printf("%ld %ld %.3f %.3f %.3f\n", n_done, n_errors + (max - n_done),
           1e3 * latency[n_done / 2], 1e3 * latency[n_done * 99 / 100], 1e3 * latency[n_done - 1]);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: open_loop PORT PATH TOKEN CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    int port = atoi(argv[1]);
    n_conns = atoi(argv[4]);
    if (n_conns < 1 || n_conns > MAX_CONNS) n_conns = 64;
    n_request = (size_t)snprintf(request, sizeof request,
                                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                 "Authorization: Bearer %s\r\n\r\n",
                                 argv[2], argv[3]);
    epoll = epoll_create1(0);
    for (int i = 0; i < n_conns; i++) open_conn(&conns[i], port);
    load(atof(argv[5]), atof(argv[6]));
    return n_done == 0;
}
