#ifndef SEARCH_BASE_HASH_H
#define SEARCH_BASE_HASH_H

#include <stddef.h>

/*
 * SHA-256 by OpenSSL's libcrypto, which libpq brings along anyway: content
 * addresses of shapes, checksums of files and the stored form of tokens.
 */
enum { HASH_HEX = 65 }; /* 64 lower-case hexadecimal digits and a NUL */

void hash_hex(const void *bytes, size_t len, char out[HASH_HEX]);

/* In pieces. hash_end frees the state and may be given NULL for `out` to drop it. */
struct hash;
struct hash *hash_new(void);
void hash_add(struct hash *hash, const void *bytes, size_t len);
void hash_end(struct hash *hash, char out[HASH_HEX]);

#endif
