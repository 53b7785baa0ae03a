#include "server/api/rows.h"

#include "tests/support/check.h"

/* Many rows at once read as each of them alone, and each value by its type. */

enum { TEXT = 25, INT8 = 20, FLOAT8 = 701, BOOL = 16, JSONB = 3802, ARRAY = 1016, TIME = 1184 };

static const struct {
    const char *name, *value[2];
    Oid type;
} columns[] = {
    { "_key", { "7", "8" }, INT8 },
    { "id", { "arch_7", "a\"b" }, TEXT },
    { "totals.params", { "12", NULL }, INT8 },
    { "totals.ratio", { "0.5", "NaN" }, FLOAT8 },
    { "more.yes", { "t", "f" }, BOOL },
    { "spec", { "{\"a\": 1}", NULL }, JSONB },
    { "index", { "{1,2}", "{}" }, ARRAY },
    { "at", { "2026-01-31 12:00:00.5+00", "" }, TIME },
    { "last.one", { "", "x" }, TEXT },
};
enum { N = sizeof columns / sizeof *columns };

static PGresult *make(void)
{
    PGresAttDesc attributes[N];
    memset(attributes, 0, sizeof attributes);
    PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    for (int i = 0; i < N; i++)
        attributes[i].name = strdup(columns[i].name), attributes[i].typid = columns[i].type;
    CHECK(PQsetResultAttrs(rows, N, attributes), "attributes");
    for (int i = 0; i < N; i++) free(attributes[i].name);
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < N; i++) {
            char *value = columns[i].value[row] ? strdup(columns[i].value[row]) : NULL;
            CHECK(PQsetvalue(rows, row, i, value, value ? (int)strlen(value) : -1), "value");
            free(value);
        }
    return rows;
}

int main(void)
{
    static const char want[] =
        "[{\"id\":\"arch_7\",\"totals\":{\"params\":12,\"ratio\":0.5},\"more\":{\"yes\":true},"
        "\"spec\":{\"a\": 1},"
        "\"index\":[1,2],\"at\":\"2026-01-31T12:00:00.5Z\",\"last\":{\"one\":\"\"}},"
        "{\"id\":\"a\\\"b\",\"totals\":{\"params\":null,\"ratio\":null},\"more\":{\"yes\":false},"
        "\"spec\":null,"
        "\"index\":[],\"at\":\"\",\"last\":{\"one\":\"x\"}}]";
    PGresult *rows = make();
    struct buf many, each;
    struct emit e;
    buf_init(&many, 4096), buf_init(&each, 4096);
    emit_init(&e, &many);
    rows_array(&e, rows, 2);
    CHECK_STR(many.bytes, want);
    emit_init(&e, &each);
    emit_begin(&e, '[');
    for (int row = 0; row < 2; row++) rows_object(&e, rows, row);
    emit_end(&e);
    CHECK_STR(each.bytes, want);
    buf_clear(&many);
    emit_init(&e, &many);
    rows_array(&e, rows, 0);
    CHECK_STR(many.bytes, "[]");
    buf_release(&many), buf_release(&each);
    PQclear(rows);
    printf("ok\n");
    return 0;
}
