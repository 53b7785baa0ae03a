#include "server/jobs/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct child {
    uv_process_t process;
    uv_pipe_t in;
    uv_timer_t grace;
    uv_write_t write;
    int open_handles;
    bool exited, killed;
    struct child_options options;
    struct child_end end;
    char *job;
};

static void on_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;
    if (--child->open_handles) return;
    if (child->exited) child->options.exited(child->options.data, &child->end);
    free(child->job);
    free(child);
}

static void close_one(void *handle)
{
    if (!uv_is_closing(handle)) uv_close(handle, on_closed);
}

/* The one way to die; also of a process that never started. */
static void close_all(struct child *child)
{
    close_one(&child->process);
    close_one(&child->in);
    close_one(&child->grace);
}

static void on_exit_of(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct child *child = process->data;
    kill(-process->pid, SIGKILL); /* what it left behind, if anything */
    child->exited = true;
    child->end.exit_status = (int)exit_status;
    child->end.signal = term_signal;
    close_all(child);
}

static void on_grace_over(uv_timer_t *timer) { child_kill(timer->data); }

void child_stop(struct child *child)
{
    if (child->end.stopped || child->exited) return;
    child->end.stopped = true;
    uv_process_kill(&child->process, SIGTERM);
    uv_timer_start(&child->grace, on_grace_over, CHILD_GRACE_MS, 0);
}

void child_kill(struct child *child)
{
    if (child->killed || child->exited) return;
    child->killed = true;
    kill(-child->process.pid, SIGKILL);
}

int child_pid(const struct child *child) { return child->process.pid; }

static void on_job_written(uv_write_t *write, int status)
{
    (void)status; /* a process that does not read its job says why by its exit */
    struct child *child = write->data;
    close_one(&child->in);
}

static void init_handles(struct child *child, uv_loop_t *loop)
{
    uv_pipe_init(loop, &child->in, 0);
    uv_timer_init(loop, &child->grace);
    child->in.data = child->grace.data = child->process.data = child;
    child->write.data = child;
    child->open_handles = 3;
}

static int spawn(struct child *child, uv_loop_t *loop, int log)
{
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->in },
        { .flags = UV_INHERIT_FD, .data.fd = child->options.output },
        { .flags = UV_INHERIT_FD, .data.fd = log },
    };
    uv_process_options_t options = {
        .file = child->options.args[0],
        .args = (char **)(uintptr_t)child->options.args,
        .cwd = child->options.work_dir,
        .stdio = stdio,
        .stdio_count = 3,
        .exit_cb = on_exit_of,
        .flags = UV_PROCESS_DETACHED,
    };
    return uv_spawn(loop, &child->process, &options);
}

static void send_job(struct child *child)
{
    child->job = malloc(child->options.n_job + 1);
    if (!child->job) abort();
    memcpy(child->job, child->options.job, child->options.n_job);
    uv_buf_t text = uv_buf_init(child->job, (unsigned)child->options.n_job);
    if (uv_write(&child->write, (uv_stream_t *)&child->in, &text, 1, on_job_written))
        close_one(&child->in);
}

enum status child_start(struct child **out, uv_loop_t *loop, const struct child_options *options,
                        struct error *err)
{
    int log = open(options->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) return fail(err, E_IO, "cannot write %s: %s", options->log, strerror(errno));

    struct child *child = calloc(1, sizeof *child);
    if (!child) abort();
    child->options = *options;
    init_handles(child, loop);
    int bad = spawn(child, loop, log);
    close(log);
    if (bad) {
        close_all(child);
        return fail(err, E_IO, "cannot start %s: %s", options->args[0], uv_strerror(bad));
    }
    send_job(child);
    *out = child;
    return OK;
}
