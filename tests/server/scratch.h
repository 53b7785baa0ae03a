#ifndef TESTS_SERVER_SCRATCH_H
#define TESTS_SERVER_SCRATCH_H

#include <uv.h>
#include "server/pg/embedded_pg.h"
#include "server/pg/pg_pool.h"

/*
 * A data directory of its own below /tmp with a private PostgreSQL, for one test
 * program. Skips the test when this machine has no PostgreSQL server.
 */
struct scratch {
    char dir[64];
    uv_loop_t loop;
    struct embedded_pg *pg;
};

void scratch_open(struct scratch *s);

/* Stops the server, checks that the loop has nothing left, removes the directory. */
void scratch_close(struct scratch *s);

/* Runs the loop until *flag is at least `want`; aborts after 20 s. */
void scratch_wait(struct scratch *s, const int *flag, int want);

/* Runs the loop for a while. */
void scratch_run(struct scratch *s, unsigned ms);

/* One statement on a connection of its own, waiting; returns its first cell ("" without one). */
const char *scratch_ask(struct scratch *s, const char *sql);

#endif
