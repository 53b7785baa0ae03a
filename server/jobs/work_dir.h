#ifndef SERVER_JOBS_WORK_DIR_H
#define SERVER_JOBS_WORK_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include "search/base/error.h"

/*
 * The folder of one job, below the folder of jobs. The trainer keeps its checkpoints,
 * snapshots and results there and locks it, so that two of them never work in it at
 * once; we leave it the job as it was last started (job.json, for people), its process
 * (trainer.pid), what it said (WORK_DIR_JOURNAL) and its standard error (WORK_DIR_LOG).
 */
#define WORK_DIR_LOG     "trainer.log"
#define WORK_DIR_JOURNAL "events.ndjson"

/* Hardly anything can be written there: then a trainer cannot even say what is wrong. */
bool work_dir_is_full(const char *work_dir);

/* Makes the folder when missing and writes job.json by rename. E_BUSY: the disk is full. */
enum status work_dir_make(const char *work_dir, const char *document, struct error *err);

/* Remembers the trainer that works here now. */
void work_dir_claim(const char *work_dir, int pid);

/* Tells a trainer that a killed lathed left behind here, on this machine, to stop (SIGTERM). The next one waits
 * for its lock. */
void work_dir_stop_orphan(const char *work_dir);

#endif
