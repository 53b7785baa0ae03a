#ifndef SERVER_API_DELETION_H
#define SERVER_API_DELETION_H

#include "server/http/request.h"

/*
 * DELETE of what a job made: refused while the job is not over (409), when it is no longer what
 * If-Match says (412), or while something else needs it (409, naming what). The rows go first;
 * then, away from the loop, the job's folder, which holds nothing of anybody else's. A crash in
 * between leaves a folder that nobody names. 204, and 404 from then on.
 */
struct deletion {
    const char *prefix, *what;
    const char *sql; /* "select model_delete($1, $2::text[])": by number and what was seen, the
                        number of the job that made it, or null when there is no such thing */
};

void deletion_send(struct request *req, const struct deletion *deletion);

#endif
