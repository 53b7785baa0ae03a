#include "server/api/deletion.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "search/base/log.h"
#include "server/api/action.h"
#include "server/app.h"

struct removal {
    uv_work_t work;
    char path[1200];
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st, (void)kind, (void)place;
    return remove(path);
}

static void on_thread(uv_work_t *work)
{
    struct removal *r = (struct removal *)work;
    if (nftw(r->path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) && !access(r->path, F_OK))
        log_warn("deletion: %s could not be removed whole", r->path);
}

static void on_removed(uv_work_t *work, int status)
{
    (void)status;
    free(work);
}

static void remove_folder(struct app *app, const char *job)
{
    struct removal *r = calloc(1, sizeof *r);
    if (!r) abort();
    snprintf(r->path, sizeof r->path, "%s/job_%s", app->jobs_dir, job);
    uv_queue_work(app->loop, &r->work, on_thread, on_removed);
}

static void deleted(struct ask *ask, const PGresult *rows)
{
    if (pg_null(rows, 0, 0)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    remove_folder(ask->req->app, pg_text(rows, 0, 0));
    reply_empty(ask->req, 204);
}

void deletion_send(struct request *req, const struct deletion *deletion)
{
    struct ask *ask = ask_new(req, deletion->sql, deleted);
    ask_id(ask, deletion->prefix, deletion->what, request_param(req, "id"));
    ask_text(ask, action_seen(req));
    ask_send(ask);
}
