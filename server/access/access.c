#include "server/access/access.h"

#include "server/config.h"

static bool access_wanted(const struct config *config) { return config->role_api; }

static enum status access_open(struct app *app, struct error *err)
{
    (void)err;
    tokens_open(app);
    return OK;
}

static void (*part_closed)(struct app *app);

static void on_closed(void *data) { part_closed(data); }

static void access_close(struct app *app, void (*closed)(struct app *app))
{
    part_closed = closed;
    tokens_close(app, on_closed, app);
}

const struct part access_part = {
    .name = "access",
    .wanted = access_wanted,
    .routes = tokens_routes,
    .open = access_open,
    .close = access_close,
};

const struct http_gate access_gate = { .enter = keys_enter,
                                       .leave = keys_leave,
                                       .ended = audit_ended };
