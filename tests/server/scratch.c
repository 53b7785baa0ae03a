#include "tests/server/scratch.h"

#include <ftw.h>
#include <glob.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/support/check.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void need_postgres(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found)) SKIP("no PostgreSQL server");
    globfree(&found);
}

void scratch_open(struct scratch *s)
{
    struct error err = { 0 };
    need_postgres();
    strcpy(s->dir, "/tmp/lathe-test-XXXXXX");
    CHECK(mkdtemp(s->dir), "mkdtemp");
    uv_loop_init(&s->loop);
    s->pg = embedded_pg_open(&s->loop, s->dir, NULL, NULL, &err);
    CHECK(s->pg, "%s", err.text);
}

static void on_closed(void *data) { *(int *)data = 1; }

void scratch_close(struct scratch *s)
{
    int closed = 0;
    if (s->pg) {
        embedded_pg_close(s->pg, on_closed, &closed);
        scratch_wait(s, &closed, 1);
    }
    uv_run(&s->loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&s->loop), 0);
    nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_timer(uv_timer_t *timer) { *(int *)timer->data = 1; }

static void on_timer_closed(uv_handle_t *handle) { *(bool *)handle->data = true; }

static void run_until(struct scratch *s, const int *flag, int want, unsigned ms)
{
    int over = 0;
    uv_timer_t timer;
    uv_timer_init(&s->loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_timer, ms,
                   20); /* repeats: a loop that runs once may sleep after the first */
    while (!over && !(flag && *flag >= want)) uv_run(&s->loop, UV_RUN_ONCE);
    bool gone = false;
    timer.data = &gone;
    uv_close((uv_handle_t *)&timer, on_timer_closed);
    while (!gone) uv_run(&s->loop, UV_RUN_NOWAIT);
    CHECK(!flag || *flag >= want, "waited %u ms for %d, got %d", ms, want, *flag);
}

void scratch_wait(struct scratch *s, const int *flag, int want) { run_until(s, flag, want, 20000); }

void scratch_run(struct scratch *s, unsigned ms) { run_until(s, NULL, 0, ms); }

const char *scratch_ask(struct scratch *s, const char *sql)
{
    static char cell[256];
    PGconn *pg = PQconnectdb(embedded_pg_conninfo(s->pg));
    PGresult *rows = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(rows);
    CHECK(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, "%s: %s", sql,
          PQerrorMessage(pg));
    snprintf(cell, sizeof cell, "%s", PQntuples(rows) ? PQgetvalue(rows, 0, 0) : "");
    PQclear(rows);
    PQfinish(pg);
    return cell;
}
