#ifndef SERVER_HTTP_AUTH_H
#define SERVER_HTTP_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "search/base/error.h"
#include "search/base/hash.h"
#include "server/http/request.h"

/*
 * Bearer tokens (RFC 6750). A token is "lathe_" and 43 letters that hold 256 random bits.
 * We keep SHA-256 digests only and compare them all, in constant time.
 *
 * There is always one token of the data directory, tok_0, with every scope: the file
 * `token`, made at the first start with mode 0600. Removing the file and starting again
 * makes a new one. All others come from the database (auth_replace).
 */
enum { AUTH_TOKEN = 50, AUTH_MAX_TOKENS = 1000 }; /* bytes of a token's text with its NUL */

struct auth;

/* Reads `path`, or makes it. */
struct auth *auth_open(const char *path, struct error *err);
void auth_free(struct auth *auth);

struct auth_token {
    char hash[HASH_HEX];
    struct identity who;
    int64_t expires_at; /* seconds since 1970; 0: never */

    /* private */
    double spent; /* of the allowance; runs dry with time */
    uint64_t spent_at;
    bool used;
};

/* Replaces all tokens but tok_0 (copied; at most AUTH_MAX_TOKENS). */
void auth_replace(struct auth *auth, const struct auth_token *tokens, size_t n);

/* Who sent this Authorization header (NULL when absent)? NULL for nobody we know. Valid until
 * the next auth_replace. */
const struct identity *auth_check(const struct auth *auth, const char *header, int64_t now);

/* Spends one request of `who`'s allowance: `rate` a second, twice that at once; 0 allows all, and
 * tok_0 is not limited. False when it is used up. */
bool auth_admit(struct auth *auth, const struct identity *who, int rate, uint64_t now_ms);

/* Counts a wrong token. False when there were so many lately that nobody should be told more
 * than "later": somebody guesses. */
bool auth_miss(struct auth *auth, uint64_t now_ms);

/* Calls back for each token used since the last call, for last_used_at. */
void auth_each_used(struct auth *auth, void (*used)(const struct identity *who, void *data),
                    void *data);

/* A new token's text. */
void auth_new_token(char out[AUTH_TOKEN]);

#endif
