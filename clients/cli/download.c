#include "clients/cli/download.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "search/base/hash.h"

enum { PLACE_MAX = 4096, PROBLEM_BYTES = 64 * 1024, STALLED_S = 120, CONNECT_S = 10 };

struct transfer {
    const struct http *http;
    const struct download *d;
    FILE *part;
    int64_t from, came; /* bytes that were there, and that came */
    struct buf problem; /* the body of a reply that is none of the file */
    bool begun, failed;
};

static enum status cannot(struct error *err, const char *what, const char *place)
{
    return fail(err, E_IO, "cannot %s %.200s: %s", what, place, strerror(errno));
}

/* ---- the transfer -------------------------------------------------------------------- */

/* 206 goes on where we were; 200 is the whole file again. */
static bool begin(struct transfer *t, long code)
{
    t->begun = true;
    if (code == 206) return true;
    t->from = 0;
    return !fflush(t->part) && !ftruncate(fileno(t->part), 0) && !fseek(t->part, 0, SEEK_SET);
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *context)
{
    struct transfer *t = context;
    long code = 0;
    curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200 && code != 206) {
        buf_put(&t->problem, bytes, size * n);
        return size * n;
    }
    t->failed |= !t->begun && !begin(t, code);
    t->came += (int64_t)(size * n);
    if (t->d->bytes >= 0 && t->from + t->came > t->d->bytes) return 0;
    t->failed |= t->failed || fwrite(bytes, size, n, t->part) != n;
    return t->failed ? 0 : size * n;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t u, curl_off_t v)
{
    const struct transfer *t = context;
    (void)total, (void)now, (void)u, (void)v;
    if (t->d->got) t->d->got(t->d->context, t->from + t->came, t->d->bytes);
    return t->http->stop && *t->http->stop;
}

static void prepare(struct transfer *t, const char *url, struct curl_slist *headers)
{
    CURL *curl = t->http->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "lathe/" LATHE_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALLED_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

/* Not with CURLOPT_RESUME_FROM: that gives up when the service sends the whole file again. */
static struct curl_slist *headers_of(const struct transfer *t)
{
    char line[64];
    struct curl_slist *list = http_headers(&t->http->where, "*/*");
    if (!t->from) return list;
    snprintf(line, sizeof line, "Range: bytes=%lld-", (long long)t->from);
    return curl_slist_append(list, line);
}

static enum status broke(const struct transfer *t, struct error *err)
{
    return fail(err, E_BUSY, "the connection broke after %lld of %lld bytes; again goes on",
                (long long)(t->from + t->came), (long long)t->d->bytes);
}

static enum status judge(struct transfer *t, CURLcode done, struct error *err)
{
    long code = 0;
    curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE, &code);
    if (t->failed) return cannot(err, "write", t->d->place);
    if (done == CURLE_ABORTED_BY_CALLBACK) return fail(err, E_CANCELLED, "given up");
    if (done == CURLE_WRITE_ERROR)
        return fail(err, E_IO, "more came than the %lld bytes that were promised",
                    (long long)t->d->bytes);
    if (done && t->came) return broke(t, err);
    if (done) return http_transfer_error(done, &t->http->where, err);
    if (code / 100 != 2) return http_problem(code, t->problem.bytes, t->problem.len, err);
    return OK;
}

static enum status fetch(struct transfer *t, struct error *err)
{
    char url[WHERE_MAX + HTTP_MAX_PATH];
    snprintf(url, sizeof url, "%s%s", t->http->where.server, t->d->path);
    struct curl_slist *headers = headers_of(t);
    buf_init(&t->problem, PROBLEM_BYTES);
    prepare(t, url, headers);
    judge(t, curl_easy_perform(t->http->curl), err);
    curl_slist_free_all(headers);
    buf_release(&t->problem);
    return err->status;
}

/* ---- the file ------------------------------------------------------------------------ */

static bool has_hash(const char *place, const char *sha256)
{
    enum { CHUNK = 1 << 16 };
    char found[HASH_HEX] = "", *chunk = malloc(CHUNK);
    FILE *file = fopen(place, "re");
    size_t n;
    if (file && chunk) {
        struct hash *hash = hash_new();
        while ((n = fread(chunk, 1, CHUNK, file)) > 0) hash_add(hash, chunk, n);
        hash_end(hash, found);
    }
    if (file) fclose(file);
    free(chunk);
    return !strcmp(found, sha256);
}

/* Bytes of an earlier try that can be gone on with. */
static int64_t left_over(const struct download *d, const char *part)
{
    struct stat st;
    bool fine = d->sha256 && d->bytes > 0 && !stat(part, &st) && S_ISREG(st.st_mode);
    return fine && st.st_size < d->bytes ? st.st_size : 0;
}

static enum status into_part(struct http *http, const struct download *d, const char *part,
                             int64_t *fetched, struct error *err)
{
    struct transfer t = { .http = http, .d = d, .from = left_over(d, part) };
    t.part = fopen(part, t.from ? "r+be" : "wbe");
    if (!t.part || fseek(t.part, 0, SEEK_END)) {
        cannot(err, "write", part);
        if (t.part) fclose(t.part);
        return err->status;
    }
    fetch(&t, err);
    if ((fflush(t.part) || fsync(fileno(t.part))) && !err->status) cannot(err, "write", part);
    if (fclose(t.part) && !err->status) cannot(err, "write", part);
    *fetched = t.came;
    if (!err->status && d->bytes >= 0 && t.from + t.came != d->bytes) return broke(&t, err);
    return err->status;
}

enum status download_file(struct http *http, const struct download *d, int64_t *fetched,
                          struct error *err)
{
    char part[PLACE_MAX];
    *fetched = 0;
    if (snprintf(part, sizeof part, "%s.part", d->place) >= (int)sizeof part)
        return fail(err, E_INPUT, "%.100s...: the path is too long", d->place);
    if (d->sha256 && has_hash(d->place, d->sha256)) return OK;
    TRY(into_part(http, d, part, fetched, err));
    if (d->sha256 && !has_hash(part, d->sha256)) {
        unlink(part);
        return fail(err, E_IO, "what came has not the checksum %.12s... that was promised",
                    d->sha256);
    }
    return rename(part, d->place) ? cannot(err, "make", d->place) : OK;
}

enum status download_folder(const char *path, struct error *err)
{
    char copy[PLACE_MAX];
    struct stat st;
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy || !*path)
        return fail(err, E_INPUT, "'%.100s' is not the path of a folder", path);
    for (char *c = copy + 1; *c; c++) {
        if (*c != '/') continue;
        *c = '\0';
        mkdir(copy, 0777);
        *c = '/';
    }
    if (mkdir(copy, 0777) && errno != EEXIST) return cannot(err, "make", path);
    if (stat(copy, &st) || !S_ISDIR(st.st_mode))
        return fail(err, E_INPUT, "%.200s is not a folder", path);
    return OK;
}

bool download_name_is_plain(const char *name)
{
    if (!*name || *name == '.' || strlen(name) > 200) return false;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == '/' || *c == 0x7f) return false;
    return true;
}
