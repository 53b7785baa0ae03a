#include "search/base/emit.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/utf8.h"

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

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

/* A byte of eight is marked (in its top bit) when it is below `n`; n <= 0x80. */
static uint64_t bytes_below(uint64_t word, uint64_t n)
{
    const uint64_t ones = 0x0101010101010101u;
    return (word - ones * n) & ~word & (ones << 7);
}

/* How many bytes at the front need no escape and are ASCII; eight at a time. */
static size_t plain_run(const char *text, size_t len)
{
    const uint64_t ones = 0x0101010101010101u;
    size_t i = 0;
    for (uint64_t word; i + 8 <= len; i += 8) {
        memcpy(&word, text + i, 8);
        if ((word & (ones << 7)) | bytes_below(word, 0x20) | bytes_below(word ^ (ones * '"'), 1) |
            bytes_below(word ^ (ones * '\\'), 1))
            break;
    }
    while (i < len && is_plain((unsigned char)text[i])) i++;
    return i;
}

static void put_difficult(struct buf *buf, const char *text, size_t len)
{
    size_t plain = 0, i = 0; /* text[plain..i) needs no escape */
    while (i < len) {
        i += plain_run(text + i, len - i);
        if (i == len) break;
        const unsigned char *p = (const unsigned char *)text + i;
        size_t n = utf8_length(p, len - i);
        if (n > 1) {
            i += n;
            continue;
        }
        buf_put(buf, text + plain, i - plain);
        if (n) put_escaped(buf, *p);
        else buf_puts(buf, "\xef\xbf\xbd");
        plain = ++i;
    }
    buf_put(buf, text + plain, len - plain);
}

/* The string in quotes, with what stands before and after it (each '\0' for nothing). */
static void put_string(struct buf *buf, char before, const char *text, size_t len, char after)
{
    if (plain_run(text, len) == len) {
        char *out = buf_room(buf, len + 2 + !!before + !!after), *p = out;
        if (!out) return;
        if (before) *p++ = before;
        *p++ = '"';
        memcpy(p, text, len);
        p += len;
        *p++ = '"';
        if (after) *p++ = after;
        buf_took(buf, (size_t)(p - out));
        return;
    }
    if (before) buf_putc(buf, before);
    buf_putc(buf, '"');
    put_difficult(buf, text, len);
    buf_putc(buf, '"');
    if (after) buf_putc(buf, after);
}

void emit_key(struct emit *e, const char *key)
{
    put_string(e->buf, e->comma ? ',' : '\0', key, strlen(key), ':');
    e->comma = false;
}

void emit_string_n(struct emit *e, const char *text, size_t len)
{
    put_string(e->buf, e->comma ? ',' : '\0', text, len, '\0');
    e->comma = true;
}

void emit_string(struct emit *e, const char *text) { emit_string_n(e, text, strlen(text)); }

void emit_int(struct emit *e, int64_t value)
{
    char text[24], *p = text + sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *--p = '-';
    emit_raw(e, p, (size_t)(text + sizeof text - p));
}

static bool reads_back(char *out, size_t room, int digits, double value)
{
    snprintf(out, room, "%.*e", digits, value);
    return strtod(out, NULL) == value;
}

/* Takes the zeros off the end of the digits in "d.ddd000e+xx". */
static void drop_zeros(char *sci)
{
    char *exponent = strchr(sci, 'e'), *end = exponent;
    while (end[-1] == '0') end--;
    if (end[-1] == '.') end--;
    memmove(end, exponent, strlen(exponent) + 1);
}

/* Shortest digits that read back as `value`: "d.ddde[+-]xx" with the fewest d. Fifteen
 * digits hold every shorter number that reads back, with zeros behind it; but not where
 * doubles have fewer bits, at the very bottom. */
static void shortest(char *out, size_t room, double value)
{
    int digits = value < 1e-300 ? 0 : 14;
    while (digits < 16 && !reads_back(out, room, digits, value)) digits++;
    if (digits == 16) reads_back(out, room, digits, value);
    if (strchr(out, '.')) drop_zeros(out);
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
    emit_raw(e, text, strlen(text));
}

void emit_bool(struct emit *e, bool value) { emit_raw(e, value ? "true" : "false", value ? 4 : 5); }

void emit_null(struct emit *e) { emit_raw(e, "null", 4); }

void emit_raw(struct emit *e, const char *json, size_t len)
{
    char *out = buf_room(e->buf, len + e->comma), *p = out;
    if (out) {
        if (e->comma) *p++ = ',';
        memcpy(p, json, len);
        buf_took(e->buf, (size_t)(p - out) + len);
    }
    e->comma = true;
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
