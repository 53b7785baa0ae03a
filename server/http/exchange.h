#ifndef SERVER_HTTP_EXCHANGE_H
#define SERVER_HTTP_EXCHANGE_H

#include <sys/types.h>
#include <microhttpd.h>
#include <uv.h>
#include "search/base/list.h"
#include "server/http/http.h"
#include "server/http/metrics.h"
#include "server/http/request.h"
#include "server/http/uri.h"

/*
 * The inside of server/http, where libmicrohttpd and our requests meet. Nothing
 * outside this folder includes it.
 *
 * struct conn is a TCP connection; struct exchange is one request on it with its reply:
 *
 *   HEAD ──► BODY ──► WHOLE ──► HANDED ──► REPLIED      (on_access, in http.c)
 *     └────────┴─ refused: the reply waits in `response` until it may be queued
 *
 * libmicrohttpd calls on_access once with the headers, once per piece of the body and
 * once (or again after each resume) when the request is whole. Only in the first and
 * the last kind may a reply be queued. A handler that answers later leaves the
 * connection suspended; the reply resumes it and asks for a run of libmicrohttpd
 * (http_kick), which happens in a uv_prepare before the loop sleeps.
 *
 * An exchange dies in exchange_settle only: when libmicrohttpd has let go of it
 * (mhd == NULL), nothing holds the request, and no upload is being synced. That may be after
 * http_close: queries of those who left are answered when the pools close. So struct http goes
 * with the last of its handles and exchanges.
 */
struct conn {
    struct list link;
    int fd;
    bool busy;         /* a request line has come, its reply is not out */
    uint64_t deadline; /* loop time; 0: none */
    char *target;      /* of the request line, as sent */
    struct exchange *exchange;
};

struct http {
    struct http_options options;
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    int port;
    uv_poll_t poll;
    uv_timer_t timer; /* what libmicrohttpd wants to wait for */
    uv_timer_t sweep; /* deadlines and heartbeats */
    uv_prepare_t prepare;
    bool kicked, draining, closing;
    struct list conns;
    struct list streams;
    int n_streams, n_conns, peak_conns; /* the most since memory was last given back */
    int n_exchanges; /* each keeps this struct; so do handles that are open */
    struct metrics metrics;
    char boot[9]; /* of request ids */
    uint64_t n_requests;
    uint64_t drain_until;
    void (*drained)(void *data), (*closed)(void *data);
    void *drained_data, *closed_data;
    int n_closing;
};

struct header {
    struct header *next;
    const char *name, *value;
};

struct exchange {
    struct request req; /* first: handlers see only this */
    struct http *http;
    struct conn *conn;
    struct MHD_Connection *mhd; /* NULL when libmicrohttpd is done with us */
    struct uri uri;
    struct route_match match;
    const char *params[ROUTER_MAX_PARAMS];
    struct identity who;
    char id[72];
    const char *target; /* of the request line */
    bool begun, handed, in_handler, suspended, queued, has_body, aborted;
    bool passed, leaving; /* the gate let it in; the gate holds its reply */
    void *gate_data;      /* the gate's own, from the request's memory */
    struct buf body;
    struct upload_writer *writer;
    json_t *json;
    struct header *headers;
    struct MHD_Response *response; /* the reply, until it is queued */
    int status;
    int shown_as;     /* what a 200 goes out as; 0: as it is */
    uint64_t n_reply; /* bytes of it, when known */
    struct stream *stream;
    struct list asked;   /* queries under way */
    uint64_t started_at; /* uv_hrtime */
};

static inline struct exchange *exchange_of(struct request *req)
{
    return container_of(req, struct exchange, req);
}

/* ---- http.c ---- */
void http_settle(struct http *http); /* frees it when nobody needs it any more */
void http_kick(struct http *http);
void http_wake(struct exchange *x); /* resumes a suspended connection */

/* ---- exchange.c ---- */
struct exchange *exchange_new(struct http *http, struct conn *conn, struct MHD_Connection *mhd);

/* The headers have come: everything that can be refused now is, by a reply. */
void exchange_begin(struct exchange *x, const char *method, const char *version);

/* A piece of the body. */
void exchange_body(struct exchange *x, const char *bytes, size_t len);

/* The request is whole: hands it to its handler unless it is refused already. */
void exchange_whole(struct exchange *x);

/* Its client was seen to have left before the reply: nobody waits for what it reads. */
void exchange_abandon(struct exchange *x);

/* libmicrohttpd is done with it. */
void exchange_ended(struct exchange *x, bool complete);

void exchange_settle(struct exchange *x);

/* ---- reply.c ---- */

/* The one way a reply leaves: takes over `response`. */
void exchange_reply(struct exchange *x, int status, struct MHD_Response *response);

/* ---- upload.c: a body that goes to disk ---- */
struct upload_writer *upload_writer_new(struct exchange *x, struct error *err);
enum status upload_writer_add(struct upload_writer *w, const char *bytes, size_t len,
                              struct error *err);
/* Syncs the file in libuv's thread pool, holding the request, then done(x, err). */
void upload_writer_finish(struct upload_writer *w,
                          void (*done)(struct exchange *x, const struct error *err));
/* Removes parts in `dir` that nobody wrote to for an hour. */
void upload_forget_parts(const char *dir);
/* Unlinks what the handler did not take. */
void upload_writer_free(struct upload_writer *w);

/* ---- stream.c ---- */
void stream_ended(struct exchange *x); /* the reply is over */
void stream_beat(struct stream *stream, uint64_t now);
void stream_drain(struct stream *stream);
struct stream *stream_of_link(struct list *link);

#endif
