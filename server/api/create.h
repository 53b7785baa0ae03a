#ifndef SERVER_API_CREATE_H
#define SERVER_API_CREATE_H

#include "search/base/emit.h"
#include "search/base/field.h"
#include "server/api/ask.h"

/*
 * What every POST that makes something does: read the body, build the object that a
 * function of sql/0004 takes, and reply 201 with the new resource and its Location.
 */
enum { CREATE_BYTES = 4 * 1024 * 1024 };

/* The body as an object to read; false when it replied (not JSON). `err` is zeroed and used
 * by the field. */
bool create_body(struct request *req, struct field *body, struct error *err);

/* ?dry_run=true: check and estimate, make nothing. False when it replied. */
bool create_dry_run(struct request *req, bool *dry_run);

/* "name", or `otherwise`. */
const char *create_name(struct field *body, const char *otherwise);

/* A member that must be an id of this kind, as its number; fails otherwise. */
const char *create_id(struct field *body, const char *key, const char *prefix);
const char *create_id_or_null(struct field *body, const char *key, const char *prefix);

/* Member `key` as "srch_3". */
void emit_kv_id(struct emit *e, const char *key, const char *prefix, const char *number);

/* Processors of one trainer when a body does not say: config->threads, or all. */
int create_threads(const struct request *req);

struct creation {
    const char *create; /* "select search_create($1::jsonb)" */
    const char *select; /* the resource by its number as $1 */
    const char *prefix; /* "srch" */
    const char *path;   /* "/v1/searches" */
};

/* After the one parameter of `creation->create`: the same transaction says beside the request's
 * Idempotency-Key what was made. create_send does it. */
void create_once(struct ask *ask, const struct creation *creation);

/* Sends; takes over the buffer's bytes. */
void create_send(struct request *req, const struct creation *creation, struct buf *object);

#endif
