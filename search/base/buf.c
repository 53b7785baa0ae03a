#include "search/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *buf, size_t ceiling) { *buf = (struct buf){ .ceiling = ceiling }; }

void buf_release(struct buf *buf)
{
    free(buf->bytes);
    buf_init(buf, buf->ceiling);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->bytes) buf->bytes[0] = '\0';
}

/* Makes room for `extra` bytes and a NUL, or marks the buffer as failed. */
static bool reserve(struct buf *buf, size_t extra)
{
    if (buf->failed || extra > buf->ceiling - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t want = buf->len + extra + 1;
    if (want <= buf->capacity) return true;

    size_t capacity = buf->capacity ? buf->capacity : 256;
    while (capacity < want) capacity *= 2;
    char *bytes = realloc(buf->bytes, capacity);
    if (!bytes) abort(); /* small memory: a ceiling was agreed on */
    buf->bytes = bytes;
    buf->capacity = capacity;
    return true;
}

char *buf_room(struct buf *buf, size_t len)
{
    return reserve(buf, len) ? buf->bytes + buf->len : NULL;
}

void buf_took(struct buf *buf, size_t len)
{
    buf->len += len;
    buf->bytes[buf->len] = '\0';
}

void buf_put(struct buf *buf, const void *bytes, size_t len)
{
    if (!reserve(buf, len)) return;
    if (len) memcpy(buf->bytes + buf->len, bytes, len);
    buf->len += len;
    buf->bytes[buf->len] = '\0';
}

void buf_puts(struct buf *buf, const char *text) { buf_put(buf, text, strlen(text)); }

void buf_putc(struct buf *buf, char c) { buf_put(buf, &c, 1); }

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    char few[256];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(few, sizeof few, fmt, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof few) {
        buf_put(buf, few, (size_t)len);
    } else if (len >= 0 && reserve(buf, (size_t)len)) {
        vsnprintf(buf->bytes + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

void buf_drop(struct buf *buf, size_t len)
{
    if (!len) return;
    memmove(buf->bytes, buf->bytes + len, buf->len - len + 1);
    buf->len -= len;
}

char *buf_detach(struct buf *buf, size_t *len)
{
    char *bytes = buf->bytes ? buf->bytes : calloc(1, 1);
    if (!bytes) abort();
    if (len) *len = buf->len;
    buf->bytes = NULL;
    buf_init(buf, buf->ceiling);
    return bytes;
}
