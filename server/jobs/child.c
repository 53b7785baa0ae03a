#include "server/jobs/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "search/base/buf.h"

struct child {
    uv_process_t process;
    uv_pipe_t in, out;
    uv_timer_t grace;
    uv_write_t write;
    int open_handles;
    bool exited, at_end, held, reading, killed, closing;
    struct child_options options;
    struct child_end end;
    char *job;
    struct buf partial; /* a line whose newline has not come yet */
    char chunk[CHILD_CHUNK];
};

static void on_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;
    if (--child->open_handles) return;
    child->options.exited(child->options.data, &child->end);
    buf_release(&child->partial);
    free(child->job);
    free(child);
}

static void close_one(void *handle)
{
    if (!uv_is_closing(handle)) uv_close(handle, on_closed);
}

/* The one way to die: when the process is gone and its output is read to the end. */
static void settle(struct child *child)
{
    if (!child->exited || !child->at_end || child->closing) return;
    child->closing = true;
    close_one(&child->process);
    close_one(&child->in);
    close_one(&child->out);
    close_one(&child->grace);
}

/* ---- lines ------------------------------------------------------------------------- */

static void give_up_on(struct child *child)
{
    child->end.broken = true;
    buf_clear(&child->partial);
    child_kill(child);
}

static void take_line(struct child *child, const char *text, size_t len)
{
    if (child->end.broken || (!child->partial.len && !len)) return;
    buf_put(&child->partial, text, len);
    if (child->partial.failed) {
        give_up_on(child);
        return;
    }
    child->options.line(child->options.data, child->partial.bytes, child->partial.len);
    buf_clear(&child->partial);
}

static void take_chunk(struct child *child, const char *text, size_t len)
{
    const char *newline;
    while ((newline = memchr(text, '\n', len))) {
        take_line(child, text, (size_t)(newline - text));
        len -= (size_t)(newline - text) + 1;
        text = newline + 1;
    }
    buf_put(&child->partial, text, len);
    if (child->partial.failed) give_up_on(child);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct child *child = handle->data;
    *buf = uv_buf_init(child->chunk, sizeof child->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct child *child = stream->data;
    if (n > 0) take_chunk(child, buf->base, (size_t)n);
    if (n >= 0) return;
    child->at_end = true;
    child->reading = false;
    uv_read_stop(stream);
    settle(child);
}

void child_hold(struct child *child)
{
    child->held = true;
    if (child->reading) uv_read_stop((uv_stream_t *)&child->out);
    child->reading = false;
}

void child_flow(struct child *child)
{
    child->held = false;
    if (!child->reading && !child->at_end)
        child->reading = !uv_read_start((uv_stream_t *)&child->out, on_alloc, on_read);
    settle(child);
}

/* ---- the process ------------------------------------------------------------------- */

static void on_grace_over(uv_timer_t *timer)
{
    struct child *child = timer->data;
    kill(-child->process.pid, SIGKILL);
}

static void on_exit_of(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct child *child = process->data;
    child->exited = true;
    child->end.exit_status = (int)exit_status;
    child->end.signal = term_signal;
    uv_timer_start(&child->grace, on_grace_over, CHILD_LINGER_MS, 0);
    settle(child);
}

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
    uv_pipe_init(loop, &child->out, 0);
    uv_timer_init(loop, &child->grace);
    child->in.data = child->out.data = child->grace.data = child->process.data = child;
    child->write.data = child;
    child->open_handles = 4;
}

static int spawn(struct child *child, uv_loop_t *loop, int log)
{
    char *args[] = { strdup(child->options.program), NULL };
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->in },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&child->out },
        { .flags = UV_INHERIT_FD, .data.fd = log },
    };
    uv_process_options_t options = {
        .file = child->options.program,
        .args = args,
        .cwd = child->options.work_dir,
        .stdio = stdio,
        .stdio_count = 3,
        .exit_cb = on_exit_of,
        .flags = UV_PROCESS_DETACHED,
    };
    int bad = uv_spawn(loop, &child->process, &options);
    free(args[0]);
    return bad;
}

/* A process that never started has no exit to wait for. */
static void on_never_started(uv_handle_t *handle)
{
    struct child *child = handle->data;
    if (--child->open_handles) return;
    buf_release(&child->partial);
    free(child->job);
    free(child);
}

static void forget(struct child *child)
{
    uv_close((uv_handle_t *)&child->process, on_never_started);
    uv_close((uv_handle_t *)&child->in, on_never_started);
    uv_close((uv_handle_t *)&child->out, on_never_started);
    uv_close((uv_handle_t *)&child->grace, on_never_started);
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
    buf_init(&child->partial, CHILD_LINE);
    init_handles(child, loop);
    int bad = spawn(child, loop, log);
    close(log);
    if (bad) {
        forget(child);
        return fail(err, E_IO, "cannot start %s: %s", options->program, uv_strerror(bad));
    }
    send_job(child);
    child_flow(child);
    *out = child;
    return OK;
}
