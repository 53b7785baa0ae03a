#ifndef SERVER_JOBS_ATTEMPT_H
#define SERVER_JOBS_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>
#include "server/app.h"

/*
 * One claimed job on this machine: its lathe-train process, the journal of what it says, and
 * the lease.
 *
 *   WORKING ──► ENDED ──► FINISHING ──► OVER
 *      │          │           │
 *      └──────────┴───────────┴──► LOST ──► OVER
 *
 *   WORKING    the process runs; its lines go to job_ingest in batches, one batch at a
 *              time and in order, which also renews the lease; without lines an empty
 *              batch goes every ATTEMPT_BEAT_MS
 *   ENDED      the process is gone; its last lines are still being read and stored
 *   FINISHING  job_end is told how it ended
 *   LOST       the lease is somebody else's, or we gave up: the process is stopped, nothing
 *              is stored
 *   OVER       nothing left; `over` is called
 *
 * Lines that an attempt before this one left unstored in the journal are stored first, so
 * nothing that a trainer said is lost when lathed or PostgreSQL is killed. While PostgreSQL is
 * away or out of room the batch in hand, or the end, is sent again until it is stored, which is harmless
 * (sql/0003), after ATTEMPT_RETRY_MS and then twice as long each time up to ATTEMPT_BEAT_MS; when
 * ATTEMPT_QUEUE bytes wait behind it we stop reading, so memory stays bounded.
 *
 * The process ends early when people want the job paused or cancelled (SIGTERM, then
 * SIGKILL), when it says nothing for ATTEMPT_SILENCE_MS, or when PostgreSQL refuses what it
 * says; the last two are its failure. Where a launch template hands it to a batch system its silence
 * counts from its first word: it may wait there for hours. What the launcher then writes to
 * standard error is the job's reason while it is `starting` (looked at every ATTEMPT_BEAT_MS).
 */
enum {
    ATTEMPT_BEAT_MS = 5000,
    ATTEMPT_LEASE_S = 30,
    ATTEMPT_RETRY_MS = 300,
    ATTEMPT_SILENCE_MS = 120000,
    ATTEMPT_QUEUE = 1024 * 1024,
};

struct attempt;

struct attempt_options {
    struct app *app;
    int64_t worker_id, job_id;
    int attempt;          /* the fencing token */
    int64_t said;         /* bytes of the journal that are stored */
    const char *subject;  /* "srch_3"; for the log */
    const char *document; /* the job as lathe-train reads it */
    void (*over)(struct attempt *attempt, void *data);
    void *data;
};

/* Starts at once. A process that cannot be started is an attempt that failed, and told
 * through `over` like any other. */
struct attempt *attempt_new(const struct attempt_options *options);

/* Looks now whether people want something of the job. */
void attempt_look(struct attempt *attempt);

/* Stops the process; the job goes back to the queue. */
void attempt_stop(struct attempt *attempt);

/* Kills the process and stores nothing more: for a shutdown that cannot wait. The lease
 * runs out, or is taken back when this worker starts again. */
void attempt_abandon(struct attempt *attempt);

#endif
