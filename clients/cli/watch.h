#ifndef CLIENTS_CLI_WATCH_H
#define CLIENTS_CLI_WATCH_H

#include "clients/cli/command.h"

/*
 * Follows a resource until it is over: a block with a bar on a terminal, a line
 * now and then elsewhere, one JSON object an event with --json (the last one has
 * the event "final" and the resource). Survives restarts of the service. Exit
 * code 0 when it succeeded, 1 when it failed or was cancelled, 130 after ^C, which
 * ends the watching only.
 */
int watch_resource(struct context *ctx, const char *collection, const char *id);

/*
 * POSTs a body (taken). With --wait then follows what was made until it is over, as above, else
 * shows it with a hint what comes next ("dataset get"). `made`, if not NULL, gets its id, "" when
 * nothing was made.
 */
enum { WATCH_MAX_ID = 64 };
int watch_created(struct context *ctx, const char *collection, const char *hint, json_t *body,
                  const struct show *card, char *made);

#define WATCH_OPTS                                                                                 \
    {                                                                                              \
        "every", 0, "SECONDS", "pause between lines when not on a terminal (default 5)"            \
    }

#endif
