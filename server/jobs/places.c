#include "server/jobs/places.h"

#include <string.h>

/* The bytes of `dir` and its slash when the text begins with them, else 0. */
static size_t begins(const char *text, size_t len, const char *dir)
{
    size_t n = dir ? strlen(dir) : 0;
    return n && n < len && text[n] == '/' && !memcmp(text, dir, n) ? n + 1 : 0;
}

static size_t place_at(const struct app *app, const char *text, size_t len)
{
    size_t n = begins(text, len, app->jobs_dir);
    return n ? n : begins(text, len, app->uploads_dir);
}

void places_put(struct buf *out, const struct app *app, const char *text, size_t len)
{
    size_t from = 0, at = 0;
    while (at < len) {
        const char *slash = memchr(text + at, '/', len - at);
        if (!slash) break;
        at = (size_t)(slash - text);
        size_t n = place_at(app, slash, len - at);
        if (n) {
            buf_put(out, text + from, at - from);
            from = at += n;
        } else {
            at++;
        }
    }
    buf_put(out, text + from, len - from);
}

void places_hide(const struct app *app, char *text)
{
    struct buf out;
    size_t len = strlen(text);
    buf_init(&out, len + 1);
    places_put(&out, app, text, len);
    memcpy(text, out.bytes ? out.bytes : "", out.len);
    text[out.len] = '\0';
    buf_release(&out);
}
