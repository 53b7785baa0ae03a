#ifndef CLIENTS_CLI_HTTP_H
#define CLIENTS_CLI_HTTP_H

#include <curl/curl.h>
#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include "clients/cli/where.h"
#include "search/base/buf.h"

/*
 * Requests to the service, one at a time, over one kept connection (libcurl).
 *
 * Bodies are JSON. A reply outside 2xx becomes an error with the problem
 * document's sentence, the members it names and the request's id; the status
 * says what to do about it: E_INPUT (400, 401, 403, 422...), E_MISSING (404),
 * E_CONFLICT (409, 412), E_LIMIT (413), E_BUSY (429, 503, no connection), E_IO
 * otherwise. Redirects are not followed: the token stays with the host it is for.
 * Every POST carries an Idempotency-Key of its own.
 */
enum { HTTP_MAX_REPLY_BYTES = 256 << 20, HTTP_MAX_PATH = 4096 };

struct http {
    CURL *curl;
    struct where where;
    const volatile sig_atomic_t *stop; /* once it is not 0 requests are given up; may be NULL */
};

enum status http_open(struct http *http, const struct where *where, struct error *err);
void http_close(struct http *http);

/* `path` starts with '/'. On success *out is the document (caller decrefs), or NULL
 * when the reply has no body. */
enum status http_get(struct http *http, const char *path, json_t **out, struct error *err);
/* The same for a reply that is text; the caller frees *out. */
enum status http_text(struct http *http, const char *path, char **out, struct error *err);
enum status http_post(struct http *http, const char *path, const json_t *body, json_t **out,
                      struct error *err);

enum status http_delete(struct http *http, const char *path, json_t **out, struct error *err);

/* Sends `bytes` bytes of a file as application/octet-stream; `sent` may be NULL and is
 * told how far it is. */
enum status http_upload(struct http *http, const char *path, FILE *file, int64_t bytes,
                        void (*sent)(void *context, int64_t done, int64_t total), void *context,
                        json_t **out, struct error *err);

/* Shared with stream.c: the headers every request carries, and what a failed transfer
 * or a reply outside 2xx means. */
struct curl_slist *http_headers(const struct where *where, const char *accept);
enum status http_transfer_error(CURLcode code, const struct where *where, struct error *err);
enum status http_problem(long code, const char *body, size_t len, struct error *err);

/* Adds "?key=value" or "&key=value" to a path being built, with the value escaped.
 * NULL values are left out. */
void http_query(struct buf *path, const char *key, const char *value);

#endif
