#ifndef TRAINER_EVENT_H
#define TRAINER_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include "search/base/emit.h"
#include "search/base/error.h"

/*
 * What a trainer tells the world: one JSON object a line on a descriptor, at most
 * EVENT_MAX_BYTES long, each starting with "event", "seq" (1, 2, ... in this
 * process) and "time" (RFC 3339, UTC).
 *
 *     struct emit *e = event_begin(events, "validation");
 *     emit_kv_int(e, "step", step);
 *     event_end(events);
 *
 * Lines are written whole. A thread of its own says "heartbeat" with the step last
 * told when nothing was written for EVENT_QUIET_S seconds, however long a step
 * takes. When nobody reads any more (EPIPE), stop.h is asked to end the process, which makes no
 * checkpoint then. When a line cannot be written whole the process ends at once, before any
 * checkpoint could be ahead of what was told: with 75 when there is no room, as a failure when
 * the disk is broken.
 *
 * What happens again after a resume is sent again: readers tell removals apart by
 * ordinal, the rest by step.
 */
enum { EVENT_MAX_BYTES = 64 * 1024, EVENT_QUIET_S = 5 };

struct events;

struct events *events_open(int fd);
void events_close(struct events *events); /* NULL is fine */

/* Holds a lock until event_end: nothing slow in between. */
struct emit *event_begin(struct events *events, const char *name);
void event_end(struct events *events);

/* What was said is on disk, where the descriptor is a file: before a checkpoint, so that a
 * machine that loses power never has a checkpoint ahead of its story. E_CANCELLED when nobody reads
 * any more: what was said last may be lost, and no checkpoint may be ahead of that either. */
enum status events_sync(struct events *events, struct error *err);

/* What a heartbeat says. */
void events_set_step(struct events *events, int64_t step);

#endif
