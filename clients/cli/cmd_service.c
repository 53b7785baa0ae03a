#include <string.h>
#include "clients/cli/command.h"
#include "clients/cli/look.h"
#include "clients/cli/print.h"
#include "clients/cli/stream.h"

/* status, jobs, events: the service itself. */

static const struct show job_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "kind", "kind", SHOW_TEXT },
    { "for", "resource", SHOW_TEXT },
    { "state", "state", SHOW_TEXT },
    { "attempt", "attempt", SHOW_WHOLE },
    { "worker", "worker", SHOW_TEXT },
    { "created", "created_at", SHOW_TIME },
    { "reason", "reason", SHOW_TEXT },
    { NULL, NULL, 0 },
};

static int job_list(struct context *ctx)
{
    static const char *const filters[] = { "state", "kind", NULL };
    return command_list(ctx, "jobs", filters, job_columns);
}

static int job_get(struct context *ctx) { return command_get(ctx, "jobs", job_columns); }
static int job_cancel(struct context *ctx) { return command_wish(ctx, "jobs", job_columns); }

/* How many jobs are in this state, as far as one page tells. */
static enum status count_jobs(struct context *ctx, const char *state, size_t *n)
{
    char path[64];
    json_t *items = NULL;
    snprintf(path, sizeof path, "/v1/jobs?state=%s", state);
    TRY(command_pages(ctx, path, 1000, &items));
    *n = json_array_size(items);
    json_decref(items);
    return OK;
}

static int status_show(struct context *ctx)
{
    const char *server = ctx->http.where.server;
    size_t n_running = 0, n_queued = 0;
    if (count_jobs(ctx, "running", &n_running) || count_jobs(ctx, "queued", &n_queued))
        return command_fail(ctx);
    json_t *status = json_pack("{sssIsI}", "server", server, "running", (json_int_t)n_running,
                               "queued", (json_int_t)n_queued);
    if (!command_print_json(ctx, status))
        printf("lathed at %s is ready: jobs running %zu, queued %zu\n", server, n_running,
               n_queued);
    json_decref(status);
    return 0;
}

static void on_event(void *context, const struct sse_event *event)
{
    struct context *ctx = context;
    json_t *data = json_loads(event->data, JSON_DECODE_ANY, NULL);
    if (ctx->json && data) {
        json_t *line = json_pack("{sssssO}", "id", event->id, "event", event->name, "data", data);
        print_json_line(line, stdout);
        json_decref(line);
    } else {
        printf("%s %s %s\n", event->id, event->name, event->data);
    }
    fflush(stdout);
    json_decref(data);
}

static int event_watch(struct context *ctx)
{
    struct buf path;
    struct stream stream;
    buf_init(&path, HTTP_MAX_PATH);
    buf_puts(&path, "/v1/events");
    http_query(&path, "resource", args_get(ctx->args, "resource"));
    enum status status = stream_open(&stream, &ctx->http.where, path.bytes,
                                     args_get(ctx->args, "after"), on_event, ctx, &ctx->err);
    while (!status && !ferror(stdout)) status = stream_wait(&stream, 1000, &ctx->err);
    stream_close(&stream);
    buf_release(&path);
    return status ? command_fail(ctx) : 0;
}

static const struct opt job_opts[] = {
    { "state", 0, "STATE", "only those queued, running, succeeded, failed, cancelled..." },
    { "kind", 0, "KIND",
      "only those of a kind: dataset, import, search, train, export,\n"
      "evaluate" },
    COMMAND_LIST_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt event_opts[] = {
    { "resource", 'r', "ID", "only those of one search, run, dataset..." },
    { "after", 0, "ID", "also those after this event; 0: all that are kept" },
    { NULL, 0, NULL, NULL },
};

const struct verb status_verbs[] = {
    { "show", "", "is the service ready, and the token right", NULL, NULL, 0, 0, status_show },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

const struct verb job_verbs[] = {
    { "list", "", "show jobs", NULL, job_opts, 0, 0, job_list },
    { "get", "ID", "show one", NULL, NULL, 1, 1, job_get },
    { "cancel", "ID", "stop one for good", NULL, NULL, 1, 1, job_cancel },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

const struct verb event_verbs[] = {
    { "watch", "", "print events as they come, for ever",
      "Goes on after the last event seen when the connection breaks. Example\n"
      "  lathe events --resource srch_1 --after 0 --json\n",
      event_opts, 0, 0, event_watch },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
