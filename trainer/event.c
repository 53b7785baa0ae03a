#include "trainer/event.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "search/base/log.h"
#include "trainer/stop.h"

enum { STOP_WITHIN_S = 15, TRY_AGAIN = 75 };

struct events {
    int fd;
    bool broken, closing;
    int64_t seq, step;
    struct timespec last; /* of the last line, CLOCK_MONOTONIC */
    struct buf line;
    struct emit emit;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t heart;
};

/* ---- writing, with the lock held ------------------------------------------------------ */

static void now_text(char out[40])
{
    struct timespec now;
    struct tm tm;
    char day[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, 40, "%s.%03dZ", day, (int)(now.tv_nsec / 1000000));
}

static void begin_line(struct events *ev, const char *name)
{
    char time[40];
    now_text(time);
    buf_clear(&ev->line);
    emit_init(&ev->emit, &ev->line);
    emit_begin(&ev->emit, '{');
    emit_kv_string(&ev->emit, "event", name);
    emit_kv_int(&ev->emit, "seq", ++ev->seq);
    emit_kv_string(&ev->emit, "time", time);
}

/* Nothing may be checkpointed any more: a removal whose line is cut would never be told. What
 * follows the last checkpoint is done and told again. */
static noreturn void die(int number)
{
    log_error("what we say cannot be written: %s", strerror(number));
    _exit(number == EIO ? EXIT_FAILURE : TRY_AGAIN);
}

static bool is_lost(int number)
{
    return number == ENOSPC || number == EDQUOT || number == EFBIG || number == EIO;
}

static void write_line(struct events *ev)
{
    for (size_t at = 0; at < ev->line.len && !ev->broken;) {
        ssize_t n = write(ev->fd, ev->line.bytes + at, ev->line.len - at);
        if (n > 0) at += (size_t)n;
        if (n >= 0 || errno == EINTR) continue;
        if (is_lost(errno)) die(errno);
        if (errno == EAGAIN) /* whoever gave us the descriptor does not wait on it; we do */
            poll(&(struct pollfd){ .fd = ev->fd, .events = POLLOUT }, 1, -1);
        else
            ev->broken = true;
    }
    if (ev->broken) {
        log_warn("nobody reads our events any more; stopping");
        stop_within(STOP_WITHIN_S);
    }
}

static void end_line(struct events *ev)
{
    emit_end(&ev->emit);
    buf_putc(&ev->line, '\n');
    if (ev->line.failed)
        log_error("an event above %d bytes was dropped", EVENT_MAX_BYTES);
    else if (!ev->broken)
        write_line(ev);
    clock_gettime(CLOCK_MONOTONIC, &ev->last);
}

/* ---- the heart --------------------------------------------------------------------------- */

static void *beat(void *user)
{
    struct events *ev = user;
    pthread_mutex_lock(&ev->lock);
    while (!ev->closing) {
        struct timespec now, due = ev->last;
        due.tv_sec += EVENT_QUIET_S;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > due.tv_sec || (now.tv_sec == due.tv_sec && now.tv_nsec >= due.tv_nsec)) {
            begin_line(ev, "heartbeat");
            emit_kv_int(&ev->emit, "step", ev->step);
            end_line(ev);
        } else {
            pthread_cond_timedwait(&ev->wake, &ev->lock, &due);
        }
    }
    pthread_mutex_unlock(&ev->lock);
    return NULL;
}

struct events *events_open(int fd)
{
    struct events *ev = calloc(1, sizeof *ev);
    pthread_condattr_t attr;
    if (!ev) abort();
    ev->fd = fd;
    buf_init(&ev->line, EVENT_MAX_BYTES);
    clock_gettime(CLOCK_MONOTONIC, &ev->last);
    pthread_mutex_init(&ev->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&ev->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&ev->heart, NULL, beat, ev)) abort();
    return ev;
}

void events_close(struct events *ev)
{
    if (!ev) return;
    pthread_mutex_lock(&ev->lock);
    ev->closing = true;
    pthread_cond_signal(&ev->wake);
    pthread_mutex_unlock(&ev->lock);
    pthread_join(ev->heart, NULL);
    pthread_cond_destroy(&ev->wake);
    pthread_mutex_destroy(&ev->lock);
    buf_release(&ev->line);
    free(ev);
}

enum status events_sync(struct events *ev, struct error *err)
{
    if (fsync(ev->fd) && is_lost(errno)) die(errno); /* a pipe refuses, and needs none */
    pthread_mutex_lock(&ev->lock);
    bool broken = ev->broken;
    pthread_mutex_unlock(&ev->lock);
    return broken ? fail(err, E_CANCELLED, "nobody reads our events any more") : OK;
}

/* ---- for everybody else ------------------------------------------------------------------- */

/* What a batch system calls this attempt, so that people find it there. */
static void tell_external_id(struct emit *e)
{
    static const char *const variables[][2] = { { "SLURM_JOB_ID", "slurm" },
                                                { "PBS_JOBID", "pbs" },
                                                { "LSB_JOBID", "lsf" } };
    char text[128];
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *id = getenv(variables[i][0]);
        if (!id) continue;
        snprintf(text, sizeof text, "%s %.100s", variables[i][1], id);
        emit_kv_string(e, "external_id", text);
        return;
    }
}

struct emit *event_begin(struct events *ev, const char *name)
{
    pthread_mutex_lock(&ev->lock);
    begin_line(ev, name);
    if (!strcmp(name, "start")) tell_external_id(&ev->emit);
    return &ev->emit;
}

void event_end(struct events *ev)
{
    end_line(ev);
    pthread_mutex_unlock(&ev->lock);
}

void events_set_step(struct events *ev, int64_t step)
{
    pthread_mutex_lock(&ev->lock);
    ev->step = step;
    pthread_mutex_unlock(&ev->lock);
}
