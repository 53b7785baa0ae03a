#include <string.h>
#include "server/api/api.h"
#include "server/api/deletion.h"
#include "server/api/files.h"
#include "server/api/listing.h"

/*
 * /v1/models: weights that somebody brings, checked by a job.
 *
 *     {"name": "smollm", "files": [{"upload": "upl_1", "filename": "config.json"},
 *                                  {"upload": "upl_2", "filename": "model.safetensors"}]}
 */
#define COLUMNS                                                                                    \
    "'mod_' || m.model_id as id, m.name, j.state, j.attempt, j.reason, m.shape, m.shape_hash,"     \
    " job_version(j) as _etag,"                                                                    \
    " m.params, m.spec -> 'files' as files, 'job_' || j.job_id as job, m.created_at,"              \
    " j.started_at, j.finished_at"
#define FROM "model m join job j using (job_id)"

static const char select_model[] = "select " COLUMNS " from " FROM " where m.model_id = $1";
static struct listing models = { .columns = COLUMNS,
                                 .from = FROM,
                                 .key = "m.model_id",
                                 .filters = {
                                     { "state", "j.state = @::job_state", .words = job_states },
                                     { "name", "m.name = @" },
                                 } };

static const struct creation creation = {
    .create = "select model_create($1::jsonb)",
    .select = select_model,
    .prefix = "mod",
    .path = "/v1/models",
};

struct model {
    const char *name;
    int n_files, priority;
    bool dry_run;
    const char *upload[FILES_MAX], *filename[FILES_MAX];
};

/* A name within one folder: no separators, no hidden files. */
static void check_filename(struct field *f, const char *name)
{
    static const char fine[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (!name) return;
    if (!*name || *name == '.' || name[strspn(name, fine)])
        field_fail(f, "filename", "must be a plain file name such as model.safetensors");
}

static enum status read_model(struct model *m, struct field *body)
{
    struct field files, file;
    m->name = create_name(body, "model");
    m->n_files = (int)field_array(body, "files", FILES_MAX, &files);
    if (!m->n_files) field_fail(body, "files", "names no file");
    for (int i = 0; i < m->n_files; i++) {
        if (!field_item_object(&files, (size_t)i, &file)) break;
        m->upload[i] = create_id(&file, "upload", "upl");
        m->filename[i] = field_string(&file, "filename", 128);
        check_filename(&file, m->filename[i]);
        field_end(&file);
    }
    m->priority = (int)field_int_or(body, "priority", -100, 100, 0);
    return field_end(body);
}

/* Names a file the way people do (spec) or the way the trainer does (document). */
static void emit_files(const struct model *m, const char *const *sha256, struct emit *e)
{
    emit_key(e, "files");
    emit_begin(e, '[');
    for (int i = 0; i < m->n_files; i++) {
        emit_begin(e, '{');
        if (sha256)
            emit_kv_string(e, "path", sha256[i]);
        else
            emit_kv_id(e, "upload", "upl", m->upload[i]);
        emit_kv_string(e, sha256 ? "name" : "filename", m->filename[i]);
        emit_end(e);
    }
    emit_end(e);
}

static void found(struct request *req, const char *const *sha256, void *data)
{
    const struct model *m = data;
    struct buf object;
    struct emit e;
    if (m->dry_run) {
        files_dry_run(req, sha256, m->n_files);
        return;
    }
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    emit_begin(&e, '{');
    emit_kv_string(&e, "name", m->name);
    emit_kv_int(&e, "priority", m->priority);
    emit_key(&e, "spec"), emit_begin(&e, '{');
    emit_files(m, NULL, &e);
    emit_end(&e);
    emit_key(&e, "document"), emit_begin(&e, '{');
    emit_kv_string(&e, "name", m->name);
    emit_files(m, sha256, &e);
    emit_end(&e);
    emit_end(&e);
    create_send(req, &creation, &object);
}

static void model_create(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return;
    struct model *m = request_new(req, struct model);
    if (!create_dry_run(req, &m->dry_run)) return;
    if (read_model(m, &body))
        reply_invalid(req, &err);
    else
        files_find(req, m->upload, m->n_files, found, m);
}

static void model_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_model, ask_one);
    ask_id(ask, "mod", "model", request_param(req, "id"));
    ask_send(ask);
}

static void model_list(struct request *req) { listing_send(req, &models); }

static const struct deletion deletion = { "mod", "model", "select model_delete($1, $2::text[])" };
static void model_delete(struct request *req) { deletion_send(req, &deletion); }

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/models",
      .handle = model_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createModel",
      .summary = "Import a model from files" },
    { .method = "GET",
      .path = "/v1/models",
      .handle = model_list,
      .scope = SCOPE_READ,
      .operation = "listModels",
      .summary = "Models, the newest first" },
    { .method = "GET",
      .path = "/v1/models/{id}",
      .handle = model_get,
      .scope = SCOPE_READ,
      .operation = "getModel",
      .summary = "One model" },
    { .method = "DELETE",
      .path = "/v1/models/{id}",
      .handle = model_delete,
      .scope = SCOPE_WRITE,
      .operation = "deleteModel",
      .summary = "Forget a model and remove its files" },
};

void models_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
