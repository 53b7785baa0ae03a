#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "server/app.h"
#include "server/api/api.h"
#include "server/api/ask.h"
#include "server/api/page.h"

/*
 * /v1/uploads: bytes that a client sends, kept under their checksum. The file is in its
 * place before the row says so; a crash in between leaves a file that nobody names, and the
 * same bytes sent again take its place.
 */
#define COLUMNS "'upl_' || u.upload_id as id, u.bytes, u.sha256, u.created_at from upload u"

static const char insert_upload[] =
    "insert into upload as u (sha256, bytes) values ($1, $2)"
    " returning 'upl_' || u.upload_id as id, u.bytes, u.sha256, u.created_at";
static const char select_upload[] = "select " COLUMNS " where u.upload_id = $1";
static const char list_uploads[] = "select u.upload_id as _key, " COLUMNS
                                   " where u.upload_id < $1 order by u.upload_id desc limit $2";

static void upload_create(struct request *req)
{
    const struct upload *upload = req->upload;
    struct error err = { 0 };
    const char *place = request_printf(req, "%s/%s", req->app->uploads_dir, upload->sha256);
    if (rename(upload->path, place)) {
        fail(&err, E_IO, "cannot keep %s: %s", place, strerror(errno));
        reply_error(req, &err);
        return;
    }
    struct ask *ask = ask_new(req, insert_upload, ask_one);
    ask->status = 201;
    ask_text(ask, upload->sha256);
    ask_int(ask, upload->bytes);
    ask_send(ask);
}

static void upload_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_upload, ask_one);
    ask_id(ask, "upl", "upload", request_param(req, "id"));
    ask_send(ask);
}

static void upload_list(struct request *req)
{
    page_send(page_new(req, list_uploads, PAGE_NEWEST));
}

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/uploads",
      .handle = upload_create,
      .scope = SCOPE_WRITE,
      .body = BODY_FILE,
      .operation = "createUpload",
      .summary = "Send a file" },
    { .method = "GET",
      .path = "/v1/uploads",
      .handle = upload_list,
      .scope = SCOPE_READ,
      .operation = "listUploads",
      .summary = "Files that were sent, the newest first" },
    { .method = "GET",
      .path = "/v1/uploads/{id}",
      .handle = upload_get,
      .scope = SCOPE_READ,
      .operation = "getUpload",
      .summary = "One file that was sent" },
};

void uploads_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
