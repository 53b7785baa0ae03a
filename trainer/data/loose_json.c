#include "trainer/data/loose_json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/buf.h"

struct mending {
    const char *at, *end;
    struct buf out;
    bool mended;
};

/* The next n bytes as they are, or this in their place. */
static void put(struct mending *m, size_t n, const char *instead)
{
    if (instead)
        buf_puts(&m->out, instead);
    else
        buf_put(&m->out, m->at, n);
    m->at += n;
    m->mended |= instead != NULL;
}

/* ---- strings -------------------------------------------------------------------------------- */

/* Is at `at` a \uXXXX of low..low+1023? */
static bool is_half(const struct mending *m, const char *at, long low)
{
    char hex[5];
    if (m->end - at < 6 || at[0] != '\\' || at[1] != 'u') return false;
    memcpy(hex, at + 2, 4);
    hex[4] = '\0';
    if (strspn(hex, "0123456789abcdefABCDEF") != 4) return false;
    return (strtol(hex, NULL, 16) & ~1023L) == low;
}

static void mend_escape(struct mending *m)
{
    bool high = is_half(m, m->at, 0xd800), low = is_half(m, m->at, 0xdc00);
    if (high && is_half(m, m->at + 6, 0xdc00))
        put(m, 12, NULL);
    else if (high || low)
        put(m, 6, "\\ufffd");
    else
        put(m, m->end - m->at < 2 ? 1 : 2, NULL);
}

static void mend_string(struct mending *m)
{
    put(m, 1, NULL);
    while (m->at < m->end && *m->at != '"') {
        size_t plain = 0, left = (size_t)(m->end - m->at);
        while (plain < left && m->at[plain] != '"' && m->at[plain] != '\\') plain++;
        put(m, plain, NULL);
        if (m->at < m->end && *m->at == '\\') mend_escape(m);
    }
    if (m->at < m->end) put(m, 1, NULL);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '+' || c == '.';
}

static bool is_beyond(const char *word, size_t n)
{
    char *end;
    if (strspn(word, "+-.0123456789eE") < n) return false;
    errno = 0;
    if (strspn(word, "-0123456789") >= n)
        strtoll(word, &end, 10);
    else if (isfinite(strtod(word, &end)))
        errno = 0; /* what is too small is 0 */
    return errno == ERANGE && end == word + n;
}

/* A word at the very end cannot be in an object, and nothing may be read behind it. */
static void mend_word(struct mending *m)
{
    static const char *const names[] = { "NaN", "Infinity", "-Infinity" };
    const char *end = m->at;
    while (end < m->end && is_word(*end)) end++;
    size_t n = (size_t)(end - m->at);
    bool bad = end < m->end && is_beyond(m->at, n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        bad |= n == strlen(names[i]) && !memcmp(m->at, names[i], n);
    put(m, n, bad ? "null" : NULL);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void mend(struct mending *m)
{
    while (m->at < m->end) {
        if (*m->at == '"')
            mend_string(m);
        else if (is_word(*m->at))
            mend_word(m);
        else
            put(m, 1, NULL);
    }
}

json_t *loose_json_parse(const char *text, size_t len, size_t flags, bool *mended,
                         struct error *err)
{
    json_error_t at;
    json_t *json = json_loadb(text, len, flags, &at);
    *mended = false;
    if (json) return json;
    struct mending m = { .at = text, .end = text + len };
    buf_init(&m.out, 2 * len + 8); /* NaN grows by a third, what else is mended less */
    mend(&m);
    if (m.mended) json = json_loadb(m.out.bytes, m.out.len, flags, &at);
    *mended = json != NULL;
    buf_release(&m.out);
    if (!json)
        fail(err, E_INPUT, "not JSON at line %d, column %d: %s", at.line, at.column, at.text);
    return json;
}
