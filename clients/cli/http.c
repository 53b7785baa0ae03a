#include "clients/cli/http.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "clients/cli/look.h"

enum { CONNECT_TIMEOUT_S = 10, STALLED_S = 120, MAX_PROBLEM_FIELDS = 8 };

struct exchange {
    char **text; /* where the body goes that is no JSON; or NULL */
    const struct http *http;
    struct buf body;
    FILE *file;
    int64_t total;
    void (*sent)(void *context, int64_t done, int64_t total);
    void *context;
};

enum status http_open(struct http *http, const struct where *where, struct error *err)
{
    http->where = *where;
    http->curl = curl_easy_init();
    return http->curl ? OK : fail(err, E_IO, "libcurl cannot start");
}

void http_close(struct http *http)
{
    curl_easy_cleanup(http->curl);
    http->curl = NULL;
}

struct curl_slist *http_headers(const struct where *where, const char *accept)
{
    char line[WHERE_MAX + 32];
    struct curl_slist *list = NULL;
    snprintf(line, sizeof line, "Accept: %s", accept);
    list = curl_slist_append(list, line);
    snprintf(line, sizeof line, "Authorization: Bearer %s", where->token);
    return *where->token ? curl_slist_append(list, line) : list;
}

static struct curl_slist *add_key(struct curl_slist *list)
{
    unsigned char random[16];
    char line[64] = "Idempotency-Key: ";
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) return list;
    for (size_t i = 0, at = strlen(line); i < sizeof random; i++, at += 2)
        snprintf(line + at, 3, "%02x", random[i]);
    return curl_slist_append(list, line);
}

enum status http_transfer_error(CURLcode code, const struct where *where, struct error *err)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return fail(err, E_BUSY,
                    "nothing answers at %.200s; is lathed running? (--server or "
                    "--data-dir says where)",
                    where->server);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return fail(err, E_INPUT, "'%.200s' is not an address of a service", where->server);
    case CURLE_PEER_FAILED_VERIFICATION:
        return fail(err, E_INPUT, "%.200s: its certificate is not trusted", where->server);
    case CURLE_WRITE_ERROR:
        return fail(err, E_LIMIT, "the reply is larger than %d MiB", HTTP_MAX_REPLY_BYTES >> 20);
    default: return fail(err, E_BUSY, "%.200s: %s", where->server, curl_easy_strerror(code));
    }
}

static enum status status_of(long code)
{
    switch (code) {
    case 404:
    case 410: return E_MISSING;
    case 409:
    case 412: return E_CONFLICT;
    case 413: return E_LIMIT;
    case 408:
    case 429:
    case 502:
    case 503:
    case 504: return E_BUSY;
    default: return code >= 400 && code < 500 ? E_INPUT : E_IO;
    }
}

/* "; /stop/ratio: must be below 1" for every member the problem names. */
static void add_fields(struct buf *text, json_t *problem)
{
    json_t *errors = look_at(problem, "errors"), *one;
    size_t i;
    const char *detail = look_string(problem, "detail", "");
    json_array_foreach(errors, i, one)
    {
        const char *why = look_string(one, "detail", "");
        if (i == MAX_PROBLEM_FIELDS) break;
        if (json_array_size(errors) == 1 && strstr(detail, why))
            buf_printf(text, " (at %s)", look_string(one, "pointer", "/"));
        else
            buf_printf(text, "; %s: %s", look_string(one, "pointer", "/"), why);
    }
}

static void describe(struct buf *text, long code, json_t *problem)
{
    const char *detail = look_string(problem, "detail", NULL);
    const char *id = look_string(problem, "request_id", NULL);
    if (!detail) detail = look_string(problem, "title", NULL);
    if (detail)
        buf_puts(text, detail);
    else
        buf_printf(text, "the service answered %ld without saying why", code);
    add_fields(text, problem);
    if (code == 401)
        buf_puts(text, "; --token, LATHE_TOKEN or the data directory's file gives one");
    if (id && code >= 500) buf_printf(text, " (request %s)", id);
}

enum status http_problem(long code, const char *body, size_t len, struct error *err)
{
    struct buf text;
    json_t *problem = json_loadb(body ? body : "", len, 0, NULL);
    buf_init(&text, 64 * 1024);
    describe(&text, code, problem);
    enum status status = fail(err, status_of(code), "%s", text.bytes ? text.bytes : "");
    buf_release(&text);
    json_decref(problem);
    return status;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *context)
{
    struct exchange *x = context;
    buf_put(&x->body, bytes, size * n);
    return x->body.failed ? 0 : size * n;
}

static size_t on_read(char *to, size_t size, size_t n, void *context)
{
    struct exchange *x = context;
    size_t got = fread(to, 1, size * n, x->file);
    return ferror(x->file) ? CURL_READFUNC_ABORT : got;
}

static int on_progress(void *context, curl_off_t t, curl_off_t d, curl_off_t total, curl_off_t now)
{
    struct exchange *x = context;
    (void)t, (void)d, (void)total;
    if (x->sent) x->sent(x->context, now, x->total);
    return x->http->stop && *x->http->stop;
}

static enum status parse(struct exchange *x, json_t **out, struct error *err)
{
    json_error_t why;
    if (x->text) return OK;
    *out = NULL;
    if (!x->body.len) return OK;
    *out = json_loadb(x->body.bytes, x->body.len, 0, &why);
    return *out ? OK : fail(err, E_IO, "the reply is not JSON: %s (is this a lathed?)", why.text);
}

static void prepare(struct http *http, struct exchange *x, const char *url,
                    struct curl_slist *headers)
{
    CURL *curl = http->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "lathe/" LATHE_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALLED_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, x);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

/* Sends what the caller has set on http->curl. Takes the headers. */
static enum status perform(struct http *http, struct exchange *x, struct curl_slist *headers,
                           json_t **out, struct error *err)
{
    long code = 0;
    CURLcode done = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &code);
    enum status status;
    /* A reply that came before the whole body was sent is still the answer. */
    bool answered = !done || (code >= 400 && done == CURLE_SEND_ERROR);
    if (!answered && done == CURLE_ABORTED_BY_CALLBACK)
        status = fail(err, E_CANCELLED, x->file ? "the file cannot be read" : "given up");
    else if (!answered)
        status = http_transfer_error(done, &http->where, err);
    else if (code / 100 != 2)
        status = http_problem(code, x->body.bytes, x->body.len, err);
    else
        status = parse(x, out, err);
    curl_slist_free_all(headers);
    if (x->text && !status) *x->text = strndup(x->body.bytes ? x->body.bytes : "", x->body.len);
    buf_release(&x->body);
    return status;
}

static enum status start(struct http *http, struct exchange *x, const char *path,
                         struct curl_slist *headers, struct error *err)
{
    char url[WHERE_MAX + HTTP_MAX_PATH];
    x->http = http;
    buf_init(&x->body, HTTP_MAX_REPLY_BYTES);
    if (strlen(path) >= HTTP_MAX_PATH) {
        curl_slist_free_all(headers);
        return fail(err, E_INPUT, "the request's path is longer than %d bytes", HTTP_MAX_PATH);
    }
    snprintf(url, sizeof url, "%s%s", http->where.server, path);
    prepare(http, x, url, headers);
    return OK;
}

enum status http_get(struct http *http, const char *path, json_t **out, struct error *err)
{
    struct exchange x = { 0 };
    struct curl_slist *headers = http_headers(&http->where, "application/json");
    TRY(start(http, &x, path, headers, err));
    return perform(http, &x, headers, out, err);
}

enum status http_text(struct http *http, const char *path, char **out, struct error *err)
{
    struct exchange x = { .text = out };
    struct curl_slist *headers = http_headers(&http->where, "*/*");
    TRY(start(http, &x, path, headers, err));
    return perform(http, &x, headers, NULL, err);
}

enum status http_post(struct http *http, const char *path, const json_t *body, json_t **out,
                      struct error *err)
{
    struct exchange x = { 0 };
    struct curl_slist *headers = add_key(http_headers(&http->where, "application/json"));
    headers = curl_slist_append(headers, "Content-Type: application/json");
    TRY(start(http, &x, path, headers, err));
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE, text ? (long)strlen(text) : 0L);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, text ? text : "");
    enum status status = perform(http, &x, headers, out, err);
    free(text);
    return status;
}

enum status http_delete(struct http *http, const char *path, json_t **out, struct error *err)
{
    struct exchange x = { 0 };
    struct curl_slist *headers = http_headers(&http->where, "application/json");
    TRY(start(http, &x, path, headers, err));
    curl_easy_setopt(http->curl, CURLOPT_CUSTOMREQUEST, "DELETE");
    return perform(http, &x, headers, out, err);
}

enum status http_upload(struct http *http, const char *path, FILE *file, int64_t bytes,
                        void (*sent)(void *context, int64_t done, int64_t total), void *context,
                        json_t **out, struct error *err)
{
    struct exchange x = { .file = file, .total = bytes, .sent = sent, .context = context };
    struct curl_slist *headers = add_key(http_headers(&http->where, "application/json"));
    headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
    TRY(start(http, &x, path, headers, err));
    curl_easy_setopt(http->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    curl_easy_setopt(http->curl, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(http->curl, CURLOPT_READDATA, &x);
    return perform(http, &x, headers, out, err);
}

void http_query(struct buf *path, const char *key, const char *value)
{
    if (!value) return;
    char *escaped = curl_easy_escape(NULL, value, 0);
    bool first = !path->bytes || !strchr(path->bytes, '?');
    buf_printf(path, "%c%s=%s", first ? '?' : '&', key, escaped ? escaped : "");
    curl_free(escaped);
}
