#ifndef SEARCH_BASE_BUF_H
#define SEARCH_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include "search/base/error.h"

/*
 * A growing run of bytes with a ceiling, for building text.
 *
 * Invariants a caller may rely on:
 *   - `bytes` is NULL or points at `len` bytes followed by a NUL;
 *   - `len` never exceeds `ceiling`;
 *   - a put that would pass the ceiling sets `failed` and leaves the contents
 *     alone, and so does every put after it: build in a straight line, ask once.
 *
 *     struct buf b;
 *     buf_init(&b, 64 * 1024);
 *     buf_printf(&b, "%d layers", n);
 *     if (b.failed) ...
 *     buf_release(&b);
 */
struct buf {
    char *bytes;
    size_t len, capacity, ceiling;
    bool failed;
};

/* Prepares an empty buffer that may never hold more than `ceiling` bytes. */
void buf_init(struct buf *buf, size_t ceiling);

/* Frees the bytes; the buffer is empty and usable again with the same ceiling. */
void buf_release(struct buf *buf);

/* Forgets the contents and a failure, keeps the memory. */
void buf_clear(struct buf *buf);

void buf_put(struct buf *buf, const void *bytes, size_t len);
void buf_puts(struct buf *buf, const char *text);
void buf_putc(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Room for `len` more bytes at the end, which the caller writes and then reports with buf_took
 * (at most `len`). NULL, and the buffer has failed, when that would pass the ceiling. */
char *buf_room(struct buf *buf, size_t len);
void buf_took(struct buf *buf, size_t len);

/* Drops the first `len` bytes (len <= buf->len); what follows moves to the front. */
void buf_drop(struct buf *buf, size_t len);

/* Gives the NUL-terminated bytes to the caller, who frees them; the buffer is
 * empty afterwards. Never NULL: an empty buffer gives an empty string. */
char *buf_detach(struct buf *buf, size_t *len);

#endif
