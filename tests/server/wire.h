#ifndef TESTS_SERVER_WIRE_H
#define TESTS_SERVER_WIRE_H

#include <pthread.h>
#include <uv.h>
#include "server/http/auth.h"
#include "server/http/http.h"

/*
 * A server on a thread and a client of raw bytes. The server is the real one (http.h) on a
 * free port of 127.0.0.1, with a directory of its own and the routes of the test.
 */
struct wire {
    char dir[64], token[64];
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    struct http *http;
    struct http_options options; /* set what differs before wire_open */
    struct router *router;       /* likewise: add routes */
    struct auth *auth;
    int port, drained_ms;
};

/* Prepares options and router; then wire_open starts the thread. */
void wire_init(struct wire *w);
void wire_open(struct wire *w);

/* Asks the server to drain, without waiting. */
void wire_drain(struct wire *w);

/* Waits until the server has drained (drained_ms tells how long it took) and removes everything. */
void wire_close(struct wire *w);

/* A connection; -1 when refused. */
int wire_connect(const struct wire *w);
void wire_send(int fd, const char *bytes, size_t len);

/* Reads until the other side closes, at most `ms`; the text lives until the next call.
 * A connection still open then is told by "<open>" at the end. */
const char *wire_read(int fd, int ms);

/* Connects, sends, reads until closed (at most 30 s), closes. In `request`, "$T" stands for the
 * token. In the reply, the values of Date and X-Request-Id and the request_id are "*". */
const char *wire_ask(const struct wire *w, const char *request);

#endif
