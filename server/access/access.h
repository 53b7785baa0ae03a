#ifndef SERVER_ACCESS_ACCESS_H
#define SERVER_ACCESS_ACCESS_H

#include "server/app.h"
#include "server/http/http.h"

/*
 * Who may ask, as rows in the database:
 *
 *   tokens.c   /v1/tokens: made (shown once), listed, revoked; kept in memory by struct auth,
 *              read again when PostgreSQL says they changed and every ACCESS_LOOK_S seconds,
 *              so a revoked token is refused within that time at the latest
 *   keys.c     Idempotency-Key on POSTs: the first reply is stored for a day and given again
 *   audit.c    a row per request that may have changed something
 */
enum { ACCESS_LOOK_S = 15 };

extern const struct part access_part;

/* Between http and the handlers of this process. */
extern const struct http_gate access_gate;

/* ---- inside the folder ---- */
struct router;
void tokens_routes(struct router *router);
void tokens_open(struct app *app);
void tokens_close(struct app *app, void (*closed)(void *data), void *data);

bool keys_enter(struct request *req);
bool keys_leave(struct request *req, int status, const char *type, const char *bytes, size_t len);

void audit_ended(struct request *req, int status);

/* ---- retention.c: forgets what is old, without waiting ---- */
void retention_sweep(struct app *app);

#endif
