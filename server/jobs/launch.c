#include "server/jobs/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/buf.h"

enum { LAUNCH_BYTES = 64 * 1024 };

/* At a brace: puts what it stands for and returns what follows it. */
static const char *put_value(struct buf *out, const char *p, const struct launch *launch,
                             struct error *err)
{
    size_t n = strcspn(p, "}");
    if (!strncmp(p, "{trainer}", 9))
        buf_puts(out, launch->trainer);
    else if (!strncmp(p, "{job}", 5))
        buf_puts(out, launch->job);
    else if (!strncmp(p, "{work_dir}", 10))
        buf_puts(out, launch->work_dir);
    else if (!strncmp(p, "{ranks}", 7))
        buf_printf(out, "%d", launch->ranks);
    else
        fail(err, E_INPUT,
             "launch: there is no %.*s}; there are {trainer}, {ranks}, {job} and {work_dir}",
             (int)(n < 40 ? n : 40), p);
    return p[n] ? p + n + 1 : p + n;
}

/* One word, NUL-terminated in `out`; returns what follows it. */
static const char *put_word(struct buf *out, const char *p, const struct launch *launch,
                            struct error *err)
{
    char quote = 0;
    for (; *p && (quote || *p != ' ') && !err->status;) {
        if (*p == quote || (!quote && (*p == '\'' || *p == '"')))
            quote = quote ? 0 : *p, p++;
        else if (*p == '{')
            p = put_value(out, p, launch, err);
        else
            buf_putc(out, *p++);
    }
    if (quote && !err->status) fail(err, E_INPUT, "launch: a quote does not end");
    buf_putc(out, 0);
    return p;
}

static enum status split(struct buf *text, size_t at[LAUNCH_WORDS], int *n, const char *command,
                         const struct launch *launch, struct error *err)
{
    for (const char *p = command + strspn(command, " "); *p; p += strspn(p, " ")) {
        if (*n == LAUNCH_WORDS)
            return fail(err, E_INPUT, "launch: more than %d words", LAUNCH_WORDS);
        at[(*n)++] = text->len;
        p = put_word(text, p, launch, err);
        if (err->status) return err->status;
    }
    if (text->failed) return fail(err, E_INPUT, "launch: more than %d bytes", LAUNCH_BYTES);
    return OK;
}

enum status launch_words(char ***out, const char *command, const struct launch *launch,
                         struct error *err)
{
    struct buf text;
    size_t at[LAUNCH_WORDS];
    int n = 0;
    if (!command) command = "{trainer}";
    if (!strstr(command, "{trainer}"))
        return fail(err, E_INPUT, "launch: {trainer} is missing, the place of lathe-train");
    buf_init(&text, LAUNCH_BYTES);
    if (split(&text, at, &n, command, launch, err)) {
        buf_release(&text);
        return err->status;
    }
    size_t table = (size_t)(n + 1) * sizeof(char *);
    char **words = malloc(table + text.len);
    if (!words) abort();
    char *bytes = memcpy((char *)words + table, text.bytes, text.len);
    for (int i = 0; i < n; i++) words[i] = bytes + at[i];
    words[n] = NULL;
    buf_release(&text);
    *out = words;
    return OK;
}
