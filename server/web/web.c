#include "server/web/web.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include "search/base/log.h"
#include "server/config.h"
#include "server/http/request.h"
#include "server/web/files.h"

static const char policy[] = "default-src 'self'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'; object-src 'none'";

struct web {
    struct web_files files; /* empty when there is no dashboard */
    uv_timer_t handle;      /* never started: its closing is what makes ours asynchronous */
    void (*closed)(struct app *app);
    struct app *app;
};

/* ---- answering ------------------------------------------------------------------------------ */

/* Is gzip among the encodings, and not with q=0? */
static bool takes_gzip(struct request *req)
{
    const char *list = request_header(req, "Accept-Encoding");
    const char *at = list ? strstr(list, "gzip") : NULL;
    if (!at) return false;
    at += strlen("gzip");
    at += strspn(at, " \t");
    if (*at != ';') return true;
    at += 1 + strspn(at + 1, " \t");
    return strncmp(at, "q=0", 3) ||
           (at[3] == '.' && strspn(at + 4, "0") != strcspn(at + 4, ", \t"));
}

static void add_headers(struct request *req, const char *etag)
{
    reply_header(req, "Content-Security-Policy", policy);
    reply_header(req, "Referrer-Policy", "no-referrer");
    reply_header(req, "Cross-Origin-Opener-Policy", "same-origin");
    reply_header(req, "Cross-Origin-Resource-Policy", "same-origin");
    reply_header(req, "Cache-Control", "no-cache");
    reply_header(req, "Vary", "Accept-Encoding");
    reply_header(req, "ETag", etag);
}

static void send_file(struct request *req, const struct web_file *file)
{
    bool packed = file->packed && takes_gzip(req);
    const char *etag = request_printf(req, "\"%s%s\"", file->etag, packed ? "-gz" : "");
    const char *known = request_header(req, "If-None-Match");
    add_headers(req, etag);
    if (known && strstr(known, etag)) {
        reply_empty(req, 304);
        return;
    }
    if (packed) reply_header(req, "Content-Encoding", "gzip");
    reply_bytes(req, 200, file->type, packed ? file->packed : file->bytes,
                packed ? file->n_packed : file->n_bytes);
}

static void answer(struct request *req, const char *name)
{
    const struct web *web = req->app->web;
    const struct web_file *file = web_files_find(&web->files, name);
    if (file)
        send_file(req, file);
    else if (!web->files.n)
        reply_problem(req, 404, "missing",
                      "this service has no dashboard: its files are not in --web-dir");
    else
        reply_missing(req, "file", name);
}

static void get_index(struct request *req) { answer(req, "index.html"); }

static void get_file(struct request *req) { answer(req, request_param(req, "name")); }

static void get_inner(struct request *req)
{
    answer(req,
           request_printf(req, "%s/%s", request_param(req, "name"), request_param(req, "file")));
}

/* ---- the part ------------------------------------------------------------------------------- */

static bool wanted(const struct config *config) { return config->role_api; }

static void add_routes(struct router *router)
{
    static const struct route routes[] = {
        { "GET", "/", get_index, .scope = SCOPE_OPEN, .operation = "getDashboard",
          .summary = "The dashboard" },
        { "GET", "/web/{name}", get_file, .scope = SCOPE_OPEN, .operation = "getDashboardFile",
          .summary = "A file of the dashboard" },
        { "GET", "/web/{name}/{file}", get_inner, .scope = SCOPE_OPEN,
          .operation = "getDashboardInnerFile",
          .summary = "A file of one of the dashboard's folders" },
    };
    router_add(router, routes, sizeof routes / sizeof *routes);
}

/* A service without its dashboard is still a service. */
static enum status read_files(struct web_files *files, const char *folder, struct error *err)
{
    if (web_files_read(files, folder, err) != E_MISSING) return err->status;
    log_warn("there is no dashboard: %s", err->text);
    *err = (struct error){ 0 };
    return OK;
}

static enum status open_web(struct app *app, struct error *err)
{
    struct web *web = calloc(1, sizeof *web);
    if (!web) abort();
    if (read_files(&web->files, app->config->web_dir, err)) {
        free(web);
        return err->status;
    }
    web->app = app;
    uv_timer_init(app->loop, &web->handle);
    web->handle.data = web;
    app->web = web;
    return OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct web *web = handle->data;
    struct app *app = web->app;
    void (*closed)(struct app * app) = web->closed;
    app->web = NULL;
    web_files_release(&web->files);
    free(web);
    closed(app);
}

static void close_web(struct app *app, void (*closed)(struct app *app))
{
    app->web->closed = closed;
    uv_close((uv_handle_t *)&app->web->handle, on_closed);
}

const struct part web_part = {
    .name = "web", .wanted = wanted, .routes = add_routes, .open = open_web, .close = close_web
};
