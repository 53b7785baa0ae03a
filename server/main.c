#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "search/base/log.h"
#include "server/access/access.h"
#include "server/api/api.h"
#include "server/jobs/runner.h"
#include "server/openapi/openapi.h"
#include "server/service.h"
#include "server/web/web.h"

/* The parts of the service, in the order in which they open. */
static const struct part *const parts[] = { &access_part, &api_part,     &runner_part,
                                            &web_part,    &openapi_part, NULL };

static enum status set_log_level(const char *name, struct error *err)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, names[i])) {
            log_set_level((enum log_level)i);
            return OK;
        }
    return fail(err, E_INPUT, "log-level is \"%.40s\", not debug, info, warn or error", name);
}

int main(int argc, char **argv)
{
    struct config config;
    struct error err = { 0 };
    bool done;
    if (config_read(&config, argc, argv, &done, &err) ||
        (!done && set_log_level(config.log_level, &err))) {
        fprintf(stderr, "lathed: %s\n", err.text);
        config_release(&config);
        return status_exit_code(err.status);
    }
    int status = 0;
    if (!done) {
        signal(SIGPIPE, SIG_IGN);
        config_print(&config, stderr);
        status = service_run(&config, parts, &access_gate);
    }
    config_release(&config);
    return status;
}
