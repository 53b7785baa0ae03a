#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "server/app.h"
#include "server/config.h"

/*
 * The life of lathed, from its settings to its end:
 *
 *   open    data directory, private PostgreSQL or the one given, migrations, pools, parts,
 *           token, HTTP; prints one line with the address and where the token is
 *   run     until SIGTERM or SIGINT (a second one ends the program at once)
 *   drain   /readyz says no, no new connections, parts stop taking up work, requests in
 *           flight are answered, at most config->drain_s
 *   close   parts, HTTP, pools, PostgreSQL, in this order
 *
 * Starting is recovering: nothing here asks how the last run ended.
 */
struct part;
struct http_gate;

/* `parts` ends with NULL; `gate` stands before every handler (http.h). Returns the exit status of
 * the program. */
int service_run(const struct config *config, const struct part *const *parts,
                const struct http_gate *gate);

#endif
