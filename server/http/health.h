#ifndef SERVER_HTTP_HEALTH_H
#define SERVER_HTTP_HEALTH_H

struct router;

/*
 * GET /livez: 200 while the loop turns. It never asks the database: restarting us would
 * not mend it. GET /readyz: 200 when a request would be served (the database answers, no
 * drain), else 503; ?verbose=1 lists the checks. GET /healthz is /readyz by its old name.
 * None needs a token, none shows a secret.
 */
void health_routes(struct router *router);

#endif
