#include "search/base/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* An EVP_MD_CTX under our own name, so that no other header needs OpenSSL's. */
struct hash *hash_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)) abort();
    return (struct hash *)(void *)ctx;
}

void hash_add(struct hash *hash, const void *bytes, size_t len)
{
    if (!EVP_DigestUpdate((EVP_MD_CTX *)(void *)hash, bytes, len)) abort();
}

void hash_end(struct hash *hash, char out[HASH_HEX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (!EVP_DigestFinal_ex((EVP_MD_CTX *)(void *)hash, digest, NULL)) abort();
    EVP_MD_CTX_free((EVP_MD_CTX *)(void *)hash);
    for (int i = 0; out && i < 32; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    if (out) out[64] = '\0';
}

void hash_hex(const void *bytes, size_t len, char out[HASH_HEX])
{
    struct hash *hash = hash_new();
    hash_add(hash, bytes, len);
    hash_end(hash, out);
}
