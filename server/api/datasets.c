#include <string.h>
#include "server/api/api.h"
#include "server/api/files.h"
#include "server/api/page.h"

/*
 * /v1/datasets: text made into token shards with a held-out part, by a job.
 *
 *     {"name": "gcide", "files": [{"upload": "upl_1", "format": "text", "domain": "prose"}],
 *      "tokenizer": "bytes" | {"upload": "upl_2"}, "validation_fraction": 0.05, "seed": 1}
 */
#define COLUMNS                                                                                    \
    "'data_' || d.dataset_id as id, d.name, j.state, j.attempt, j.reason, d.tokenizer,"            \
    " d.vocab_size, d.tokens, d.validation_tokens, d.documents, d.bytes, d.spec -> 'files' as "    \
    "files,"                                                                                       \
    " j.done_units as \"progress.done\", j.total_units as \"progress.total\", j.unit as "          \
    "\"progress.unit\","                                                                           \
    " 'job_' || j.job_id as job, d.created_at, j.started_at, j.finished_at"                        \
    " from dataset d join job j using (job_id)"

static const char select_dataset[] = "select " COLUMNS " where d.dataset_id = $1";
static const char list_datasets[] =
    "select d.dataset_id as _key, " COLUMNS " where d.dataset_id < $1"
    " and ($3::job_state is null or j.state = $3) order by d.dataset_id desc limit $2";

static const struct creation creation = {
    .create = "select dataset_create($1::jsonb)",
    .select = select_dataset,
    .prefix = "data",
    .path = "/v1/datasets",
};

static const char *const formats[] = { "text", "jsonl", NULL };

struct source_file {
    const char *upload, *domain;
    int format;
};

struct dataset {
    const char *name;
    int n_files;
    struct source_file file[FILES_MAX];
    const char *tokenizer_upload; /* NULL: bytes */
    double validation_fraction;
    int64_t seed;
    int priority;
};

static void read_file(struct source_file *file, struct field *f)
{
    file->upload = create_id(f, "upload", "upl");
    file->format = field_choice_or(f, "format", formats, 0);
    file->domain = field_string_or(f, "domain", 64, NULL);
    field_end(f);
}

static void read_tokenizer(struct dataset *d, struct field *body)
{
    struct field f;
    json_t *json = field_json(body, "tokenizer");
    if (!json || json_is_string(json)) {
        const char *name = field_string_or(body, "tokenizer", 64, "bytes");
        if (name && strcmp(name, "bytes"))
            field_fail(body, "tokenizer",
                       "must be \"bytes\" or {\"upload\": the id of a tokenizer.json}");
    } else if (field_object(body, "tokenizer", &f)) {
        d->tokenizer_upload = create_id(&f, "upload", "upl");
        field_end(&f);
    }
}

static enum status read_dataset(struct dataset *d, struct field *body)
{
    struct field files, file;
    d->name = create_name(body, "data set");
    d->n_files = (int)field_array(body, "files", FILES_MAX, &files);
    if (!d->n_files) field_fail(body, "files", "names no file");
    for (int i = 0; i < d->n_files; i++)
        if (field_item_object(&files, (size_t)i, &file)) read_file(&d->file[i], &file);
    read_tokenizer(d, body);
    d->validation_fraction = field_double_or(body, "validation_fraction", 0, 0.5, 0.05);
    d->seed = field_int_or(body, "seed", 0, INT64_C(9007199254740991), 1);
    d->priority = (int)field_int_or(body, "priority", -100, 100, 0);
    return field_end(body);
}

static void emit_spec(const struct dataset *d, struct emit *e)
{
    emit_begin(e, '{');
    emit_key(e, "files");
    emit_begin(e, '[');
    for (int i = 0; i < d->n_files; i++) {
        emit_begin(e, '{');
        emit_kv_id(e, "upload", "upl", d->file[i].upload);
        emit_kv_string(e, "format", formats[d->file[i].format]);
        emit_kv_string(e, "domain", d->file[i].domain);
        emit_end(e);
    }
    emit_end(e);
    emit_kv_double(e, "validation_fraction", d->validation_fraction);
    emit_kv_int(e, "seed", d->seed);
    emit_end(e);
}

static void emit_document(const struct dataset *d, const char *const *sha256, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "name", d->name);
    emit_key(e, "files");
    emit_begin(e, '[');
    for (int i = 0; i < d->n_files; i++) {
        emit_begin(e, '{');
        emit_kv_string(e, "path", sha256[i]);
        emit_kv_string(e, "format", formats[d->file[i].format]);
        emit_kv_string(e, "domain", d->file[i].domain);
        emit_end(e);
    }
    emit_end(e);
    emit_key(e, "tokenizer");
    emit_begin(e, '{');
    emit_kv_string(e, "kind", d->tokenizer_upload ? "hf" : "bytes");
    if (d->tokenizer_upload) emit_kv_string(e, "path", sha256[d->n_files]);
    emit_end(e);
    emit_kv_double(e, "validation_fraction", d->validation_fraction);
    emit_kv_int(e, "seed", d->seed);
    emit_end(e);
}

static void found(struct request *req, const char *const *sha256, void *data)
{
    const struct dataset *d = data;
    struct buf object;
    struct emit e;
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    emit_begin(&e, '{');
    emit_kv_string(&e, "name", d->name);
    emit_kv_string(&e, "tokenizer", d->tokenizer_upload ? "hf" : "bytes");
    emit_kv_int(&e, "priority", d->priority);
    emit_key(&e, "spec");
    emit_spec(d, &e);
    emit_key(&e, "document");
    emit_document(d, sha256, &e);
    emit_end(&e);
    create_send(req, &creation, &object);
}

static void dataset_create(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return;
    struct dataset *d = request_new(req, struct dataset);
    if (read_dataset(d, &body)) {
        reply_invalid(req, &err);
        return;
    }
    const char *numbers[FILES_MAX + 1];
    int n = 0;
    for (; n < d->n_files; n++) numbers[n] = d->file[n].upload;
    if (d->tokenizer_upload) numbers[n++] = d->tokenizer_upload;
    files_find(req, numbers, n, found, d);
}

static void dataset_get(struct request *req)
{
    struct ask *ask = ask_new(req, select_dataset, ask_one);
    ask_id(ask, "data", "data set", request_param(req, "id"));
    ask_send(ask);
}

static void dataset_list(struct request *req)
{
    struct ask *ask = page_new(req, list_datasets, PAGE_NEWEST);
    ask_state(ask);
    page_send(ask);
}

static const struct route routes[] = {
    { .method = "POST",
      .path = "/v1/datasets",
      .handle = dataset_create,
      .scope = SCOPE_WRITE,
      .body = BODY_JSON,
      .operation = "createDataset",
      .summary = "Make a data set from files" },
    { .method = "GET",
      .path = "/v1/datasets",
      .handle = dataset_list,
      .scope = SCOPE_READ,
      .operation = "listDatasets",
      .summary = "Data sets, the newest first" },
    { .method = "GET",
      .path = "/v1/datasets/{id}",
      .handle = dataset_get,
      .scope = SCOPE_READ,
      .operation = "getDataset",
      .summary = "One data set" },
};

void datasets_routes(struct router *router)
{
    router_add(router, routes, sizeof routes / sizeof *routes);
}
