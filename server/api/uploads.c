#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "server/app.h"
#include "server/api/api.h"
#include "server/api/create.h"
#include "server/api/listing.h"

/*
 * /v1/uploads: bytes that a client sends, kept under their checksum. The file is in its
 * place before the row says so; a crash in between leaves a file that nobody names, and the
 * same bytes sent again take its place.
 */
#define COLUMNS "'upl_' || u.upload_id as id, u.bytes, u.sha256, u.created_at"

static const char select_upload[] = "select " COLUMNS " from upload u where u.upload_id = $1";
static struct listing uploads = {
    .columns = COLUMNS,
    .from = "upload u",
    .key = "u.upload_id",
    .filters = { { "sha256", "u.sha256 = @" } },
};

static const struct creation creation = {
    .create = "select upload_create($1::jsonb)",
    .select = select_upload,
    .prefix = "upl",
    .path = "/v1/uploads",
};

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
    struct buf object;
    struct emit e;
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    emit_begin(&e, '{');
    emit_kv_string(&e, "sha256", upload->sha256);
    emit_kv_int(&e, "bytes", upload->bytes);
    emit_end(&e);
    create_send(req, &creation, &object);
}

static void upload_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_upload, ask_one);
    ask_id(ask, "upl", "upload", request_param(req, "id"));
    ask_send(ask);
}

static void upload_list(struct request *req) { listing_send(req, &uploads); }

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
