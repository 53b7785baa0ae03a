#ifndef SERVER_JOBS_MACHINE_H
#define SERVER_JOBS_MACHINE_H

#include <stdint.h>
#include "search/base/buf.h"
#include "server/config.h"

/*
 * What this machine has for jobs, as a runner tells the queue: backends that its lathe-train can
 * open, graphics processors, memory. The settings come first; what they leave open is looked at
 * here: `lathe-train backends` is asked once, for at most MACHINE_PATIENCE_MS (its answer is
 * {"backends": ["cpu", "ref"]}; none is taken as those two).
 */
enum { MACHINE_PATIENCE_MS = 20000 };

/* Writes {"backends": [...], "gpus": n, "memory_bytes": n}. */
void machine_describe(const struct config *config, struct buf *out);

#endif
