#include "trainer/evaluate/text.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

struct text text_of(const char *string) { return (struct text){ string, strlen(string) }; }

/* The letter at the start and its bytes; a byte that starts none is -1 and 1. */
static utf8proc_int32_t letter(struct text t, size_t *bytes)
{
    utf8proc_int32_t r;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)t.at,
                                          t.len > 4 ? 4 : (utf8proc_ssize_t)t.len, &r);
    *bytes = n > 0 ? (size_t)n : 1;
    return n > 0 ? r : -1;
}

static struct text skip(struct text t, size_t n) { return (struct text){ t.at + n, t.len - n }; }

static bool is_space(utf8proc_int32_t r)
{
    static const utf8proc_int32_t others[] = { 0x20, 0x85, 0xa0, 0x1680, 0x2028, 0x2029,
                                               0x202f, 0x205f, 0x3000 };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (r == others[i]) return true;
    return (r >= 9 && r <= 13) || (r >= 0x1c && r <= 0x1f) || (r >= 0x2000 && r <= 0x200a);
}

struct text text_rstrip(struct text t)
{
    size_t keep = 0, n;
    for (size_t at = 0; at < t.len; at += n)
        if (!is_space(letter(skip(t, at), &n))) keep = at + n;
    return (struct text){ t.at, keep };
}

struct text text_strip(struct text t)
{
    size_t n;
    while (t.len && is_space(letter(t, &n))) t = skip(t, n);
    return text_rstrip(t);
}

int64_t text_letters(struct text t)
{
    int64_t count = 0;
    for (size_t n; t.len; t = skip(t, n)) letter(t, &n), count++;
    return count;
}

int64_t text_words(struct text t)
{
    int64_t gaps = 0;
    bool in_gap = false;
    for (size_t n; t.len; t = skip(t, n)) {
        bool space = is_space(letter(t, &n));
        gaps += space && !in_gap;
        in_gap = space;
    }
    return gaps + 1;
}

static void put(struct buf *to, utf8proc_int32_t r, struct text was, size_t n)
{
    utf8proc_uint8_t bytes[4];
    if (r < 0)
        buf_put(to, was.at, n);
    else
        buf_put(to, bytes, (size_t)utf8proc_encode_char(r, bytes));
}

void text_capitalize(struct text t, struct buf *to)
{
    size_t n;
    for (bool first = true; t.len; t = skip(t, n), first = false) {
        utf8proc_int32_t r = letter(t, &n);
        put(to, r < 0 ? r : first ? utf8proc_totitle(r) : utf8proc_tolower(r), t, n);
    }
}

static bool starts(struct text t, const char *with)
{
    return t.len >= strlen(with) && !memcmp(t.at, with, strlen(with));
}

/* Bytes up to and with the bracket that closes the one at the start on its line; 0: none does. */
static size_t bracketed(struct text t)
{
    const char *end = memchr(t.at, ']', t.len);
    return end && !memchr(t.at, '\n', (size_t)(end - t.at)) ? (size_t)(end - t.at) + 1 : 0;
}

/* One replacement after the other, as the original does: each sees what the last one made. */
void text_clean(struct text t, struct buf *to)
{
    struct buf titles, plain;
    buf_init(&titles, to->ceiling);
    buf_init(&plain, to->ceiling);
    size_t n;
    for (t = text_strip(t); t.len; t = skip(t, n)) {
        n = starts(t, " [title]") ? 8 : 1;
        if (n == 8)
            buf_puts(&titles, ". ");
        else
            buf_putc(&titles, *t.at);
    }
    for (t = (struct text){ titles.bytes, titles.len }; t.len; t = skip(t, n)) {
        n = *t.at == '[' ? bracketed(t) : 0;
        if (!n) buf_putc(&plain, *t.at), n = 1;
    }
    for (t = (struct text){ plain.bytes, plain.len }; t.len; t = skip(t, n)) {
        n = starts(t, "  ") ? 2 : 1;
        buf_putc(to, *t.at);
    }
    to->failed = to->failed || titles.failed || plain.failed;
    buf_release(&titles);
    buf_release(&plain);
}
