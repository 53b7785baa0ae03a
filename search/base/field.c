#include "search/base/field.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "search/base/buf.h"

/* ---- where we are -------------------------------------------------------------- */

/* RFC 6901: '~' and '/' in a name are written ~0 and ~1. */
static void put_token(struct buf *out, const char *key)
{
    buf_putc(out, '/');
    for (; *key; key++) {
        if (*key == '~') buf_puts(out, "~0");
        else if (*key == '/') buf_puts(out, "~1");
        else buf_putc(out, *key);
    }
}

static void put_pointer(struct buf *out, const struct field *f)
{
    if (!f->parent) return;
    put_pointer(out, f->parent);
    if (f->key) put_token(out, f->key);
    else buf_printf(out, "/%zu", f->index);
}

static void fail_at(struct field *f, const char *key, size_t index, const char *text)
{
    if (f->err->status) return;
    struct buf pointer;
    buf_init(&pointer, sizeof f->err->pointer - 1);
    put_pointer(&pointer, f);
    if (key) put_token(&pointer, key);
    else if (index != SIZE_MAX) buf_printf(&pointer, "/%zu", index);

    const char *where = pointer.bytes ? pointer.bytes : "";
    fail(f->err, E_INPUT, "%s%s%s", *where ? where + 1 : "", *where ? ": " : "", text);
    snprintf(f->err->pointer, sizeof f->err->pointer, "%s", where);
    buf_release(&pointer);
}

void field_fail(struct field *f, const char *key, const char *fmt, ...)
{
    char text[sizeof f->err->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fail_at(f, key, SIZE_MAX, text);
}

static void PRINTF_LIKE(4, 5) fail_value(struct field *f, const char *key, size_t index, const char *fmt, ...)
{
    char text[sizeof f->err->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fail_at(f, key, index, text);
}

/* ---- documents ------------------------------------------------------------------- */

static bool too_deep(const char *text, size_t len)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = false;
        } else if (c == '"') quoted = true;
        else if (c == '{' || c == '[') depth++;
        else if (c == '}' || c == ']') depth--;
        if (depth > FIELD_MAX_DEPTH) return true;
    }
    return false;
}

json_t *field_parse(const char *text, size_t len, struct error *err)
{
    if (too_deep(text, len)) {
        fail(err, E_INPUT, "the JSON is nested more than %d deep", FIELD_MAX_DEPTH);
        return NULL;
    }
    json_error_t at;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
    if (!json) fail(err, E_INPUT, "not JSON at line %d, column %d: %s", at.line, at.column, at.text);
    return json;
}

void field_root(struct field *f, json_t *json, struct error *err)
{
    *f = (struct field){ .json = json, .err = err };
    if (!json_is_object(json)) fail_at(f, NULL, SIZE_MAX, "expected a JSON object");
}

/* ---- values ------------------------------------------------------------------------ */

static json_t *ask(struct field *f, const char *key)
{
    if (f->err->status) return NULL;
    if (f->n_asked < FIELD_MAX_KEYS) f->asked[f->n_asked++] = key;
    json_t *value = json_object_get(f->json, key);
    return json_is_null(value) ? NULL : value;
}

static json_t *need(struct field *f, const char *key)
{
    json_t *value = ask(f, key);
    if (!value) fail_value(f, key, SIZE_MAX, "is missing");
    return value;
}

bool field_has(struct field *f, const char *key) { return ask(f, key) != NULL; }

static int64_t as_int(struct field *f, json_t *value, const char *key, size_t i, int64_t min, int64_t max)
{
    int64_t n = json_integer_value(value);
    if (!json_is_integer(value)) fail_value(f, key, i, "is not a whole number");
    else if (n < min || n > max)
        fail_value(f, key, i, "is %" PRId64 ", outside %" PRId64 "..%" PRId64, n, min, max);
    return f->err->status ? 0 : n;
}

static double as_double(struct field *f, json_t *value, const char *key, size_t i, double min, double max)
{
    double x = json_number_value(value);
    if (!json_is_number(value)) fail_value(f, key, i, "is not a number");
    else if (!(x >= min && x <= max)) fail_value(f, key, i, "is %g, outside %g..%g", x, min, max);
    return f->err->status ? 0 : x;
}

static const char *as_string(struct field *f, json_t *value, const char *key, size_t i, size_t max)
{
    if (!json_is_string(value)) fail_value(f, key, i, "is not a string");
    else if (json_string_length(value) > max) fail_value(f, key, i, "is longer than %zu bytes", max);
    return f->err->status ? NULL : json_string_value(value);
}

int64_t field_int(struct field *f, const char *key, int64_t min, int64_t max)
{
    json_t *value = need(f, key);
    return value ? as_int(f, value, key, SIZE_MAX, min, max) : 0;
}

double field_double(struct field *f, const char *key, double min, double max)
{
    json_t *value = need(f, key);
    return value ? as_double(f, value, key, SIZE_MAX, min, max) : 0;
}

const char *field_string(struct field *f, const char *key, size_t max_bytes)
{
    json_t *value = need(f, key);
    return value ? as_string(f, value, key, SIZE_MAX, max_bytes) : NULL;
}

int64_t field_int_or(struct field *f, const char *key, int64_t min, int64_t max, int64_t otherwise)
{
    json_t *value = ask(f, key);
    return value ? as_int(f, value, key, SIZE_MAX, min, max) : otherwise;
}

double field_double_or(struct field *f, const char *key, double min, double max, double otherwise)
{
    json_t *value = ask(f, key);
    return value ? as_double(f, value, key, SIZE_MAX, min, max) : otherwise;
}

bool field_bool_or(struct field *f, const char *key, bool otherwise)
{
    json_t *value = ask(f, key);
    if (!value) return otherwise;
    if (!json_is_boolean(value)) fail_value(f, key, SIZE_MAX, "is not true or false");
    return json_is_true(value);
}

const char *field_string_or(struct field *f, const char *key, size_t max_bytes, const char *otherwise)
{
    json_t *value = ask(f, key);
    return value ? as_string(f, value, key, SIZE_MAX, max_bytes) : otherwise;
}

static int as_choice(struct field *f, json_t *value, const char *key, const char *const *names)
{
    const char *text = json_string_value(value);
    for (int i = 0; text && names[i]; i++)
        if (!strcmp(text, names[i])) return i;

    struct buf list;
    buf_init(&list, 200);
    for (int i = 0; names[i]; i++) buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    fail_value(f, key, SIZE_MAX, "is not one of: %s", list.bytes ? list.bytes : "");
    buf_release(&list);
    return 0;
}

int field_choice(struct field *f, const char *key, const char *const *names)
{
    json_t *value = need(f, key);
    return value ? as_choice(f, value, key, names) : 0;
}

int field_choice_or(struct field *f, const char *key, const char *const *names, int otherwise)
{
    json_t *value = ask(f, key);
    return value ? as_choice(f, value, key, names) : otherwise;
}

/* ---- containers ----------------------------------------------------------------------- */

static void open_child(struct field *f, json_t *value, const char *key, size_t i, struct field *out)
{
    *out = (struct field){ .json = value, .parent = f, .key = key, .index = i, .err = f->err };
}

bool field_object(struct field *f, const char *key, struct field *out)
{
    json_t *value = ask(f, key);
    open_child(f, value, key, 0, out);
    if (!value) return false;
    if (!json_is_object(value)) fail_value(f, key, SIZE_MAX, "is not an object");
    return !f->err->status;
}

size_t field_array(struct field *f, const char *key, size_t max, struct field *out)
{
    json_t *value = ask(f, key);
    open_child(f, value, key, 0, out);
    if (!value) return 0;
    if (!json_is_array(value)) fail_value(f, key, SIZE_MAX, "is not an array");
    else if (json_array_size(value) > max)
        fail_value(f, key, SIZE_MAX, "has %zu elements, at most %zu", json_array_size(value), max);
    return f->err->status ? 0 : json_array_size(value);
}

bool field_item_object(struct field *array, size_t i, struct field *out)
{
    json_t *value = json_array_get(array->json, i);
    open_child(array, value, NULL, i, out);
    if (array->err->status) return false;
    if (!json_is_object(value)) fail_value(array, NULL, i, "is not an object");
    return !array->err->status;
}

int64_t field_item_int(struct field *array, size_t i, int64_t min, int64_t max)
{
    if (array->err->status) return 0;
    return as_int(array, json_array_get(array->json, i), NULL, i, min, max);
}

double field_item_double(struct field *array, size_t i, double min, double max)
{
    if (array->err->status) return 0;
    return as_double(array, json_array_get(array->json, i), NULL, i, min, max);
}

const char *field_item_string(struct field *array, size_t i, size_t max_bytes)
{
    if (array->err->status) return NULL;
    return as_string(array, json_array_get(array->json, i), NULL, i, max_bytes);
}

json_t *field_json(struct field *f, const char *key) { return ask(f, key); }

static bool was_asked(const struct field *f, const char *key)
{
    for (int i = 0; i < f->n_asked; i++)
        if (!strcmp(f->asked[i], key)) return true;
    return false;
}

enum status field_end(struct field *f)
{
    const char *key;
    json_t *value;
    json_object_foreach(f->json, key, value)
        if (!f->err->status && !was_asked(f, key)) fail_value(f, key, SIZE_MAX, "is not a known field");
    return f->err->status;
}
