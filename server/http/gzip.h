#ifndef SERVER_HTTP_GZIP_H
#define SERVER_HTTP_GZIP_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Large text goes out packed to clients that say they take gzip (RFC 9110, 12.5.3). Below
 * GZIP_MIN bytes it does not pay, and secrets are never in the same reply as what a stranger
 * chose, so its length tells nothing.
 */
enum { GZIP_MIN = 16 * 1024 };

/* Does this Accept-Encoding (or NULL) take gzip? */
bool gzip_is_taken(const char *accept);

/* Packed bytes from malloc, or NULL when that would not be smaller. */
char *gzip_pack(const char *bytes, size_t len, size_t *packed);

#endif
