#ifndef SERVER_JOBS_RUNNER_H
#define SERVER_JOBS_RUNNER_H

#include "server/app.h"

/*
 * The part of lathed that takes jobs from the queue and works on them, as many at a time
 * as it has slots. It looks for work when PostgreSQL says there may be some (channel
 * lathe_job), when a slot comes free, and once a second in any case.
 *
 * A runner is known by its host and its data directory, which it locks: two runners never
 * share one. (They do share the folder of jobs, --files-dir, when they share a database: a job may
 * need what another one made. A job's trainer locks the folder it works in.) So one that starts knows that whatever is leased to its name was lost by its
 * last life, and gives it back to the queue before it claims anything (sql: worker_start).
 *
 * Draining stops its trainers (SIGTERM: they write a checkpoint and leave); their jobs go
 * back to the queue.
 */
extern const struct part runner_part;

/* Jobs being worked on here, and the most there may be; 0 and 0 without a runner. */
void runner_load(const struct app *app, int *busy, int *slots);

#endif
