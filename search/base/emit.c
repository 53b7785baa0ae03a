#include "search/base/emit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void emit_init(struct emit *e, struct buf *buf) { *e = (struct emit){ .buf = buf }; }

static void before_value(struct emit *e)
{
    if (e->comma) buf_putc(e->buf, ',');
    e->comma = true;
}

void emit_begin(struct emit *e, char open)
{
    if (e->depth == EMIT_MAX_DEPTH) abort();
    before_value(e);
    buf_putc(e->buf, open);
    e->close[e->depth++] = open == '{' ? '}' : ']';
    e->comma = false;
}

void emit_end(struct emit *e)
{
    if (!e->depth) abort();
    buf_putc(e->buf, e->close[--e->depth]);
    e->comma = true;
}

/* Length of the well-formed UTF-8 sequence at p, or 0. RFC 3629, table 3-7 of Unicode. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (!n || n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;
    if (p[0] == 0xed && p[1] > 0x9f) return 0;
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
    return n;
}

static void put_escaped(struct buf *buf, unsigned char c)
{
    switch (c) {
    case '"': buf_puts(buf, "\\\""); break;
    case '\\': buf_puts(buf, "\\\\"); break;
    case '\n': buf_puts(buf, "\\n"); break;
    case '\r': buf_puts(buf, "\\r"); break;
    case '\t': buf_puts(buf, "\\t"); break;
    case '\b': buf_puts(buf, "\\b"); break;
    case '\f': buf_puts(buf, "\\f"); break;
    default: buf_printf(buf, "\\u%04x", c);
    }
}

static void put_string(struct buf *buf, const char *text, size_t len)
{
    buf_putc(buf, '"');
    size_t plain = 0, i = 0; /* text[plain..i) needs no escape */
    while (i < len) {
        const unsigned char *p = (const unsigned char *)text + i;
        size_t n = utf8_length(p, len - i);
        if (n && *p >= 0x20 && *p != '"' && *p != '\\') {
            i += n;
            continue;
        }
        buf_put(buf, text + plain, i - plain);
        if (n) put_escaped(buf, *p);
        else buf_puts(buf, "\xef\xbf\xbd");
        plain = ++i;
    }
    buf_put(buf, text + plain, len - plain);
    buf_putc(buf, '"');
}

void emit_key(struct emit *e, const char *key)
{
    before_value(e);
    put_string(e->buf, key, strlen(key));
    buf_putc(e->buf, ':');
    e->comma = false;
}

void emit_string_n(struct emit *e, const char *text, size_t len)
{
    before_value(e);
    put_string(e->buf, text, len);
}

void emit_string(struct emit *e, const char *text) { emit_string_n(e, text, strlen(text)); }

void emit_int(struct emit *e, int64_t value)
{
    char text[24];
    before_value(e);
    buf_put(e->buf, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)value));
}

/* Shortest digits that read back as `value`: "d.ddde[+-]xx" with the fewest d. */
static void shortest(char *out, size_t room, double value)
{
    for (int digits = 0; digits <= 16; digits++) {
        snprintf(out, room, "%.*e", digits, value);
        if (strtod(out, NULL) == value) return;
    }
}

/* ECMAScript Number::toString, as RFC 8785 asks: value = 0.d1d2..dk x 10^n. */
void emit_number_text(char out[48], double value)
{
    if (value == 0) {
        strcpy(out, "0");
        return;
    }
    char sci[32], digits[20];
    shortest(sci, sizeof sci, fabs(value));
    char *exponent = strchr(sci, 'e');
    int n = atoi(exponent + 1) + 1, k = 0;
    for (char *p = sci; p < exponent; p++)
        if (*p != '.') digits[k++] = *p;
    digits[k] = '\0';

    const char *sign = value < 0 ? "-" : "";
    if (k <= n && n <= 21) snprintf(out, 48, "%s%s%.*s", sign, digits, n - k, "000000000000000000000");
    else if (0 < n && n <= 21) snprintf(out, 48, "%s%.*s.%s", sign, n, digits, digits + n);
    else if (-6 < n && n <= 0) snprintf(out, 48, "%s0.%.*s%s", sign, -n, "000000", digits);
    else if (k == 1) snprintf(out, 48, "%s%se%+d", sign, digits, n - 1);
    else snprintf(out, 48, "%s%c.%se%+d", sign, digits[0], digits + 1, n - 1);
}

void emit_double(struct emit *e, double value)
{
    if (!isfinite(value)) {
        emit_null(e);
        return;
    }
    char text[48];
    emit_number_text(text, value);
    before_value(e);
    buf_puts(e->buf, text);
}

void emit_bool(struct emit *e, bool value) { emit_raw(e, value ? "true" : "false", value ? 4 : 5); }

void emit_null(struct emit *e) { emit_raw(e, "null", 4); }

void emit_raw(struct emit *e, const char *json, size_t len)
{
    before_value(e);
    buf_put(e->buf, json, len);
}

void emit_kv_string(struct emit *e, const char *key, const char *text)
{
    emit_key(e, key);
    if (text) emit_string(e, text);
    else emit_null(e);
}

void emit_kv_int(struct emit *e, const char *key, int64_t value)
{
    emit_key(e, key);
    emit_int(e, value);
}

void emit_kv_double(struct emit *e, const char *key, double value)
{
    emit_key(e, key);
    emit_double(e, value);
}

void emit_kv_bool(struct emit *e, const char *key, bool value)
{
    emit_key(e, key);
    emit_bool(e, value);
}
