#ifndef SERVER_HTTP_RANGE_H
#define SERVER_HTTP_RANGE_H

#include <stdint.h>

/*
 * A Range header (RFC 9110, 14) on a file of `size` bytes: one range of bytes. Several
 * ranges, or what we cannot read, get the whole file, as the RFC allows.
 */
struct range {
    int64_t first, last; /* inclusive; 0 <= first <= last < size */
};

enum range_kind {
    RANGE_NONE,   /* the whole file */
    RANGE_GOOD,   /* `out` is filled */
    RANGE_BEYOND, /* 416: nothing of it is in the file */
};

/* `text` may be NULL. */
enum range_kind range_parse(const char *text, int64_t size, struct range *out);

#endif
