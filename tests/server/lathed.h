#ifndef TESTS_SERVER_LATHED_H
#define TESTS_SERVER_LATHED_H

#include <stdbool.h>
#include <sys/types.h>
#include "tests/server/wire.h"

/*
 * The program lathed as a process of the test, with a data directory of its own.
 */
extern struct wire lathed_wire; /* only port and token are set: ask it with wire_ask */
extern char lathed_dir[64], lathed_errors[128]; /* data directory; file of standard error */

/* Makes the directory; skips the test without PostgreSQL. HOME points there, too. */
void lathed_init(void);
void lathed_remove(void);

/* Starts it with these flags; its standard output is *out. */
pid_t lathed_start(int *out, const char *const *flags);

/* Starts it on lathed_dir with role api and waits for the line that says it is ready. */
pid_t lathed_up(void);
bool lathed_is_ready(void);

/* SIGTERM, and exit status 0. */
void lathed_down(pid_t pid);

/* Exit status, 1000 + signal, or -1 (and killed) when it takes longer (times LATHE_PATIENCE). */
int lathed_exit(pid_t pid, int at_most_s);

/* A file below lathed_dir; a file's text. Both live until the next call. */
const char *lathed_path(const char *name);
char *lathed_read(const char *path);

#endif
