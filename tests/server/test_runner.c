#include "server/jobs/runner.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include "server/config.h"
#include "server/pg/migrate.h"
#include "tests/server/scratch.h"
#include "tests/support/check.h"

/* Jobs through the queue, with a shell script in lathe-train's place. It does what its
 * job's "act" says. */
static const char trainer[] =
    "#!/bin/sh\n"
    "say() { echo \"{\\\"event\\\":\\\"$1\\\",\\\"seq\\\":1$2}\"; }\n"
    "trap 'say checkpoint; exit 75' TERM\n"
    "job=$(cat)\n"
    "say start ',\"tokens_planned\":9'\n"
    "case \"$job\" in\n"
    "*'\"act\": \"done\"'*)   say 'step' ',\"step\":1,\"tokens\":9,\"loss\":2.5'; say done "
    "',\"tokens\":9';;\n"
    "*'\"act\": \"bad\"'*)    say error ',\"message\":\"no such file\"'; exit 2;;\n"
    "*'\"act\": \"crash\"'*)  echo 'out of luck' >&2; kill -9 $$;;\n"
    "*'\"act\": \"garble\"'*) printf 'out of \\303\\251t\\351\\033[0m' >&2; exit 1;;\n"
    "*'\"act\": \"wait\"'*)   while :; do say heartbeat; sleep 0.05; done;;\n"
    "*'\"act\": \"talk\"'*)   seq 1 30000 | sed "
    "'s/.*/{\"event\":\"step\",\"step\":&,\"tokens\":&,\"loss\":1}/'; say done;;\n"
    "*'\"act\": \"lie\"'*)    say step; sleep 30;;\n"
    "*'\"act\": \"again\"'*)  [ -e once ] && say done && exit 0; touch once; exit 75;;\n"
    "esac\n";

static struct scratch scratch;
static struct app app;
static struct config config;
static char jobs_dir[128], path[128];
static int closed;

static void on_closed(struct app *it)
{
    (void)it;
    closed = 1;
}

static void on_pool_closed(void *data) { *(int *)data = 1; }

static void start(void)
{
    struct error err = { 0 };
    struct pg_pool_options options = { .conninfo = embedded_pg_conninfo(scratch.pg),
                                       .name = "test" };
    app = (struct app){ .loop = &scratch.loop,
                        .config = &config,
                        .conninfo = options.conninfo,
                        .jobs_dir = jobs_dir,
                        .uploads_dir = scratch.dir };
    app.pool = app.slow = pg_pool_open(&scratch.loop, &options);
    CHECK_OK(runner_part.open(&app, &err), err);
}

static void stop(void)
{
    closed = 0;
    runner_part.close(&app, on_closed);
    CHECK_INT(closed, 0);
    scratch_wait(&scratch, &closed, 1);
    closed = 0;
    pg_pool_close(app.pool, on_pool_closed, &closed);
    scratch_wait(&scratch, &closed, 1);
}

static void add(const char *act)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "do $$ declare id bigint := job_add('export', '{\"act\": \"%s\"}'); begin"
             " perform job_name(id, 'exp_' || id); end $$",
             act);
    scratch_ask(&scratch, sql);
}

/* Runs until the newest job answers `want` to "state reason". */
static void expect(const char *want)
{
    const char *got = "";
    for (int i = 0; i < 2000; i++) {
        scratch_run(&scratch, 20);
        got = scratch_ask(
            &scratch, "select concat_ws(' ', state, reason) from job order by job_id desc limit 1");
        if (!strcmp(got, want)) return;
    }
    CHECK_STR(got, want);
}

static void want(const char *wish)
{
    char sql[128];
    snprintf(sql, sizeof sql, "select job_ask((select max(job_id) from job), '%s')", wish);
    scratch_ask(&scratch, sql);
}

static void ways_to_end(void)
{
    add("done");
    expect("succeeded");
    CHECK_STR(scratch_ask(&scratch, "select string_agg(kind, ' ' order by event_id) from event"),
              "state state state start step done state");
    add("bad");
    expect("failed no such file");
    add("lie");
    expect(
        "failed what the trainer said was not accepted: null value in column \"step\" of relation "
        "\"metric_0\" violates not-null constraint");
    add("again");
    expect("succeeded");
    CHECK_STR(scratch_ask(&scratch, "select attempt from job order by job_id desc limit 1"), "2");
    add("crash");
    scratch_ask(&scratch, "update job set failures = 3 where state = 'queued'");
    expect("failed the trainer ended by signal 9: out of luck");
    add("garble");
    scratch_ask(&scratch, "update job set failures = 3 where state = 'queued'");
    expect("failed the trainer ended with exit status 1: out of \303\251t? [0m");
}

static void write_to(const char *name, const char *text)
{
    char file[192];
    snprintf(file, sizeof file, "%s/%s", jobs_dir, name);
    FILE *out = fopen(file, "w");
    fputs(text, out);
    fclose(out);
}

/* A launcher that waits in somebody's line says so; the trainer's first word ends that, and not
 * what another one left to be told. */
static void a_launcher_that_waits(void)
{
    char gate[160], folder[160];
    snprintf(gate, sizeof gate, "%s/gate", jobs_dir);
    snprintf(folder, sizeof folder, "%s/job_7", jobs_dir);
    mkdir(folder, 0700);
    write_to("job_7/events.ndjson", "{\"event\":\"heartbeat\",\"seq\":1}\n");
    write_to("gate", "");
    add("done");
    expect("starting 3 ranks wait at job_7/../gate");
    unlink(gate);
    expect("succeeded");
    CHECK_STR(scratch_ask(&scratch, "select string_agg(body ->> 'state', ' ' order by event_id) from event"
                                    " where kind = 'state' and subject = 'exp_7'"),
              "queued starting starting running succeeded");
}

/* What it has, it says; what it cannot hold, it leaves. */
static void capabilities(void)
{
    CHECK_STR(scratch_ask(&scratch, "select concat_ws(' ', backends, memory_bytes, gpus, ranks,"
                                    " launch is not null) from worker"),
              "{cpu,ref} 1000 0 3 t");
    scratch_ask(&scratch, "do $$ begin perform job_name(job_add('export', '{\"memory_bytes\": 501}'),"
                          " 'exp_0'); end $$");
    add("done");
    expect("succeeded");
    CHECK_STR(scratch_ask(&scratch, "select state from job where subject = 'exp_0'"), "queued");
    scratch_ask(&scratch, "delete from job where subject = 'exp_0'");
}

static void wishes(void)
{
    add("wait");
    expect("running");
    want("pause");
    expect("paused paused as asked");
    want("run");
    expect("running");
    want("cancel");
    expect("cancelled cancelled as asked");
}

/* A batch that cannot be stored waits; the trainer waits on its pipe; nothing is lost. */
static void database_away(void)
{
    add("talk");
    expect("running");
    kill(embedded_pg_pid(scratch.pg), SIGKILL);
    scratch_run(&scratch, 200);
    while (PQping(app.conninfo) != PQPING_OK) scratch_run(&scratch, 20);
    expect("succeeded");
    CHECK_STR(
        scratch_ask(&scratch,
                    "select count(*) || ' ' || sum(m.step) from metric m join job using (job_id)"
                    " where document ->> 'act' = 'talk'"),
        "30000 450015000");
    CHECK_STR(scratch_ask(
                  &scratch,
                  "select count(*) from event where kind = 'step' and (body ->> 'step')::int > 1"),
              "29999");
}

static void a_new_life(void)
{
    add("wait");
    expect("running");
    stop();
    CHECK_STR(
        scratch_ask(&scratch,
                    "select concat_ws(' ', state, reason) from job order by job_id desc limit 1"),
        "queued stopped; it goes on from its checkpoint");
    scratch_ask(&scratch,
                "update job set run_after = 'infinity' where state = 'queued';"
                "update job set state = 'pausing', worker_id = 1, leased_until = now() + '1 hour'"
                " where job_id = (select max(job_id) from job)");
    start();
    expect("running"); /* given back and claimed again */
    CHECK_STR(scratch_ask(&scratch, "select count(*) from event where body ->> 'reason' ="
                                    " 'its worker was restarted'"),
              "1");

    struct error err = { 0 };
    struct app second = app;
    CHECK_INT(runner_part.open(&second, &err), E_BUSY);
    CHECK(strstr(err.text, "another runner works in "), "%s", err.text);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    scratch_open(&scratch);
    struct error err = { 0 };
    CHECK_OK(migrate(embedded_pg_conninfo(scratch.pg), migrations, &err), err);
    snprintf(jobs_dir, sizeof jobs_dir, "%s/jobs", scratch.dir);
    mkdir(jobs_dir, 0700);
    snprintf(path, sizeof path, "%s/lathe-train", scratch.dir);
    FILE *file = fopen(path, "w");
    fputs(trainer, file);
    fclose(file);
    chmod(path, 0755);
    config = (struct config){ .slots = 2,
                              .data_dir = scratch.dir,
                              .trainer = path,
                              .role_runner = true,
                              .ranks = 3,
                              .memory = 1000,
                              .launch = "/bin/sh -c 'echo {ranks} ranks wait at $PWD/../gate >&2;"
                                        " while [ -e ../gate ]; do sleep 0.05; done; exec \"$0\"' {trainer}" };

    start();
    ways_to_end();
    a_launcher_that_waits();
    capabilities();
    wishes();
    database_away();
    a_new_life();
    stop();
    scratch_close(&scratch);
    puts("ok");
}
