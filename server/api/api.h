#ifndef SERVER_API_API_H
#define SERVER_API_API_H

#include "server/app.h"

/*
 * The resources under /v1. Each file of this folder that has routes is one resource:
 * what a body may hold, the SQL behind it, and how rows become JSON. Handlers own
 * nothing beyond their request.
 *
 * A body that is not JSON is 400; a body that is JSON but asks for what cannot be is 422 and
 * names the member; a thing that exists but is not ready or not in the right state is 409.
 */
extern const struct part api_part;

struct router;

void uploads_routes(struct router *router);
void datasets_routes(struct router *router);
void models_routes(struct router *router);
void searches_routes(struct router *router);
void architectures_routes(struct router *router);
void runs_routes(struct router *router);
void comparisons_routes(struct router *router);
void exports_routes(struct router *router);
void evaluations_routes(struct router *router);
void artifacts_routes(struct router *router);
void curves_routes(struct router *router);
void jobs_routes(struct router *router);
void events_routes(struct router *router);

#endif
