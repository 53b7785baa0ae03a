#include "server/api/files.h"

#include <string.h>
#include <sys/stat.h>
#include "server/app.h"

static const char find_uploads[] =
    "select u.sha256 from unnest($1::bigint[]) with ordinality f (id, n)"
    "  left join upload u on u.upload_id = f.id order by f.n";

struct find {
    void (*found)(struct request *req, const char *const *sha256, void *data);
    void *data;
    const char *const *pointers;
};

static void refuse(struct request *req, const struct find *find, int i)
{
    struct error err = { 0 };
    if (find->pointers)
        snprintf(err.pointer, sizeof err.pointer, "%s", find->pointers[i]);
    else
        snprintf(err.pointer, sizeof err.pointer, "/files/%d/upload", i);
    fail(&err, E_INPUT, "%s: there is no such upload", err.pointer + 1);
    reply_invalid(req, &err);
}

static void got(struct ask *ask, const PGresult *rows)
{
    struct find *find = ask->data;
    int n = PQntuples(rows);
    const char **sha256 = request_new_n(ask->req, const char *, (size_t)n + 1);
    for (int i = 0; i < n; i++) {
        if (pg_null(rows, i, 0)) {
            refuse(ask->req, find, i);
            return;
        }
        sha256[i] = request_strdup(ask->req, pg_text(rows, i, 0));
    }
    find->found(ask->req, sha256, find->data);
}

void files_find_at(struct request *req, const char *const *numbers, const char *const *pointers,
                   int n, void (*found)(struct request *req, const char *const *sha256, void *data),
                   void *data)
{
    struct buf list;
    buf_init(&list, FILES_MAX * 24);
    buf_putc(&list, '{');
    for (int i = 0; i < n; i++) buf_printf(&list, "%s%s", i ? "," : "", numbers[i]);
    buf_putc(&list, '}');
    struct ask *ask = ask_new(req, find_uploads, got);
    struct find *find = request_new(req, struct find);
    *find = (struct find){ found, data, pointers };
    ask->data = find;
    ask_text(ask, request_strdup(req, list.bytes));
    buf_release(&list);
    ask_send(ask);
}

void files_find(struct request *req, const char *const *numbers, int n,
                void (*found)(struct request *req, const char *const *sha256, void *data),
                void *data)
{
    files_find_at(req, numbers, NULL, n, found, data);
}

void files_dry_run(struct request *req, const char *const *sha256, int n)
{
    struct buf out;
    struct emit e;
    struct stat st;
    int64_t bytes = 0;
    for (int i = 0; i < n; i++)
        if (!stat(request_printf(req, "%s/%s", req->app->uploads_dir, sha256[i]), &st))
            bytes += st.st_size;
    buf_init(&out, 4096);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_kv_bool(&e, "dry_run", true);
    emit_kv_int(&e, "files", n);
    emit_kv_int(&e, "bytes", bytes);
    emit_end(&e);
    reply_buf(req, 200, &out);
}
