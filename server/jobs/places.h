#ifndef SERVER_JOBS_PLACES_H
#define SERVER_JOBS_PLACES_H

#include "search/base/buf.h"
#include "server/app.h"

/*
 * Where the server keeps jobs and uploads is nothing for clients. What a trainer says about files
 * there reaches them by name alone:
 *
 *     cannot open /srv/lathe/jobs/job_3/result/a: ...   ->   cannot open job_3/result/a: ...
 *     /srv/lathe/uploads/9f86d0...: is no JSON          ->   9f86d0...: is no JSON
 *
 * An upload's name is its sha256, which GET /v1/uploads?sha256= finds.
 */

/* Appends the text without these folders. */
void places_put(struct buf *out, const struct app *app, const char *text, size_t len);

/* The same in place. */
void places_hide(const struct app *app, char *text);

#endif
