#ifndef SERVER_API_ASK_H
#define SERVER_API_ASK_H

#include <stdint.h>
#include "server/http/request.h"

/*
 * One statement on behalf of a request, and what its rows become. Lives in the request's
 * memory.
 *
 *     struct ask *ask = ask_new(req, select_search, ask_one);
 *     ask_id(ask, "srch", "search", request_param(req, "id"));
 *     ask_send(ask);
 *
 * `got` is called when the statement succeeded; an error is answered for it. The first
 * failure of ask_id or ask_fail wins and is the reply; then nothing is sent.
 */
enum { ASK_PARAMS = 12 };

struct ask {
    struct request *req;
    struct pg_query query;
    const char *params[ASK_PARAMS];
    void (*got)(struct ask *ask, const PGresult *rows);
    void *data;
    const char *what, *id; /* what a 404 says is missing */
    struct error err;
    bool missing;
    int status; /* of ask_one's reply; 200 unless set */
};

struct ask *ask_new(struct request *req, const char *sql,
                    void (*got)(struct ask *ask, const PGresult *rows));

/* Parameters, in the order $1, $2... Text is not copied; NULL is null. */
void ask_text(struct ask *ask, const char *value);
void ask_int(struct ask *ask, int64_t value);
void ask_double(struct ask *ask, double value);

/* The number in "srch_3" as parameter; anything else makes the reply a 404. Also sets what
 * ask_one says when there is no row. */
void ask_id(struct ask *ask, const char *prefix, const char *what, const char *id);

/* A query member that holds such an id, or null when absent; a wrong one is a 400. */
void ask_filter_id(struct ask *ask, const char *prefix, const char *name);

void ask_send(struct ask *ask);
void ask_send_slow(struct ask *ask); /* to app->slow: it may take its time */

/* The first row as an object, or 404. Column _etag, if there is one, becomes the ETag: a weak one,
 * for it names what people decide by (the state) and stays the same while numbers move. */
void ask_one(struct ask *ask, const PGresult *rows);

/* "srch_3" -> "3", or NULL. */
const char *id_number(const char *id, const char *prefix);

#endif
