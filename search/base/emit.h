#ifndef SEARCH_BASE_EMIT_H
#define SEARCH_BASE_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include "search/base/buf.h"

/*
 * Writes JSON straight into a buffer, with no tree in between (building a tree
 * and dumping it costs five times the rest of a small HTTP reply).
 *
 *     emit_begin(e, '{');
 *       emit_key(e, "hidden_size"); emit_int(e, 576);
 *       emit_key(e, "layers"); emit_begin(e, '[');
 *       ...
 *       emit_end(e);
 *     emit_end(e);
 *
 * Commas are the writer's business. Strings are escaped; bytes that are not
 * UTF-8 become U+FFFD. Numbers are the shortest text that reads back as the same
 * double, in the form of RFC 8785 (ECMAScript), so equal values give equal
 * bytes everywhere; NaN and infinities, which JSON lacks, become null.
 * Failure is the buffer's: ask `buf.failed` once at the end.
 */
enum { EMIT_MAX_DEPTH = 64 };

struct emit {
    struct buf *buf;
    int depth;
    bool comma;                /* the next value needs a comma before it */
    char close[EMIT_MAX_DEPTH]; /* what ends each open container */
};

void emit_init(struct emit *e, struct buf *buf);

/* Opens '{' or '['. More than EMIT_MAX_DEPTH open containers is a bug: aborts. */
void emit_begin(struct emit *e, char open);
void emit_end(struct emit *e);

void emit_key(struct emit *e, const char *key);
void emit_string(struct emit *e, const char *text);
void emit_string_n(struct emit *e, const char *text, size_t len);
void emit_int(struct emit *e, int64_t value);
void emit_double(struct emit *e, double value);
void emit_bool(struct emit *e, bool value);
void emit_null(struct emit *e);

/* Text that is JSON already, for instance a jsonb column. */
void emit_raw(struct emit *e, const char *json, size_t len);

/* Key and value in one call, for the usual members of an object. */
void emit_kv_string(struct emit *e, const char *key, const char *text); /* NULL text gives null */
void emit_kv_int(struct emit *e, const char *key, int64_t value);
void emit_kv_double(struct emit *e, const char *key, double value);
void emit_kv_bool(struct emit *e, const char *key, bool value);

/* The text of one number as emit_double writes it; at least 48 bytes of room. */
void emit_number_text(char out[48], double value);

#endif
