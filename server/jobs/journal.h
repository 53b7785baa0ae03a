#ifndef SERVER_JOBS_JOURNAL_H
#define SERVER_JOBS_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "search/base/error.h"

/*
 * What trainers of one job said: a file of lines in its folder that each of them appends to
 * as its standard output, and that we read behind them. A pipe would lose what it holds when
 * lathed is killed, and with it removals that the trainer's checkpoint has done already. How
 * far the lines are stored is a number in the job's row, written with them; whoever works
 * on the job next reads on from there.
 *
 *     SAID ─────────────────────────────────────────────► trainer appends
 *       stored (forgotten) │ read, not stored │ not read
 *
 * Disk blocks of what is stored are given back to the file system (where it can punch holes),
 * so the file's size grows but its space does not.
 *
 * Promises:
 *   - `line` gets every whole line in order, without its newline, NUL-terminated, with the
 *     place after it; empty lines are skipped. Never from inside journal_open;
 *   - a line above JOURNAL_LINE bytes is reported once through `broken`; nothing follows it;
 *   - journal_hold stops reading until journal_flow; at most JOURNAL_CHUNK bytes of
 *     lines, those already read, follow a hold.
 */
enum { JOURNAL_LINE = 64 * 1024, JOURNAL_CHUNK = 64 * 1024 };

struct journal;

struct journal_options {
    const char *path;
    int64_t from; /* where to read on; beyond the end (a folder made anew): from the start */
    void (*line)(void *data, const char *text, size_t len, int64_t end);
    void (*broken)(void *data);
    void *data;
};

/* Makes the file when missing, and ends a line that was cut. E_BUSY: no room for that. */
enum status journal_open(struct journal **out, uv_loop_t *loop,
                         const struct journal_options *options, struct error *err);

/* A descriptor that appends, for a child to inherit; the caller closes it. */
int journal_writer(const struct journal *journal, struct error *err);

void journal_hold(struct journal *journal);
void journal_flow(struct journal *journal);

/* Has all been read? What follows the last newline does not count once `ended`, since
 * nobody will complete it. Reads a piece more otherwise. */
bool journal_at_end(struct journal *journal);

/* Everything before this place is stored. */
void journal_forget(struct journal *journal, int64_t before);

/* No callback after it; memory goes when the loop has let go of the handles. */
void journal_close(struct journal *journal);

#endif
