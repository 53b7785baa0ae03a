#include "clients/cli/watch.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "clients/cli/arms.h"
#include "clients/cli/look.h"
#include "clients/cli/print.h"
#include "clients/cli/progress.h"
#include "clients/cli/screen.h"
#include "clients/cli/stream.h"
#include "clients/cli/text.h"

enum { TICK_MS = 250, REFRESH_MS = 1000, MAX_TRAJECTORY = 10000000, MAX_MISSED = 60 };

struct watch {
    struct context *ctx;
    const char *collection, *id;
    char path[HTTP_MAX_PATH]; /* of the resource */
    struct progress progress;
    struct screen screen;
    json_t *resource; /* as last fetched */
    int missed;       /* refreshes in a row that got no answer */
    int64_t refresh_at_ms, line_at_ms, every_ms;
    bool is_comparison;
    bool is_over; /* the resource says so, not only an event */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static void catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_interrupt };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* The service may wrap what the trainer said: {"id","resource","event","data":{...}}. */
static void on_event(void *context, const struct sse_event *event)
{
    struct watch *w = context;
    json_t *json = json_loads(event->data, 0, NULL), *inner = look_at(json, "data");
    json_t *data = json_is_object(inner) ? inner : json;
    const char *name =
        strcmp(event->name, "message") ? event->name : look_string(json, "event", "message");
    if (w->ctx->json && json) {
        json_t *line = json_pack("{sssssO}", "id", event->id, "event", name, "data", data);
        print_json_line(line, stdout);
        json_decref(line);
    }
    if (!w->is_comparison) progress_event(&w->progress, name, data);
    if (!strcmp(name, "state")) w->refresh_at_ms = 0;
    json_decref(json);
}

/* GET the resource. No answer is not the end: the service may be restarting. */
static enum status refresh(struct watch *w)
{
    json_t *resource = NULL;
    struct error *err = &w->ctx->err;
    w->refresh_at_ms = stream_now_ms() + REFRESH_MS;
    enum status status = http_get(&w->ctx->http, w->path, &resource, err);
    if ((status == E_BUSY || status == E_IO) && w->resource && ++w->missed < MAX_MISSED) {
        memset(err, 0, sizeof *err);
        return OK;
    }
    if (status) return status;
    w->missed = 0;
    json_decref(w->resource);
    w->resource = resource;
    progress_resource(&w->progress, resource);
    bool was_over = w->is_over;
    w->is_over = progress_is_over(&w->progress);
    if (w->is_over && !was_over) w->progress.behind = w->progress.is_search;
    return OK;
}

/* Removals from before we came, or that we missed. */
static enum status catch_up(struct watch *w)
{
    char path[HTTP_MAX_PATH + 64];
    json_t *items = NULL, *item;
    size_t i;
    snprintf(path, sizeof path, "%s/trajectory?from_ordinal=%" PRId64, w->path,
             w->progress.ordinal + 1);
    w->progress.behind = false;
    TRY(command_pages(w->ctx, path, MAX_TRAJECTORY, &items));
    json_array_foreach(items, i, item) progress_removal(&w->progress, item);
    json_decref(items);
    return OK;
}

static enum status keep_up(struct watch *w)
{
    if (stream_now_ms() >= w->refresh_at_ms) TRY(refresh(w));
    if (!w->progress.behind) return OK;
    if (catch_up(w) != E_BUSY) return w->ctx->err.status;
    memset(&w->ctx->err, 0, sizeof w->ctx->err);
    w->progress.behind = true;
    return OK;
}

static void draw(struct watch *w)
{
    if (w->is_comparison)
        arms_block(w->resource, screen_columns(), text_utf8(), &w->screen.text);
    else
        progress_block(&w->progress, screen_columns(), text_utf8(), &w->screen.text);
    screen_draw(&w->screen);
}

static void print_line(struct watch *w)
{
    struct buf line;
    w->line_at_ms = stream_now_ms() + w->every_ms;
    buf_init(&line, 64 * 1024);
    progress_line(&w->progress, &line);
    if (w->is_comparison) arms_line(w->resource, &line);
    printf("%s\n", line.bytes ? line.bytes : "");
    fflush(stdout);
    buf_release(&line);
}

static void show(struct watch *w)
{
    if (w->ctx->json || w->ctx->quiet) return;
    if (w->screen.live)
        draw(w);
    else if (w->progress.changed || stream_now_ms() >= w->line_at_ms)
        print_line(w);
}

static enum status follow(struct watch *w, struct stream *stream)
{
    TRY(refresh(w));
    w->progress.behind = w->progress.is_search;
    TRY(keep_up(w));
    while (!interrupted && (!w->is_over || w->progress.behind)) {
        TRY(stream_wait(stream, TICK_MS, &w->ctx->err));
        TRY(keep_up(w));
        if (!progress_is_over(&w->progress)) show(w);
    }
    if (interrupted) return OK;
    progress_resource(&w->progress, w->resource); /* events may have said less since */
    w->progress.changed = true;
    show(w);
    return OK;
}

static int finish(struct watch *w, enum status status)
{
    if (interrupted) {
        fprintf(stderr, "\nno longer watching; %s goes on\n", w->id);
        return 130;
    }
    if (status) return command_fail(w->ctx);
    if (w->ctx->json) {
        json_t *line = json_pack("{sssO}", "event", "final", "data", w->resource);
        print_json_line(line, stdout);
        json_decref(line);
    }
    return strcmp(w->progress.state, "succeeded") ? 1 : 0;
}

/* `resource` (taken) as it was made, or NULL: then no answer at once is an error. */
static int watch(struct context *ctx, const char *collection, const char *id, json_t *resource)
{
    struct watch w = { .ctx = ctx, .collection = collection, .id = id, .resource = resource };
    struct stream stream;
    char events[HTTP_MAX_PATH];
    w.every_ms = 1000 * args_int(ctx->args, "every", 0, 86400, 5, &ctx->err);
    w.is_comparison = !strcmp(collection, "comparisons");
    if (ctx->err.status || command_path(ctx, w.path, collection, id, "")) {
        json_decref(resource);
        return command_fail(ctx);
    }
    snprintf(events, sizeof events, "/v1/events?resource=%s", id);
    progress_init(&w.progress, !strcmp(collection, "searches"));
    screen_init(&w.screen, isatty(STDOUT_FILENO) && !ctx->json && !ctx->quiet);
    catch_interrupts();
    ctx->http.stop = &interrupted;
    enum status status =
        stream_open(&stream, &ctx->http.where, events, NULL, on_event, &w, &ctx->err);
    if (!status) status = follow(&w, &stream);
    stream_close(&stream);
    screen_release(&w.screen);
    int code = finish(&w, status);
    json_decref(w.resource);
    return code;
}

int watch_resource(struct context *ctx, const char *collection, const char *id)
{
    return watch(ctx, collection, id, NULL);
}

int watch_created(struct context *ctx, const char *collection, const char *hint, json_t *body,
                  const struct show *card, char *made)
{
    char path[64], id[WATCH_MAX_ID];
    json_t *resource = NULL;
    if (made) *made = '\0';
    if (!args_has(ctx->args, "wait")) return command_create(ctx, collection, body, hint, card);
    snprintf(path, sizeof path, "/v1/%s", collection);
    enum status status = http_post(&ctx->http, path, body, &resource, &ctx->err);
    json_decref(body);
    if (status) return command_fail(ctx);
    snprintf(id, sizeof id, "%s", look_string(resource, "id", ""));
    if (made) memcpy(made, id, sizeof id);
    if (ctx->quiet) printf("%s\n", id);
    return watch(ctx, collection, id, resource);
}
