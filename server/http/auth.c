#include "server/http/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char prefix[] = "lathe_";

struct auth {
    struct auth_token own; /* tok_0 */
    struct auth_token *others;
    size_t n_others;
    double misses;
    uint64_t missed_at;
};

enum { MISS_RATE = 10, MISS_BURST = 100 };

/* ---- making tokens ---------------------------------------------------------------------- */

void auth_new_token(char out[AUTH_TOKEN])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char random[43];
    if (getrandom(random, sizeof random, 0) != sizeof random) abort();
    size_t n = strlen(prefix);
    memcpy(out, prefix, n);
    for (size_t i = 0; i < sizeof random; i++) out[n++] = letters[random[i] & 63];
    out[n] = 0;
}

/* Written beside and renamed, so that nobody ever reads half a token. */
static enum status make_file(const char *path, char token[AUTH_TOKEN], struct error *err)
{
    char fresh[1024];
    auth_new_token(token);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return fail(err, E_IO, "cannot make %s: %s", fresh, strerror(errno));
    bool good = dprintf(fd, "%s\n", token) > 0 && !fsync(fd);
    good &= !close(fd) && !rename(fresh, path);
    return good ? OK : fail(err, E_IO, "cannot write %s: %s", path, strerror(errno));
}

static enum status check_mode(int fd, const char *path, struct error *err)
{
    struct stat st;
    if (!fstat(fd, &st) && !(st.st_mode & 077)) return OK;
    return fail(err, E_INPUT,
                "%s can be read by others: chmod 600 it, or remove it to get a new token", path);
}

static enum status read_file(int fd, const char *path, char token[AUTH_TOKEN], struct error *err)
{
    char text[256];
    TRY(check_mode(fd, path, err));
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0) return fail(err, E_IO, "cannot read %s: %s", path, strerror(errno));
    text[n] = 0;
    text[strcspn(text, "\r\n")] = 0;
    if (strncmp(text, prefix, strlen(prefix)) || strlen(text) != AUTH_TOKEN - 1)
        return fail(err, E_INPUT, "%s does not hold a token: remove it to get a new one", path);
    memcpy(token, text, AUTH_TOKEN);
    return OK;
}

static enum status load(const char *path, char token[AUTH_TOKEN], struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return make_file(path, token, err);
    if (fd < 0) return fail(err, E_IO, "cannot open %s: %s", path, strerror(errno));
    enum status status = read_file(fd, path, token, err);
    close(fd);
    return status;
}

/* ---- open, replace, free ------------------------------------------------------------------ */

struct auth *auth_open(const char *path, struct error *err)
{
    char token[AUTH_TOKEN];
    if (load(path, token, err)) return NULL;
    struct auth *auth = calloc(1, sizeof *auth);
    if (!auth) abort();
    hash_hex(token, strlen(token), auth->own.hash);
    explicit_bzero(token, sizeof token);
    auth->own.who =
        (struct identity){ .id = "tok_0", .name = "data directory", .scope = SCOPE_ADMIN };
    return auth;
}

/* A token that stays keeps what it has spent. */
static void keep_spent(const struct auth *auth, struct auth_token *token)
{
    for (size_t i = 0; i < auth->n_others; i++) {
        if (strcmp(auth->others[i].hash, token->hash)) continue;
        token->spent = auth->others[i].spent;
        token->spent_at = auth->others[i].spent_at;
        token->used = auth->others[i].used;
    }
}

void auth_replace(struct auth *auth, const struct auth_token *tokens, size_t n)
{
    if (n > AUTH_MAX_TOKENS) n = AUTH_MAX_TOKENS;
    struct auth_token *copy = calloc(n ? n : 1, sizeof *copy);
    if (!copy) abort();
    if (n) memcpy(copy, tokens, n * sizeof *copy);
    for (size_t i = 0; i < n; i++) keep_spent(auth, &copy[i]);
    free(auth->others);
    auth->others = copy;
    auth->n_others = n;
}

void auth_free(struct auth *auth)
{
    if (auth) free(auth->others);
    free(auth);
}

/* ---- checking ---------------------------------------------------------------------------- */

static bool is_same(const char *a, const char *b)
{
    unsigned char difference = 0;
    for (int i = 0; i < HASH_HEX; i++) difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

const struct identity *auth_check(const struct auth *auth, const char *header, int64_t now)
{
    char hash[HASH_HEX];
    const struct auth_token *found = NULL;
    if (!header || strncasecmp(header, "Bearer ", 7) || strlen(header) > 200) return NULL;
    header += 7 + strspn(header + 7, " ");
    hash_hex(header, strlen(header), hash);
    if (is_same(hash, auth->own.hash)) found = &auth->own;
    for (size_t i = 0; i < auth->n_others; i++)
        if (is_same(hash, auth->others[i].hash)) found = &auth->others[i];
    if (!found || (found->expires_at && found->expires_at <= now)) return NULL;
    return &found->who;
}

/* ---- allowances --------------------------------------------------------------------------- */

/* A bucket that leaks `rate` a second; false when one more would pass `burst`. */
static bool pour(double *level, uint64_t *at, double rate, double burst, uint64_t now_ms)
{
    double leaked = *level - rate * (double)(now_ms - *at) / 1000;
    *at = now_ms;
    *level = leaked > 0 ? leaked : 0;
    if (*level + 1 > burst) return false;
    *level += 1;
    return true;
}

static struct auth_token *find_token(struct auth *auth, const struct identity *who)
{
    for (size_t i = 0; i < auth->n_others; i++)
        if (&auth->others[i].who == who) return &auth->others[i];
    return &auth->own;
}

bool auth_admit(struct auth *auth, const struct identity *who, int rate, uint64_t now_ms)
{
    struct auth_token *token = find_token(auth, who);
    token->used = true;
    if (token == &auth->own || !rate) return true;
    return pour(&token->spent, &token->spent_at, rate, 2.0 * rate, now_ms);
}

bool auth_miss(struct auth *auth, uint64_t now_ms)
{
    return pour(&auth->misses, &auth->missed_at, MISS_RATE, MISS_BURST, now_ms);
}

void auth_each_used(struct auth *auth, void (*used)(const struct identity *who, void *data),
                    void *data)
{
    for (size_t i = 0; i < auth->n_others; i++) {
        if (auth->others[i].used) used(&auth->others[i].who, data);
        auth->others[i].used = false;
    }
}
