#ifndef SERVER_JOBS_CHILD_H
#define SERVER_JOBS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>
#include "search/base/error.h"

/*
 * One lathe-train process. It is given a job on standard input, which is then
 * closed; it leads a process group of its own, so that what is typed at our terminal does
 * not reach it and SIGKILL reaches all it started; what it prints on standard output arrives as
 * lines; its standard error is appended to a file.
 *
 *   RUNNING ──► STOPPING (SIGTERM sent) ──► KILLED (SIGKILL sent)
 *      └────────────┴──────────────┴──► exited and standard output at its end ──► gone
 *
 * A descendant that keeps standard output open after the process has exited is killed
 * after CHILD_LINGER_MS.
 *
 * Promises:
 *   - `line` gets every whole line in order, without its newline, NUL-terminated and
 *     at most CHILD_LINE bytes; a longer one ends the process (end.broken says so);
 *     text after the last newline is dropped;
 *   - child_hold stops reading, so a process that writes faster than we store waits on
 *     its pipe; child_flow goes on. At most CHILD_CHUNK bytes of lines, those already
 *     read, follow a hold;
 *   - `exited` is called exactly once if child_start returned OK, after the last line,
 *     never from inside a call of ours; after it returns the child is gone.
 */
enum {
    CHILD_LINE = 64 * 1024,
    CHILD_CHUNK = 64 * 1024,
    CHILD_GRACE_MS = 20000,
    CHILD_LINGER_MS = 1000
};

struct child;

struct child_end {
    bool stopped;    /* we asked it to */
    bool broken;     /* a line was too long */
    int exit_status; /* when it exited by itself */
    int signal;      /* else the signal that ended it */
};

struct child_options {
    const char *program;  /* absolute path */
    const char *work_dir; /* existing; the process starts in it */
    const char *log;      /* absolute path of the file for its standard error */
    const char *job;      /* text for its standard input; copied */
    size_t n_job;
    void (*line)(void *data, const char *text, size_t len);
    void (*exited)(void *data, const struct child_end *end);
    void *data;
};

enum status child_start(struct child **out, uv_loop_t *loop, const struct child_options *options,
                        struct error *err);

void child_hold(struct child *child);
void child_flow(struct child *child);

/* SIGTERM now, SIGKILL after CHILD_GRACE_MS. Asking again changes nothing. */
void child_stop(struct child *child);

/* SIGKILL now. */
void child_kill(struct child *child);

int child_pid(const struct child *child);

#endif
