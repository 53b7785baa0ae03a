#include "server/pg/pg_query.h"

#include <stdlib.h>
#include <string.h>

const char *pg_text(const PGresult *rows, int row, int column)
{
    return PQgetvalue(rows, row, column);
}

const char *pg_text_or(const PGresult *rows, int row, int column, const char *otherwise)
{
    return pg_null(rows, row, column) ? otherwise : PQgetvalue(rows, row, column);
}

int64_t pg_int(const PGresult *rows, int row, int column)
{
    return strtoll(PQgetvalue(rows, row, column), NULL, 10);
}

double pg_double(const PGresult *rows, int row, int column)
{
    return strtod(PQgetvalue(rows, row, column), NULL);
}

bool pg_bool(const PGresult *rows, int row, int column)
{
    return PQgetvalue(rows, row, column)[0] == 't';
}

bool pg_null(const PGresult *rows, int row, int column) { return PQgetisnull(rows, row, column); }

/* The longest prefix that fits wins: keep whole codes before classes. */
static const struct {
    const char *prefix;
    enum status status;
} statuses[] = {
    { "LT400", E_INPUT }, { "LT404", E_MISSING }, { "LT409", E_CONFLICT }, { "LT412", E_STALE },
    { "LT429", E_LIMIT },
    { "55P03", E_BUSY },  { "22", E_INPUT },      { "23", E_CONFLICT },    { "40", E_BUSY },
    { "53", E_BUSY },     { "57", E_BUSY },
};

static enum status status_of(const char *sqlstate)
{
    for (size_t i = 0; sqlstate && i < sizeof statuses / sizeof *statuses; i++)
        if (!strncmp(sqlstate, statuses[i].prefix, strlen(statuses[i].prefix)))
            return statuses[i].status;
    return E_DB;
}

enum status pg_error(const PGresult *rows, struct error *err)
{
    const char *text = PQresultErrorField(rows, PG_DIAG_MESSAGE_PRIMARY);
    if (!text) text = PQresultErrorMessage(rows);
    return fail(err, status_of(PQresultErrorField(rows, PG_DIAG_SQLSTATE)), "%.300s",
                text && *text ? text : "PostgreSQL gave no message");
}
