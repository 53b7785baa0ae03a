#ifndef SERVER_API_LISTING_H
#define SERVER_API_LISTING_H

#include "server/api/page.h"

/*
 * A list with filters and an order, declared:
 *
 *     static struct listing searches = {
 *         .columns = COLUMNS, .from = "search s join job j using (job_id)", .key = "s.search_id",
 *         .filters = { { "state", "j.state = @::job_state", .words = job_states },
 *                      { "dataset", "s.dataset_id = @::bigint", .prefix = "data" } } };
 *     static void search_list(struct request *req) { listing_send(req, &searches); }
 *
 * Query members: those of page.h, the filters, and order_by, which is id (the oldest first) or -id
 * (the newest first, the default unless `oldest_first`). Each combination of filters, and each state of
 * a job, is a statement of its own, put together once, so that PostgreSQL plans for just what was asked
 * and plans once: nearly all jobs have one state, and hardly any another.
 *
 * A value is an id of kind `prefix`, one of `words`, or any text of at most LISTING_TEXT bytes.
 * `where` holds always.
 */
enum { LISTING_FILTERS = 6, LISTING_TEXT = 200 };

struct listing_filter {
    const char *name, *sql; /* @: its value */
    const char *prefix;
    const char *const *words;
};

struct listing {
    const char *columns, *from, *key, *where;
    bool oldest_first;
    struct listing_filter filters[LISTING_FILTERS + 1]; /* the last has no name */

    struct listing_made *made; /* private */
};

extern const char *const job_states[];

void listing_send(struct request *req, struct listing *listing);

#endif
