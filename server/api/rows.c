#include "server/api/rows.h"

#include <stdlib.h>
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

static void put_value(struct emit *e, const PGresult *rows, int row, int column, Oid type)
{
    const char *text = PQgetvalue(rows, row, column);
    size_t len = (size_t)PQgetlength(rows, row, column);
    if (!len && PQgetisnull(rows, row, column)) {
        emit_null(e);
        return;
    }
    switch (type) {
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

void rows_value(struct emit *e, const PGresult *rows, int row, int column)
{
    put_value(e, rows, row, column, PQftype(rows, column));
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

/* ---- many rows: what stands between the values is the same in each -------------------------- */

enum { PLAN_COLUMNS = 64, PLAN_BYTES = 16 * 1024 };

struct plan {
    struct buf text; /* "{", keys, commas and inner braces of a row, without its values */
    int n;
    struct {
        int column;
        Oid type;
        size_t at; /* where in `text` the value belongs */
    } value[PLAN_COLUMNS];
};

/* Writes one row with an empty value everywhere and remembers where they were. */
static void plan_init(struct plan *plan, const PGresult *rows)
{
    struct emit e;
    const char *open = NULL;
    plan->n = 0;
    buf_init(&plan->text, PLAN_BYTES);
    emit_init(&e, &plan->text);
    emit_begin(&e, '{');
    for (int column = 0; column < PQnfields(rows); column++) {
        const char *name = PQfname(rows, column);
        if (*name == '_') continue;
        if (plan->n == PLAN_COLUMNS) abort();
        emit_key(&e, enter(&e, &open, name));
        emit_raw(&e, "", 0);
        plan->value[plan->n].column = column;
        plan->value[plan->n].type = PQftype(rows, column);
        plan->value[plan->n++].at = plan->text.len;
    }
    if (open) emit_end(&e);
    emit_end(&e);
}

static void put_row(struct emit *e, const struct plan *plan, const PGresult *rows, int row)
{
    size_t done = 0;
    for (int i = 0; i < plan->n; i++) {
        buf_put(e->buf, plan->text.bytes + done, plan->value[i].at - done);
        done = plan->value[i].at;
        e->comma = false;
        put_value(e, rows, row, plan->value[i].column, plan->value[i].type);
    }
    buf_put(e->buf, plan->text.bytes + done, plan->text.len - done);
}

void rows_array(struct emit *e, const PGresult *rows, int n)
{
    struct plan plan;
    plan_init(&plan, rows);
    emit_begin(e, '[');
    for (int row = 0; row < n; row++) {
        if (row) buf_putc(e->buf, ',');
        put_row(e, &plan, rows, row);
    }
    emit_end(e);
    buf_release(&plan.text);
}
