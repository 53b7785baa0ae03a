#include "server/pg/migrate.h"

#include <pthread.h>
#include "tests/server/scratch.h"
#include "tests/support/check.h"

/* Migrations: applied once, in order, or refused with nothing changed. */

static struct scratch scratch;

#define ONE                                                                                        \
    {                                                                                              \
        1, "0001_one.sql", "create table one (i int); insert into one values (1);"                 \
    }
#define TWO                                                                                        \
    {                                                                                              \
        2, "0002_two.sql", "insert into one values (2); select pg_sleep(0.2);"                     \
    }
#define THREE                                                                                      \
    {                                                                                              \
        3, "0003_three.sql", "insert into one values (3); create table one (i int);"               \
    }
#define END                                                                                        \
    {                                                                                              \
        0, NULL, NULL                                                                              \
    }

static void expect(const struct migration *list, enum status want, const char *text)
{
    struct error err = { 0 };
    CHECK_INT(migrate(embedded_pg_conninfo(scratch.pg), list, &err), want);
    CHECK(strstr(err.text, text), "got %s, want %s", err.text, text);
}

static const char *state(void)
{
    return scratch_ask(
        &scratch, "select (select string_agg(number::text, ',' order by number) from migration)"
                  " || ' ' || (select string_agg(i::text, ',' order by i) from one)");
}

static const struct migration both[] = { ONE, TWO, END };

static void *rival(void *data)
{
    struct error err = { 0 };
    migrate(embedded_pg_conninfo(scratch.pg), both, &err);
    memcpy(data, &err, sizeof err);
    return NULL;
}

static void in_order(void)
{
    static const struct migration first[] = { ONE, END };
    expect(first, OK, "");
    CHECK_STR(state(), "1 1");
}

static void rivals(void)
{
    pthread_t threads[4];
    struct error errors[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, rival, &errors[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) CHECK(!errors[i].status, "%s", errors[i].text);
    CHECK_STR(state(), "1,2 1,2");
}

static void a_failing_one(void)
{
    static const struct migration bad[] = { ONE, TWO, THREE, END };
    expect(bad, E_DB, "0003_three.sql: relation \"one\" already exists");
    CHECK_STR(state(), "1,2 1,2");
}

static void refusals(void)
{
    static const struct migration edited[] = { { 1, "0001_one.sql", "select 1" }, TWO, END };
    static const struct migration older[] = { ONE, END };
    static const struct migration late[] = { ONE, TWO, { 4, "0004_four.sql", "select 1" }, END };
    static const struct migration between[] = {
        ONE, TWO, { 3, "0003_x.sql", "select 1" }, { 4, "0004_four.sql", "select 1" }, END
    };
    expect(edited, E_CONFLICT, "0001_one.sql differs from what was applied to this database");
    expect(older, E_CONFLICT,
           "the database holds migration 2 (0002_two.sql), which this lathed does not know");
    expect(late, OK, "");
    expect(between, E_CONFLICT, "0003_x.sql comes before migration 4, which is applied already");
    CHECK_STR(state(), "1,2,4 1,2");
}

static void unreachable(void)
{
    struct error err = { 0 };
    CHECK_INT(migrate("host=/nowhere", both, &err), E_BUSY);
    CHECK(strstr(err.text, "the database cannot be reached"), "%s", err.text);
}

/* The real ones, on a database of their own, twice. */
static void the_real_ones(void)
{
    char conninfo[1400];
    struct error err = { 0 };
    scratch_ask(&scratch, "create database fresh");
    snprintf(conninfo, sizeof conninfo, "%s dbname=fresh", embedded_pg_conninfo(scratch.pg));
    CHECK_OK(migrate(conninfo, migrations, &err), err);
    CHECK_OK(migrate(conninfo, migrations, &err), err);
}

int main(void)
{
    scratch_open(&scratch);
    in_order();
    rivals();
    a_failing_one();
    refusals();
    unreachable();
    the_real_ones();
    scratch_close(&scratch);
    printf("ok\n");
    return 0;
}
