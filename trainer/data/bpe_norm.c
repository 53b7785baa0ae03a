#include "trainer/data/bpe_norm.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum status bpe_norm_add(struct bpe_norm *norm, enum bpe_norm_kind kind, const char *from,
                         const char *to, struct error *err)
{
    if (norm->n == BPE_MAX_NORMS)
        return fail(err, E_LIMIT, "more than %d normalizer steps", BPE_MAX_NORMS);
    struct bpe_norm_step step = { .kind = kind };
    if ((from && strlen(from) >= BPE_MAX_NORM_TEXT) || (to && strlen(to) >= BPE_MAX_NORM_TEXT))
        return fail(err, E_LIMIT, "a normalizer's text has %d bytes or more", BPE_MAX_NORM_TEXT);
    if (kind == BPE_REPLACE && (!from || !*from))
        return fail(err, E_INPUT, "the Replace normalizer has an empty pattern");
    if (from) strcpy(step.from, from);
    if (to) strcpy(step.to, to);
    norm->step[norm->n++] = step;
    return OK;
}

static int options_of(enum bpe_norm_kind kind)
{
    switch (kind) {
    case BPE_NFC: return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    case BPE_NFD: return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    case BPE_NFKC: return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
    default: return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
    }
}

static void put_form(struct buf *out, enum bpe_norm_kind kind, const char *text, size_t len)
{
    const void *bytes = text;
    utf8proc_uint8_t *form = NULL;
    utf8proc_ssize_t n =
        utf8proc_map(bytes, (utf8proc_ssize_t)len, &form, (utf8proc_option_t)options_of(kind));
    if (n < 0)
        buf_put(out, text, len); /* cannot be: the text is valid */
    else
        buf_put(out, form, (size_t)n);
    free(form);
}

/* Below U+0300 (lead byte 0xcc) nothing composes further. */
static bool is_nfc_already(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0xcc) return false;
    return true;
}

static bool is_ascii(char c) { return !((unsigned char)c & 0x80); }

static void normal_form(struct buf *out, enum bpe_norm_kind kind, const char *text, size_t len)
{
    size_t done = 0, at = 0;
    while (at < len) {
        while (at < len && is_ascii(text[at])) at++;
        size_t from = at > done ? at - 1 : at; /* with the ASCII character it may join */
        while (at < len && !is_ascii(text[at])) at++;
        buf_put(out, text + done, from - done);
        bool plain = at - from < 2 || (kind == BPE_NFC && is_nfc_already(text + from, at - from));
        if (plain)
            buf_put(out, text + from, at - from);
        else
            put_form(out, kind, text + from, at - from);
        done = at;
    }
}

static void replace(struct buf *out, const struct bpe_norm_step *step, const char *text, size_t len)
{
    size_t n = strlen(step->from), done = 0;
    const char *found;
    while ((found = memmem(text + done, len - done, step->from, n))) {
        buf_put(out, text + done, (size_t)(found - text) - done);
        buf_puts(out, step->to);
        done = (size_t)(found - text) + n;
    }
    buf_put(out, text + done, len - done);
}

static void run_step(const struct bpe_norm_step *step, struct buf *out, const char *text,
                     size_t len)
{
    if (step->kind == BPE_REPLACE) {
        replace(out, step, text, len);
    } else if (step->kind == BPE_PREPEND) {
        if (len) buf_puts(out, step->to);
        buf_put(out, text, len);
    } else {
        normal_form(out, step->kind, text, len);
    }
}

enum status bpe_norm_run(const struct bpe_norm *norm, const char *text, size_t len, struct buf *out,
                         struct buf *scratch, struct error *err)
{
    buf_clear(out);
    if (!norm->n) buf_put(out, text, len);
    for (int i = 0; i < norm->n; i++) {
        if (i) {
            struct buf swap = *out;
            *out = *scratch;
            *scratch = swap;
            buf_clear(out);
            text = scratch->bytes ? scratch->bytes : "";
            len = scratch->len;
        }
        run_step(&norm->step[i], out, text, len);
    }
    return out->failed || scratch->failed
               ? fail(err, E_LIMIT, "a text has more than %zu MiB after normalization",
                      out->ceiling >> 20)
               : OK;
}
