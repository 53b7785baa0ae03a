#include "server/jobs/child.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/support/check.h"

/* The promises of child.h, with shell scripts in the trainer's place. */

static uv_loop_t loop;
static char dir[] = "/tmp/lathe-child-XXXXXX", script[64], log_path[64];
static struct child *child;
static char said[8192];
static int n_lines, n_exited, inside, hold_at;
static size_t longest;
static struct child_end end;

static void on_line(void *data, const char *text, size_t len)
{
    (void)data;
    CHECK_INT(strlen(text), len);
    CHECK(!n_exited, "a line after exited");
    n_lines++;
    if (len > longest) longest = len;
    if (strlen(said) + len + 2 < sizeof said) strcat(strcat(said, text), ";");
    if (n_lines == hold_at) child_hold(child);
    if (!strcmp(text, "kill me")) child_kill(child);
}

static void on_exited(void *data, const struct child_end *it)
{
    (void)data;
    CHECK(!inside, "exited from inside a call");
    n_exited++;
    end = *it;
}

static void start(const char *text, const char *job)
{
    FILE *file = fopen(script, "w");
    fprintf(file, "#!/bin/sh\n%s\n", text);
    fclose(file);
    chmod(script, 0700);
    n_lines = n_exited = 0;
    longest = 0;
    *said = 0;
    struct error err = { 0 };
    struct child_options options = { .program = script,
                                     .work_dir = dir,
                                     .log = log_path,
                                     .job = job,
                                     .n_job = strlen(job),
                                     .line = on_line,
                                     .exited = on_exited };
    inside++;
    CHECK_OK(child_start(&child, &loop, &options, &err), err);
    inside--;
}

static void run(const char *text, const char *job)
{
    start(text, job);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(n_exited, 1);
}

static void ways_to_end(void)
{
    run("cat; echo; echo two; printf half; exit 2", "the job");
    CHECK_STR(said, "the job;two;");
    CHECK_INT(end.exit_status, 2);
    CHECK(!end.stopped && !end.signal && !end.broken, "an ordinary end");

    run("exit 0", "a job nobody reads");
    CHECK_INT(n_lines, 0);
    run("echo kill me; sleep 30", "");
    CHECK_INT(end.signal, SIGKILL);
    CHECK(!end.stopped, "killing is not stopping");
    run("pwd; echo words >&2", "");
    CHECK(!strncmp(said, dir, strlen(dir)), "it starts in its folder, not in %s", said);
    struct stat st;
    CHECK(!stat(log_path, &st) && st.st_size == 6, "standard error goes to the log");
}

static void on_soon(uv_timer_t *timer)
{
    child_stop(child);
    child_stop(child);
    uv_close((uv_handle_t *)timer, NULL);
}

static void stopping(void)
{
    uv_timer_t timer;
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_soon, 100, 0);
    run("trap 'echo bye; exit 75' TERM; echo hi; while :; do sleep 0.02; done", "");
    CHECK_STR(said, "hi;bye;");
    CHECK(end.stopped && end.exit_status == 75, "got %d", end.exit_status);
}

static void long_lines(void)
{
    run("head -c 65536 /dev/zero | tr '\\0' x; echo; echo after", "");
    CHECK_INT(longest, 65536);
    CHECK_INT(n_lines, 2);
    CHECK(!end.broken, "65536 bytes are fine");
    run("echo before; head -c 65537 /dev/zero | tr '\\0' x; echo; sleep 30", "");
    CHECK_STR(said, "before;");
    CHECK(end.broken && end.signal == SIGKILL, "one more is not");
}

static void on_flow(uv_timer_t *timer)
{
    int *seen = timer->data;
    *seen = n_lines;
    hold_at = 0;
    child_flow(child);
    uv_close((uv_handle_t *)timer, NULL);
}

static void back_pressure(void)
{
    int seen = 0;
    uv_timer_t timer;
    uv_timer_init(&loop, &timer);
    timer.data = &seen;
    uv_timer_start(&timer, on_flow, 300, 0);
    hold_at = 10;
    run("seq 100000 199999", "");
    CHECK(seen >= 10 && seen <= 10 + CHILD_CHUNK / 7 + 1, "%d lines came although held", seen);
    CHECK_INT(n_lines, 100000);
}

static void cannot_start(void)
{
    struct error err = { 0 };
    struct child_options options = { .program = "/nowhere/lathe-train",
                                     .work_dir = dir,
                                     .log = log_path,
                                     .job = "",
                                     .line = on_line,
                                     .exited = on_exited };
    n_exited = 0;
    CHECK_INT(child_start(&child, &loop, &options, &err), E_IO);
    CHECK_STR(err.text, "cannot start /nowhere/lathe-train: no such file or directory");
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(n_exited, 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    CHECK(mkdtemp(dir), "mkdtemp");
    snprintf(script, sizeof script, "%s/trainer", dir);
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    uv_loop_init(&loop);
    ways_to_end();
    stopping();
    long_lines();
    back_pressure();
    cannot_start();
    CHECK_INT(uv_loop_close(&loop), 0);
    unlink(script);
    unlink(log_path);
    rmdir(dir);
    puts("ok");
}
