#ifndef SERVER_OPENAPI_OPENAPI_H
#define SERVER_OPENAPI_OPENAPI_H

#include <jansson.h>
#include "search/base/error.h"
#include "server/app.h"

/*
 * GET /v1/openapi.json: what this service takes and gives, as OpenAPI 3.1. Made at the start from
 * the router's table (methods, paths, scopes, kinds of body, Idempotency-Key) and from the files
 * <resource>.json that lie beside the C files that have the routes. A route that no file describes,
 * or a description without a route, ends the start with its name.
 *
 *     {"tag": "uploads", "about": "Files that clients send.", "id": "upl_",
 *      "operations": {
 *         "createThing": {"query": {"dry_run": "bool"}, "takes": "NewThing", "example": {...},
 *                         "replies": {"201": "Thing"}, "problems": [409, 422]},
 *         "listThings": {"page": "Thing", "query": {"state": "JobState"}},
 *         "getThing": {"replies": {"200": "Thing"}}},
 *      "schemas": {"Thing": {"members": {"id": "thing_", "bytes": "count"}}}}
 *
 *   id       what {id} is in the paths of this file
 *   query    the members of the query string, and their values (terms.h)
 *   page     a list: page_size, page_token, NDJSON by Accept, and the reply around its items
 *   takes    the body; example is one that works on a new service after those of the files before
 *   replies  by status: a term, null (no body), or a response object of OpenAPI
 *   alone    true for what asks nobody, so neither fails (500) nor is away (503)
 *   problems beyond what every route of its kind may answer
 *
 * Words for values are in terms.h. Schemas have one name space over all files.
 */
struct router;

extern const struct part openapi_part; /* after all others that have routes */

/* The document; the caller decrefs it. NULL with err filled. */
json_t *openapi_build(const struct router *router, struct error *err);

/* The text of every file, by name, NULL at the end. */
struct openapi_file {
    const char *name, *text;
};
extern const struct openapi_file openapi_files[];

#endif
