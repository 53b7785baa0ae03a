#include "server/jobs/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/support/check.h"

/* The promises of child.h, with shell scripts in the trainer's place. */

static uv_loop_t loop;
static char dir[] = "/tmp/lathe-child-XXXXXX", script[64], log_path[64], out_path[64];
static struct child *child;
static char said[8192];
static int n_exited, inside;
static struct child_end end;

static void on_exited(void *data, const struct child_end *it)
{
    (void)data;
    CHECK(!inside, "exited from inside a call");
    n_exited++;
    end = *it;
}

static struct child_options options_of(const char *job, int output)
{
    static char *const args[] = { script, NULL };
    return (struct child_options){ .args = args,
                                   .work_dir = dir,
                                   .log = log_path,
                                   .job = job,
                                   .n_job = strlen(job),
                                   .output = output,
                                   .exited = on_exited };
}

static void start(const char *text, const char *job)
{
    FILE *file = fopen(script, "w");
    fprintf(file, "#!/bin/sh\n%s\n", text);
    fclose(file);
    chmod(script, 0700);
    n_exited = 0;
    struct error err = { 0 };
    int output = open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    struct child_options options = options_of(job, output);
    inside++;
    CHECK_OK(child_start(&child, &loop, &options, &err), err);
    inside--;
    close(output);
}

static const char *read_said(void)
{
    FILE *file = fopen(out_path, "r");
    said[fread(said, 1, sizeof said - 1, file)] = 0;
    fclose(file);
    return said;
}

static void run(const char *text, const char *job)
{
    start(text, job);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(n_exited, 1);
    read_said();
}

static void ways_to_end(void)
{
    run("cat; exit 2", "the job");
    CHECK_STR(said, "the job");
    CHECK_INT(end.exit_status, 2);
    CHECK(!end.stopped && !end.signal, "an ordinary end");
    run("exit 0", "a job nobody reads");
    run("pwd; echo words >&2; kill -9 $$", "");
    CHECK_INT(end.signal, SIGKILL);
    CHECK(!end.stopped, "being killed is not being stopped");
    CHECK(!strncmp(said, dir, strlen(dir)), "it starts in its folder, not in %s", said);
    struct stat st;
    CHECK(!stat(log_path, &st) && st.st_size == 6, "standard error goes to the log");
}

/* What a process started ends with it. */
static void no_descendants(void)
{
    run("sleep 100 & echo $!", "");
    int pid = atoi(said);
    for (int i = 0; i < 1000 && !kill(pid, 0); i++) usleep(10000);
    char stat[64], state = 'X';
    snprintf(stat, sizeof stat, "/proc/%d/stat", pid);
    FILE *file = fopen(stat, "r");
    if (file && fscanf(file, "%*d %*s %c", &state) != 1) state = 'X';
    if (file) fclose(file);
    CHECK(state == 'Z' || state == 'X', "process %d is left, in state %c", pid, state);
}

static void stop_once_it_speaks(uv_timer_t *timer)
{
    if (strcmp(read_said(), "hi\n")) return;
    child_stop(child);
    child_stop(child);
    uv_close((uv_handle_t *)timer, NULL);
}

static void stopping(void)
{
    uv_timer_t timer;
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, stop_once_it_speaks, 20, 20);
    run("trap 'echo bye; exit 75' TERM; echo hi; while :; do sleep 0.02; done", "");
    CHECK_STR(said, "hi\nbye\n");
    CHECK(end.stopped && end.exit_status == 75, "got %d", end.exit_status);
}

static void cannot_start(void)
{
    struct error err = { 0 };
    struct child_options options = options_of("", 1);
    options.args = (char *const[]){ (char[]){ "/nowhere/lathe-train" }, NULL };
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
    snprintf(out_path, sizeof out_path, "%s/out", dir);
    uv_loop_init(&loop);
    ways_to_end();
    stopping();
    no_descendants();
    cannot_start();
    CHECK_INT(uv_loop_close(&loop), 0);
    unlink(script);
    unlink(log_path);
    unlink(out_path);
    rmdir(dir);
    puts("ok");
}
