#include "server/api/api.h"

#include "server/api/hub.h"
#include "server/config.h"

static void api_routes(struct router *router)
{
    uploads_routes(router);
    datasets_routes(router);
    models_routes(router);
    searches_routes(router);
    architectures_routes(router);
    runs_routes(router);
    comparisons_routes(router);
    exports_routes(router);
    evaluations_routes(router);
    artifacts_routes(router);
    curves_routes(router);
    jobs_routes(router);
    events_routes(router);
}

static enum status api_open(struct app *app, struct error *err)
{
    (void)err;
    hub_open(app);
    return OK;
}

static bool api_wanted(const struct config *config) { return config->role_api; }

const struct part api_part = {
    .name = "api",
    .wanted = api_wanted,
    .routes = api_routes,
    .open = api_open,
    .close = hub_close,
};
