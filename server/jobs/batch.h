#ifndef SERVER_JOBS_BATCH_H
#define SERVER_JOBS_BATCH_H

#include <stdbool.h>
#include <stdint.h>
#include "search/base/buf.h"
#include "server/app.h"

/*
 * Lines of a journal on their way to PostgreSQL: those in hand, which are the same until they are
 * stored however often they are sent, and those that wait behind them.
 *
 *     stored │ in hand ── flying_to │ waiting ── waiting_to │ not read
 */
struct batch {
    struct buf waiting, flying; /* lines joined by commas */
    struct buf sent;            /* those in hand as a JSON array */
    int64_t waiting_to, flying_to;
    char place[24]; /* flying_to as text */
};

/* `most`: bytes that may wait; whoever adds sees to it. `from`: all before it is stored. */
void batch_init(struct batch *batch, size_t most, int64_t from);
void batch_release(struct batch *batch);

/* One more line waits, without folders of the server; or one is passed over. `end`: the place
 * after it. */
void batch_add(struct batch *batch, const struct app *app, const char *text, size_t len,
               int64_t end);
void batch_pass(struct batch *batch, int64_t end);

/* Takes what waits in hand, when nothing is. A JSON array of what is in hand, maybe of nothing; it
 * stays until the next call. `place` says up to where. */
const char *batch_take(struct batch *batch);

/* What was in hand is stored. */
void batch_stored(struct batch *batch);

/* Nobody wants them any more. */
void batch_drop(struct batch *batch);

/* Some lines are in hand or wait. */
bool batch_has_lines(const struct batch *batch);

/* Some were read, maybe passed over, behind what is in hand. */
bool batch_is_behind(const struct batch *batch);

#endif
