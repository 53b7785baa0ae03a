#ifndef SERVER_JOBS_CHILD_H
#define SERVER_JOBS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>
#include "search/base/error.h"

/*
 * One lathe-train process. It is given a job on standard input, which is then
 * closed; its standard output goes to a descriptor of the caller's and its standard error is
 * appended to a file. It leads a process group of its own, so that what is typed at our
 * terminal does not reach it and SIGKILL reaches all it started.
 *
 *   RUNNING ──► STOPPING (SIGTERM sent) ──► KILLED (SIGKILL sent)
 *      └────────────┴──────────────┴──► exited ──► gone
 *
 * Promise: `exited` is called exactly once if child_start returned OK, never from inside a
 * call of ours; after it returns the child is gone.
 */
enum { CHILD_GRACE_MS = 20000 };

struct child;

struct child_end {
    bool stopped;    /* we asked it to */
    bool broken;     /* a line was too long */
    int exit_status; /* when it exited by itself */
    int signal;      /* else the signal that ended it */
};

struct child_options {
    char *const *args;    /* a program, found like a shell does, and its arguments; ends with NULL */
    const char *work_dir; /* existing; the process starts in it */
    const char *log;      /* absolute path of the file for its standard error */
    const char *job;      /* text for its standard input; copied */
    size_t n_job;
    int output; /* descriptor for its standard output; stays the caller's */
    void (*exited)(void *data, const struct child_end *end);
    void *data;
};

enum status child_start(struct child **out, uv_loop_t *loop, const struct child_options *options,
                        struct error *err);

/* SIGTERM now, SIGKILL after CHILD_GRACE_MS. Asking again changes nothing. */
void child_stop(struct child *child);

/* SIGKILL now. */
void child_kill(struct child *child);

int child_pid(const struct child *child);

#endif
