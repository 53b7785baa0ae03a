#include "server/api/rows.h"

#include <string.h>

/* pg_type.h's numbers, which never change. */
enum {
    BOOL = 16,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    JSON = 114,
    FLOAT4 = 700,
    FLOAT8 = 701,
    INT4_ARRAY = 1007,
    INT8_ARRAY = 1016,
    TIMESTAMPTZ = 1184,
    NUMERIC = 1700,
    JSONB = 3802,
};

static void put_number(struct emit *e, const char *text, size_t len)
{
    bool finite = text[0] == '-' ? text[1] <= '9' : text[0] <= '9'; /* not Infinity, NaN */
    if (finite)
        emit_raw(e, text, len);
    else
        emit_null(e);
}

/* {1,2,3} */
static void put_array(struct emit *e, const char *text, size_t len)
{
    emit_begin(e, '[');
    if (len > 2) emit_raw(e, text + 1, len - 2);
    emit_end(e);
}

/* "2026-01-31 12:00:00.123+00" (our connections speak UTC) */
static void put_time(struct emit *e, const char *text, size_t len)
{
    char out[48];
    if (len < 20 || len >= sizeof out || strcmp(text + len - 3, "+00")) {
        emit_string_n(e, text, len);
        return;
    }
    memcpy(out, text, len);
    out[10] = 'T';
    out[len - 3] = 'Z';
    emit_string_n(e, out, len - 2);
}

void rows_value(struct emit *e, const PGresult *rows, int row, int column)
{
    const char *text = PQgetvalue(rows, row, column);
    size_t len = (size_t)PQgetlength(rows, row, column);
    if (PQgetisnull(rows, row, column)) {
        emit_null(e);
        return;
    }
    switch (PQftype(rows, column)) {
    case BOOL: emit_bool(e, *text == 't'); break;
    case INT2:
    case INT4:
    case INT8: emit_raw(e, text, len); break;
    case FLOAT4:
    case FLOAT8:
    case NUMERIC: put_number(e, text, len); break;
    case JSON:
    case JSONB: emit_raw(e, text, len); break;
    case INT4_ARRAY:
    case INT8_ARRAY: put_array(e, text, len); break;
    case TIMESTAMPTZ: put_time(e, text, len); break;
    default: emit_string_n(e, text, len);
    }
}

/* Opens and closes objects so that `open` is the object of `name`; returns the key in it. */
static const char *enter(struct emit *e, const char **open, const char *name)
{
    const char *dot = strchr(name, '.');
    size_t n = dot ? (size_t)(dot - name) : 0;
    bool same = *open && dot && !strncmp(*open, name, n + 1);
    if (*open && !same) {
        emit_end(e);
        *open = NULL;
    }
    if (!dot) return name;
    if (!same) {
        char key[64];
        memcpy(key, name, n < sizeof key ? n : sizeof key - 1);
        key[n < sizeof key ? n : sizeof key - 1] = 0;
        emit_key(e, key);
        emit_begin(e, '{');
        *open = name;
    }
    return dot + 1;
}

void rows_members(struct emit *e, const PGresult *rows, int row)
{
    const char *open = NULL;
    int n = PQnfields(rows);
    for (int column = 0; column < n; column++) {
        const char *name = PQfname(rows, column);
        if (*name == '_') continue;
        emit_key(e, enter(e, &open, name));
        rows_value(e, rows, row, column);
    }
    if (open) emit_end(e);
}

void rows_object(struct emit *e, const PGresult *rows, int row)
{
    emit_begin(e, '{');
    rows_members(e, rows, row);
    emit_end(e);
}
