#ifndef SERVER_HTTP_HTTP_H
#define SERVER_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "search/base/error.h"
#include "server/http/router.h"

struct app;
struct auth;
struct request;

/*
 * HTTP/1.1 on the loop: libmicrohttpd without threads, its epoll descriptor watched by
 * a uv_poll. Nothing outside this folder sees libmicrohttpd.
 *
 * What it takes care of, so that handlers need not: headers that can be read two ways,
 * absolute deadlines for header and body, ceilings for both, Host and Origin, the
 * token and its scope, request ids, problem documents, draining.
 */
struct http;

/*
 * Somebody who looks at every authorised request between us and its handler. Each function
 * may be NULL.
 *
 *   enter   before the handler. True: go on. False: the gate has replied, or holds the
 *           request (request_hold) and will call http_gate_pass or reply
 *   leave   before the reply of a handler goes out (not of enter, nor of a stream or file). False:
 *           the gate holds the request and will call http_gate_release. `bytes` lives for the call
 *   ended   the request is over; status 0: the client left before the reply
 */
struct http_gate {
    bool (*enter)(struct request *req);
    bool (*leave)(struct request *req, int status, const char *type, const char *bytes, size_t len);
    void (*ended)(struct request *req, int status);
};

void http_gate_pass(struct request *req);
void http_gate_release(struct request *req);

/* Instead of http_gate_pass: the GET handler of `path`, one of ours, replies, and its 200 goes
 * out as `status`. */
void http_gate_show(struct request *req, const char *path, int status);

/* The request's target as it was sent. */
const char *http_target(const struct request *req);

/* In leave: a header of the reply, or NULL. And what the gate remembers of a request. */
const char *http_gate_header(struct request *req, const char *name);
void **http_gate_data(struct request *req);

struct http_options {
    const char *address; /* numeric */
    int port;            /* 0: any */
    const char *hosts;   /* further names of ours for the Host check, by commas, or NULL */
    const struct router *router;
    struct auth *auth;
    struct app *app;
    const char *uploads_dir;
    int64_t max_body, max_upload;
    unsigned header_ms, body_ms, idle_ms; /* deadlines; 0: 10 s, 30 s (a stalled body), 60 s */
    unsigned max_connections;             /* 0: 10000 */
    int rate;                     /* requests a second of one token, 0: any; tok_0 is not limited */
    const struct http_gate *gate; /* or NULL; kept */
};

struct http *http_open(uv_loop_t *loop, const struct http_options *options, struct error *err);

/* The port in use. */
int http_port(const struct http *http);

/* Stops accepting, closes idle connections, ends streams, lets requests in flight finish;
 * then drained(data), at the latest after `limit_ms`. */
void http_drain(struct http *http, unsigned limit_ms, void (*drained)(void *data), void *data);

/* After http_drain has reported: frees everything, then closed(data). */
void http_close(struct http *http, void (*closed)(void *data), void *data);

#endif
