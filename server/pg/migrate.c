#include "server/pg/migrate.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/hash.h"
#include "search/base/log.h"
#include "server/pg/pg_query.h"

/* Any number that other users of the same database are unlikely to lock. */
#define LOCK_KEY "7317221101"

static const char create_table[] = "create table if not exists migration ("
                                   "    number integer primary key,"
                                   "    name text not null,"
                                   "    sha256 text not null,"
                                   "    applied_at timestamptz not null default now())";

static enum status run(PGconn *pg, const char *sql, struct error *err)
{
    PGresult *result = PQexec(pg, sql);
    ExecStatusType got = PQresultStatus(result);
    enum status status = OK;
    if (got != PGRES_COMMAND_OK && got != PGRES_TUPLES_OK) status = pg_error(result, err);
    PQclear(result);
    return status;
}

static const struct migration *find(const struct migration *list, int number)
{
    for (; list->number; list++)
        if (list->number == number) return list;
    return NULL;
}

static enum status check_row(const struct migration *list, const PGresult *rows, int i,
                             struct error *err)
{
    char hash[HASH_HEX];
    const struct migration *known = find(list, (int)pg_int(rows, i, 0));
    if (!known)
        return fail(err, E_CONFLICT,
                    "the database holds migration %s (%s), which this lathed does not know: "
                    "it was used by a newer one",
                    pg_text(rows, i, 0), pg_text(rows, i, 1));
    hash_hex(known->sql, strlen(known->sql), hash);
    if (strcmp(hash, pg_text(rows, i, 2)))
        return fail(err, E_CONFLICT,
                    "%s differs from what was applied to this database: a migration is never "
                    "edited, write a new one",
                    known->name);
    return OK;
}

/* Checks what is recorded; *last is its highest number. */
static enum status check(PGconn *pg, const struct migration *list, int *last, struct error *err)
{
    PGresult *rows = PQexec(pg, "select number, name, sha256 from migration order by number");
    enum status status = OK;
    if (PQresultStatus(rows) != PGRES_TUPLES_OK) status = pg_error(rows, err);
    for (int i = 0; !status && i < PQntuples(rows); i++) {
        status = check_row(list, rows, i, err);
        *last = (int)pg_int(rows, i, 0);
    }
    for (; !status && list->number && list->number < *last; list++) {
        bool applied = false;
        for (int i = 0; i < PQntuples(rows); i++) applied |= pg_int(rows, i, 0) == list->number;
        if (!applied)
            status = fail(err, E_CONFLICT, "%s comes before migration %d, which is applied already",
                          list->name, *last);
    }
    PQclear(rows);
    return status;
}

static enum status record(PGconn *pg, const struct migration *m, struct error *err)
{
    char number[16], hash[HASH_HEX];
    snprintf(number, sizeof number, "%d", m->number);
    hash_hex(m->sql, strlen(m->sql), hash);
    const char *params[] = { number, m->name, hash };
    PGresult *result =
        PQexecParams(pg, "insert into migration (number, name, sha256) values ($1, $2, $3)", 3,
                     NULL, params, NULL, NULL, 0);
    enum status status = PQresultStatus(result) == PGRES_COMMAND_OK ? OK : pg_error(result, err);
    PQclear(result);
    return status;
}

static enum status apply(PGconn *pg, const struct migration *m, struct error *err)
{
    struct error ignored = { 0 };
    enum status status = run(pg, "begin", err);
    if (!status) status = record(pg, m, err);
    if (!status) status = run(pg, m->sql, err);
    if (!status) status = run(pg, "commit", err);
    if (!status) {
        log_info("database: applied %s", m->name);
        return OK;
    }
    run(pg, "rollback", &ignored);
    err->status = E_DB;
    return fail_in(err, "%s", m->name);
}

static enum status migrate_on(PGconn *pg, const struct migration *list, struct error *err)
{
    int last = 0;
    TRY(run(pg, "set client_min_messages = warning", err));
    TRY(run(pg, "select pg_advisory_lock(" LOCK_KEY ")", err));
    TRY(run(pg, create_table, err));
    TRY(check(pg, list, &last, err));
    for (; list->number; list++)
        if (list->number > last) TRY(apply(pg, list, err));
    return OK;
}

static void on_notice(void *data, const char *message)
{
    (void)data;
    log_debug("postgres: %s", message);
}

enum status migrate(const char *conninfo, const struct migration *list, struct error *err)
{
    const char *keys[] = { "dbname", "application_name", "connect_timeout", "client_encoding",
                           NULL };
    const char *values[] = { conninfo, "lathed migrate", "10", "UTF8", NULL };
    PGconn *pg = PQconnectdbParams(keys, values, 1);
    enum status status = OK;
    if (PQstatus(pg) != CONNECTION_OK)
        status = fail(err, E_BUSY, "the database cannot be reached: %.250s", PQerrorMessage(pg));
    else if (PQserverVersion(pg) < 130000)
        status = fail(err, E_CONFLICT, "PostgreSQL %d is too old, 13 or later is needed",
                      PQserverVersion(pg) / 10000);
    PQsetNoticeProcessor(pg, on_notice, NULL);
    if (!status) status = migrate_on(pg, list, err);
    PQfinish(pg); /* gives the lock back as well */
    return status;
}
