#include "server/pg/pg_pool.h"

#include <signal.h>
#include <unistd.h>
#include "server/pg/pg_listen.h"
#include "tests/server/scratch.h"
#include "tests/support/check.h"

/* The promises of pg_query.h, against a real server. */

static struct scratch scratch;
static struct pg_pool *pool;
static char story[4096]; /* what happened, in order */
static int n_done, inside_send;

struct ask {
    struct pg_query query;
    const char *params[2];
    const char *name;
};

static void tell(const char *name, const char *what)
{
    size_t n = strlen(story);
    snprintf(story + n, sizeof story - n, "%s=%s;", name, what);
}

static void on_done(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct ask *ask = query->data;
    CHECK(!inside_send, "%s: done from inside the send", ask->name);
    n_done++;
    if (err->status)
        tell(ask->name, status_name(err->status));
    else
        tell(ask->name, PQntuples(rows) ? pg_text(rows, 0, 0) : "ok");
    ask->name = "twice";
}

static struct ask *ask_of(const char *name, const char *sql, const char *param)
{
    static struct ask asks[512];
    static int n;
    struct ask *ask = &asks[n++];
    *ask = (struct ask){ .params = { param }, .name = name };
    ask->query = (struct pg_query){
        .sql = sql, .n_params = param != NULL, .params = ask->params, .done = on_done, .data = ask
    };
    return ask;
}

static void ask(struct ask *it)
{
    inside_send++;
    pg_pool_send(pool, &it->query);
    inside_send--;
}

static void start(void)
{
    story[0] = 0;
    n_done = 0;
}

static void open_pool(const struct pg_pool_options *options)
{
    struct pg_pool_options o = *options;
    o.conninfo = embedded_pg_conninfo(scratch.pg);
    o.name = "test";
    pool = pg_pool_open(&scratch.loop, &o);
    start();
}

static void on_closed(void *data)
{
    tell("pool", "closed");
    *(int *)data = 1;
}

static void close_pool(void)
{
    int closed = 0;
    pg_pool_close(pool, on_closed, &closed);
    CHECK(!closed, "closed from inside close");
    scratch_wait(&scratch, &closed, 1);
}

static const char plus_one[] = "select $1::int + 1";
static const char divide[] = "select 1 / $1::int";
static const char sleep_sql[] = "select pg_sleep($1::float8)";
static const char insert_sql[] = "insert into t values ($1::int)";
static const char wrong_sql[] = "selec 1";

static void test_answers(void)
{
    open_pool(&(struct pg_pool_options){ .n_conns = 1 });
    ask(ask_of("a", plus_one, "1")); /* before the connection is up: waits */
    ask(ask_of("b", plus_one, "2"));
    ask(ask_of("c", divide, "0"));
    ask(ask_of("d", plus_one, "x"));
    ask(ask_of("e", wrong_sql, NULL));
    ask(ask_of("f", plus_one, "3"));
    scratch_wait(&scratch, &n_done, 6);
    CHECK_STR(story, "a=2;b=3;c=input;d=input;e=db;f=4;");
    start();
    ask(ask_of("prepared", plus_one, "10"));
    ask(ask_of("e", wrong_sql, NULL));
    scratch_wait(&scratch, &n_done, 2);
    CHECK_STR(story, "prepared=11;e=db;");
    close_pool();
}

static void test_batch(void)
{
    scratch_ask(
        &scratch,
        "create table t (i int constraint t_has_no_twins unique deferrable initially deferred,"
        " constraint t_is_small check (i < 100))");
    open_pool(&(struct pg_pool_options){ .n_conns = 1 });
    struct ask *a = ask_of("a", insert_sql, "1"), *b = ask_of("b", insert_sql, "2");
    a->query.and_then = &b->query;
    ask(a);
    struct ask *c = ask_of("c", insert_sql, "3"), *d = ask_of("d", insert_sql, "1000"),
               *e = ask_of("e", insert_sql, "4");
    c->query.and_then = &d->query, d->query.and_then = &e->query;
    ask(c);
    struct ask *f = ask_of("f", insert_sql, "5"), *g = ask_of("g", insert_sql, "1");
    f->query.and_then = &g->query;
    ask(f); /* fails only at the commit */
    ask(ask_of("n", "select string_agg(i::text, ',' order by i) from t", NULL));
    scratch_wait(&scratch, &n_done, 8);
    CHECK_STR(story, "a=ok;b=ok;c=cancelled;d=conflict;e=cancelled;f=cancelled;g=conflict;n=1,2;");
    close_pool();
}

static void test_stale_statement(void)
{
    static const char all[] = "select * from s";
    scratch_ask(&scratch, "create table s as select 1 as i");
    open_pool(&(struct pg_pool_options){ .n_conns = 1 });
    ask(ask_of("a", all, NULL));
    scratch_wait(&scratch, &n_done, 1);
    scratch_ask(&scratch, "alter table s alter i type text");
    ask(ask_of("b", all, NULL)); /* "cached plan must not change result type" */
    scratch_wait(&scratch, &n_done, 2);
    ask(ask_of("c", all, NULL));
    scratch_wait(&scratch, &n_done, 3);
    CHECK_STR(story, "a=1;b=db;c=1;");
    close_pool();
}

static void test_limits(void)
{
    open_pool(
        &(struct pg_pool_options){ .n_conns = 1, .depth = 2, .queue_max = 2, .patience_ms = 1500 });
    ask(ask_of("up", plus_one, "0"));
    scratch_wait(&scratch, &n_done, 1);
    start();
    ask(ask_of("a", sleep_sql, "5"));
    ask(ask_of("b", plus_one, "1"));
    ask(ask_of("waits", plus_one, "1"));
    ask(ask_of("waits", plus_one, "1"));
    ask(ask_of("full", plus_one, "1"));
    scratch_wait(&scratch, &n_done, 5);
    CHECK(!strcmp(story, "full=busy;waits=busy;waits=busy;a=;b=2;") ||
              !strcmp(story, "waits=busy;waits=busy;full=busy;a=;b=2;"),
          "%s", story);
    close_pool();
    open_pool(&(struct pg_pool_options){ .n_conns = 1, .statement_timeout_ms = 100 });
    ask(ask_of("long", sleep_sql, "5"));
    scratch_wait(&scratch, &n_done, 1);
    CHECK_STR(story, "long=busy;");
    close_pool();
}

static void test_close(void)
{
    open_pool(&(struct pg_pool_options){ .n_conns = 1, .depth = 2 });
    ask(ask_of("up", plus_one, "0"));
    scratch_wait(&scratch, &n_done, 1);
    start();
    ask(ask_of("a", sleep_sql, "5"));
    ask(ask_of("b", plus_one, "1"));
    ask(ask_of("c", plus_one, "1"));
    close_pool();
    CHECK_STR(story, "a=cancelled;b=cancelled;c=cancelled;pool=closed;");
}

/* Closing after any number of turns of the loop ends the same way. */
static void test_close_any_time(void)
{
    for (int turns = 0; turns < 12; turns++) {
        open_pool(&(struct pg_pool_options){ .n_conns = 2 });
        ask(ask_of("a", plus_one, "1"));
        for (int i = 0; i < turns; i++) uv_run(&scratch.loop, UV_RUN_NOWAIT), usleep(1000);
        close_pool();
        CHECK_INT(n_done, 1);
        CHECK(!strcmp(story, "a=cancelled;pool=closed;") || !strcmp(story, "a=2;pool=closed;"),
              "%s", story);
    }
}

static const char left_sql[] = "select pg_sleep($1::float8) as left";

/* Who is running what, seen from outside. */
static int n_sleepers(void)
{
    return atoi(scratch_ask(&scratch, "select count(*) from pg_stat_activity where "
                                      "application_name = 'test'"
                                      " and state = 'active' and query like '%left%'"));
}

static void wait_sleepers(int want)
{
    for (int i = 0; i < 500 && n_sleepers() != want; i++) scratch_run(&scratch, 20);
    CHECK_INT(n_sleepers(), want);
}

/* What nobody wants is stopped, but not while it shares its connection with what somebody wants. */
static void test_unwanted(void)
{
    open_pool(&(struct pg_pool_options){ .n_conns = 1, .depth = 2 });
    ask(ask_of("up", plus_one, "0"));
    scratch_wait(&scratch, &n_done, 1);
    start();
    struct ask *left = ask_of("left", left_sql, "15"), *waits = ask_of("waits", plus_one, "2");
    ask(left);
    wait_sleepers(1);
    left->query.unwanted = true;
    scratch_wait(&scratch, &n_done, 1);
    CHECK_STR(story, "left=busy;");
    wait_sleepers(0);

    ask(ask_of("up", plus_one, "0")); /* once the request to cancel is through */
    scratch_wait(&scratch, &n_done, 2);

    start();
    left = ask_of("left", left_sql, "2.5");
    ask(left);
    ask(ask_of("behind", plus_one, "1")); /* now nobody can stop the one before it alone */
    ask(waits);
    ask(ask_of("last", plus_one, "3"));
    left->query.unwanted = waits->query.unwanted = true;
    scratch_wait(&scratch, &n_done, 4);
    CHECK(!strcmp(story, "left=;behind=2;waits=cancelled;last=4;") ||
              !strcmp(story, "left=;waits=cancelled;behind=2;last=4;"),
          "%s", story);
    close_pool();
}

/* However a statement and the wish to stop it meet, the next one is left alone. */
static void test_unwanted_any_time(void)
{
    open_pool(&(struct pg_pool_options){ .n_conns = 1 });
    ask(ask_of("up", plus_one, "0"));
    scratch_wait(&scratch, &n_done, 1);
    for (int i = 0; i < 6; i++) { /* the connection looks once a second */
        char seconds[16];
        start();
        snprintf(seconds, sizeof seconds, "%.4f", 0.97 + 0.01 * i);
        struct ask *left = ask_of("left", left_sql, seconds);
        ask(left);
        left->query.unwanted = true;
        scratch_wait(&scratch, &n_done, 1);
        ask(ask_of("next", sleep_sql, "0.02"));
        scratch_wait(&scratch, &n_done, 2);
        CHECK(!strcmp(story, "left=busy;next=;") || !strcmp(story, "left=;next=;"), "%s", story);
    }
    close_pool();
}

/* Quick ones go past a connection that takes long. */
static void test_slow_neighbour(void)
{
    struct pg_pool_stats stats = { 0 };
    open_pool(&(struct pg_pool_options){ .n_conns = 2 });
    ask(ask_of("up", plus_one, "0"));
    scratch_wait(&scratch, &n_done, 1);
    for (int i = 0; i < 500 && stats.n_up < 2; i++)
        scratch_run(&scratch, 20), pg_pool_stats(pool, &stats);
    start();
    ask(ask_of("slow", sleep_sql, "3"));
    scratch_run(&scratch, 100);
    for (int i = 0; i < 5; i++) ask(ask_of("q", plus_one, "1"));
    scratch_wait(&scratch, &n_done, 6);
    CHECK_STR(story, "q=2;q=2;q=2;q=2;q=2;slow=;");
    close_pool();
}

static void on_again(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct ask *ask = query->data;
    on_done(query, rows, err);
    ask->name = "again";
    query->done = on_done;
    pg_pool_send(pool, query); /* even while the pool is closing */
}

static void test_send_from_done(void)
{
    open_pool(&(struct pg_pool_options){ .n_conns = 1 });
    struct ask *a = ask_of("a", plus_one, "1");
    a->query.done = on_again;
    ask(a);
    scratch_wait(&scratch, &n_done, 2);
    struct ask *late = ask_of("late", sleep_sql, "9");
    late->query.done = on_again;
    ask(late);
    close_pool();
    CHECK_STR(story, "a=2;again=2;late=cancelled;again=cancelled;pool=closed;");
}

static void test_server_killed(void)
{
    open_pool(&(struct pg_pool_options){ .n_conns = 1, .depth = 1, .patience_ms = 15000 });
    ask(ask_of("up", plus_one, "0"));
    scratch_wait(&scratch, &n_done, 1);
    start();
    int pid = embedded_pg_pid(scratch.pg);
    ask(ask_of("sent", sleep_sql, "8"));
    ask(ask_of("waits", plus_one, "1"));
    scratch_run(&scratch, 50);
    kill(pid, SIGKILL);
    scratch_wait(&scratch, &n_done, 2);
    CHECK_STR(story, "sent=busy;waits=2;");
    CHECK(embedded_pg_pid(scratch.pg) != pid, "the same process %d", pid);
    struct pg_pool_stats stats;
    pg_pool_stats(pool, &stats);
    CHECK_INT(stats.n_up, 1);
    CHECK(stats.reconnects > 0, "no reconnects");
    close_pool();
}

static int n_looks, n_heard;

static void on_heard(void *data, const char *channel, const char *payload)
{
    (void)data;
    CHECK_STR(channel, "jobs");
    if (!payload)
        n_looks++;
    else {
        CHECK_STR(payload, "job_7");
        n_heard++;
    }
}

static void test_listen(void)
{
    static const char *const channels[] = { "jobs", NULL };
    int closed = 0;
    start();
    struct pg_listener *l =
        pg_listen(&scratch.loop, embedded_pg_conninfo(scratch.pg), channels, on_heard, NULL);
    scratch_wait(&scratch, &n_looks, 1);
    scratch_ask(&scratch, "notify jobs, 'job_7'");
    scratch_wait(&scratch, &n_heard, 1);
    scratch_ask(&scratch, "select pg_terminate_backend(pid) from pg_stat_activity"
                          " where application_name = 'lathed listen'");
    scratch_wait(&scratch, &n_looks, 2);
    scratch_ask(&scratch, "notify jobs, 'job_7'");
    scratch_wait(&scratch, &n_heard, 2);
    pg_listener_close(l, on_closed, &closed);
    scratch_wait(&scratch, &closed, 1);
}

int main(void)
{
    scratch_open(&scratch);
    test_answers();
    test_batch();
    test_stale_statement();
    test_limits();
    test_close();
    test_close_any_time();
    test_unwanted();
    test_unwanted_any_time();
    test_slow_neighbour();
    test_send_from_done();
    test_listen();
    test_server_killed();
    scratch_close(&scratch);
    printf("ok\n");
    return 0;
}
