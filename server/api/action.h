#ifndef SERVER_API_ACTION_H
#define SERVER_API_ACTION_H

#include "server/api/ask.h"

/*
 * POST /{id}/cancel, /pause, /resume: what people wish of a resource's job, then the resource
 * as it is now. Asking for what is so already is fine; what cannot be is a 409. An active job
 * obeys when its trainer has stopped: watch `state`.
 */
struct action {
    const char *prefix, *what;
    const char *ask;    /* "select job_ask_seen(job_id, $2, $3) from search where search_id = $1";
                           $3: the versions of If-Match, if the statement has it */
    const char *select; /* the resource by its number as $1 */
};

/* If-Match as an array of the tags in it, for SQL; NULL when there is none. What cannot be a tag of
 * ours is left out: it matches nothing. */
const char *action_seen(struct request *req);

void action_send(struct request *req, const struct action *action, const char *wish);

#endif
