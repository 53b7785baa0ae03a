#include "server/jobs/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "search/base/buf.h"

/* POLL_MS: for file systems that do not tell of changes made elsewhere. */
enum { POLL_MS = 250, CHUNKS_PER_TURN = 4, HOLE = 64 * 1024, PATH_ROOM = 1100 };

struct journal {
    struct journal_options options;
    char path[PATH_ROOM];
    int fd;
    int64_t read_to;   /* of the file */
    int64_t forgotten; /* blocks before it are given back */
    bool held, broken, closed;
    struct buf partial; /* a line whose newline has not come yet */
    uv_fs_event_t changed;
    uv_timer_t timer;
    int open_handles;
    char chunk[JOURNAL_CHUNK];
};

/* ---- lines ------------------------------------------------------------------------- */

static void put(struct journal *j, const char *text, size_t len)
{
    buf_put(&j->partial, text, len);
    if (!j->partial.failed || j->broken) return;
    j->broken = true;
    j->options.broken(j->options.data);
}

static void take_chunk(struct journal *j, const char *text, size_t len)
{
    const char *newline;
    while (!j->broken && (newline = memchr(text, '\n', len))) {
        size_t n = (size_t)(newline - text);
        put(j, text, n);
        j->read_to += (int64_t)n + 1;
        if (j->broken || j->closed) return;
        if (j->partial.len)
            j->options.line(j->options.data, j->partial.bytes, j->partial.len, j->read_to);
        buf_clear(&j->partial);
        len -= n + 1;
        text = newline + 1;
    }
    if (!j->broken) put(j, text, len);
    j->read_to += (int64_t)len;
}

/* A piece more. False at the end of what there is. */
static bool read_chunk(struct journal *j)
{
    ssize_t n = pread(j->fd, j->chunk, sizeof j->chunk, j->read_to);
    if (n > 0) take_chunk(j, j->chunk, (size_t)n);
    return n > 0 || (n < 0 && errno == EINTR);
}

static void on_timer(uv_timer_t *timer);

static void read_on(struct journal *j)
{
    bool more = !j->broken;
    for (int i = 0; i < CHUNKS_PER_TURN && more && !j->held && !j->broken && !j->closed; i++)
        more = read_chunk(j);
    /* 1, not 0: libuv runs a timer of 0 ms that is set in a timer's callback without end. */
    unsigned wait = more && !j->held && !j->broken ? 1 : POLL_MS;
    if (!j->closed) uv_timer_start(&j->timer, on_timer, wait, POLL_MS);
}

static void on_timer(uv_timer_t *timer) { read_on(timer->data); }

static void on_changed(uv_fs_event_t *handle, const char *name, int events, int status)
{
    (void)name, (void)events, (void)status;
    read_on(handle->data);
}

void journal_hold(struct journal *j) { j->held = true; }

void journal_flow(struct journal *j)
{
    if (!j->held) return;
    j->held = false;
    uv_timer_start(&j->timer, on_timer, 0, POLL_MS);
}

bool journal_at_end(struct journal *j) { return j->broken || !read_chunk(j); }

void journal_forget(struct journal *j, int64_t before)
{
    int64_t whole = before / HOLE * HOLE;
    if (whole <= j->forgotten) return;
    /* Where holes cannot be punched the file simply stays large. */
    (void)!fallocate(j->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, j->forgotten,
                     whole - j->forgotten);
    j->forgotten = whole;
}

/* ---- open and close ---------------------------------------------------------------- */

/* A trainer that died in the middle of a line must not spoil the next one's first. */
static bool end_last_line(int fd)
{
    struct stat st;
    char last = '\n';
    if (!fstat(fd, &st) && st.st_size && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n')
        return write(fd, "\n", 1) == 1;
    return true;
}

enum status journal_open(struct journal **out, uv_loop_t *loop,
                         const struct journal_options *options, struct error *err)
{
    struct stat st;
    int fd = open(options->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st) || !end_last_line(fd)) {
        fail(err, errno == ENOSPC || errno == EDQUOT ? E_BUSY : E_IO, "cannot work on %s: %s", options->path,
             strerror(errno));
        if (fd >= 0) close(fd);
        return err->status;
    }
    struct journal *j = calloc(1, sizeof *j);
    if (!j) abort();
    j->options = *options;
    snprintf(j->path, sizeof j->path, "%s", options->path);
    j->fd = fd;
    j->read_to = options->from <= st.st_size ? options->from : 0;
    buf_init(&j->partial, JOURNAL_LINE);
    uv_timer_init(loop, &j->timer);
    uv_fs_event_init(loop, &j->changed);
    j->timer.data = j->changed.data = j;
    j->open_handles = 2;
    uv_fs_event_start(&j->changed, on_changed, j->path, 0);
    uv_timer_start(&j->timer, on_timer, 0, POLL_MS);
    *out = j;
    return OK;
}

int journal_writer(const struct journal *j, struct error *err)
{
    int fd = open(j->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        fail(err, errno == ENOSPC ? E_BUSY : E_IO, "cannot open %s: %s", j->path, strerror(errno));
    return fd;
}

static void on_closed(uv_handle_t *handle)
{
    struct journal *j = handle->data;
    if (--j->open_handles) return;
    close(j->fd);
    buf_release(&j->partial);
    free(j);
}

void journal_close(struct journal *j)
{
    j->closed = true;
    uv_close((uv_handle_t *)&j->timer, on_closed);
    uv_close((uv_handle_t *)&j->changed, on_closed);
}
