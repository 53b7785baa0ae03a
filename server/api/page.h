#ifndef SERVER_API_PAGE_H
#define SERVER_API_PAGE_H

#include "server/api/ask.h"

/*
 * Lists by keyset: {"items": [...], "next_page_token": "..." or null}. A page begins after
 * the place its token names, so it costs the same however deep it is, and rows that come
 * or go meanwhile never shift it.
 *
 * The statement selects column _key first, the place of the row as text, takes
 * the place to begin after as $1 (the list's `first` on the first page) and the most rows
 * as $2, and orders by that place:
 *
 *     select s.search_id as _key, ... where s.search_id < $1 order by s.search_id desc limit $2
 *
 * What else it needs follows as $3 and on. Lists with filters are declared: listing.h.
 *
 * page_size is 1 to PAGE_MAX, PAGE_DEFAULT when not said. Tokens are opaque to clients.
 *
 * PostgreSQL takes a limit that it does not know for a tenth of the table, plans for that, and again
 * at every call; so lists over many rows stand inside a second limit that it knows, page_most.
 */
enum { PAGE_DEFAULT = 50, PAGE_MAX = 1000 };

#define PAGE_NEWEST "9223372036854775807" /* `first` of lists that begin with the newest */

/* Rows, as a number in the statement itself: at least $2, and one of two numbers. */
int page_most(struct request *req);

/* An ask for a page: $1 and $2 are set; add more as $3 and on, then page_send. */
struct ask *page_new(struct request *req, const char *sql, const char *first);

/* The {id} of the path as parameter: a list that belongs to one thing. When it is empty, `exists`
 * (a row for the number $1, or none) tells an empty list from a 404. */
void page_within(struct ask *ask, const char *prefix, const char *what, const char *exists);

/* The reply: the first n rows, and the token of the next page or NULL. To a client whose Accept
 * prefers application/x-ndjson: one object a line, the token in the header Next-Page-Token. */
void page_reply(struct ask *ask, const PGresult *rows, int n, const char *next);

/* Refuses query members that no filter asked for, then sends. */
void page_send(struct ask *ask);

#endif
