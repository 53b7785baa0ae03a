#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "server/api/datasets.h"
#include "server/api/files.h"
#include "server/app.h"

static const struct creation creation = {
    .create = "select dataset_create($1::jsonb)",
    .select = dataset_select,
    .prefix = "data",
    .path = "/v1/datasets",
};

static const char find_tokenizer[] =
    "select u.sha256 from model m cross join lateral jsonb_array_elements(m.spec -> 'files') f"
    "  join upload u on u.upload_id = substr(f ->> 'upload', 5)::bigint"
    " where m.model_id = $1 and (f ->> 'filename' in ('tokenizer.json', 'tokenizer.model')"
    "   or f ->> 'filename' like '%.gguf')"
    " order by array_position('{tokenizer.json,tokenizer.model}', f ->> 'filename') limit 1";

static const char *const formats[] = { "text", "jsonl", "llmc", "nanogpt", "megatron", NULL };
static const char *const families[] = { "gpt2", "smollm", "qwen2", "llama3", NULL };
enum { MEGATRON = 4, SMOLLM = 1 };
enum { MIN_VOCAB = 257, MAX_VOCAB = 1 << 18 };

struct source_file {
    const char *upload, *index, *domain;
    int format;
    int index_at; /* among the uploads looked up */
};

enum tokenizer_kind { BYTES, UPLOADED, OF_MODEL, TRAINED };
static const char *const kinds[] = { "bytes", "hf", "hf", "train" };

struct dataset {
    const char *name;
    int n_files, n_uploads;
    struct source_file file[FILES_MAX];
    enum tokenizer_kind tokenizer;
    const char *tokenizer_id;     /* number of the upload or the model */
    const char *tokenizer_sha256; /* its file */
    int vocab_size, family, min_count;
    double validation_fraction;
    int64_t seed;
    int priority;
    bool dry_run;
    const char *numbers[2 * FILES_MAX + 1];
};

/* ---- reading ------------------------------------------------------------------------------- */

static void read_file(struct source_file *file, struct field *f)
{
    file->upload = create_id(f, "upload", "upl");
    file->format = field_choice_or(f, "format", formats, 0);
    file->domain = field_string_or(f, "domain", 63, NULL);
    file->index = create_id_or_null(f, "index", "upl");
    if (file->format == MEGATRON && !file->index)
        field_fail(f, "index", "is missing: the upload of the .idx file");
    if (file->format != MEGATRON && file->index)
        field_fail(f, "index", "goes with format megatron only");
    field_end(f);
}

static void read_training(struct dataset *d, struct field *f)
{
    d->tokenizer = TRAINED;
    d->vocab_size = (int)field_int(f, "vocab_size", MIN_VOCAB, MAX_VOCAB);
    d->family = field_choice_or(f, "family", families, SMOLLM);
    d->min_count = (int)field_int_or(f, "min_count", 1, 1 << 20, 2);
    field_end(f);
}

static void read_tokenizer_object(struct dataset *d, struct field *f)
{
    struct field train;
    const char *upload = create_id_or_null(f, "upload", "upl");
    const char *model = create_id_or_null(f, "model", "mod");
    bool trained = field_object(f, "train", &train);
    if ((upload != NULL) + (model != NULL) + trained != 1)
        field_fail(f, NULL, "needs one of upload, model and train");
    if (trained) read_training(d, &train);
    if (upload || model) {
        d->tokenizer = upload ? UPLOADED : OF_MODEL;
        d->tokenizer_id = upload ? upload : model;
    }
    field_end(f);
}

static void read_tokenizer(struct dataset *d, struct field *body)
{
    struct field f;
    json_t *json = field_json(body, "tokenizer");
    if (json_is_object(json)) {
        if (field_object(body, "tokenizer", &f)) read_tokenizer_object(d, &f);
        return;
    }
    const char *name = field_string_or(body, "tokenizer", 64, "bytes");
    if (name && strcmp(name, "bytes"))
        field_fail(body, "tokenizer",
                   "must be \"bytes\" or an object with one of upload, model and train");
}

static void check_shards(const struct dataset *d, struct field *body)
{
    for (int i = 0; i < d->n_files; i++)
        if (d->file[i].format > 1 && d->tokenizer == TRAINED)
            field_fail(body, "tokenizer", "cannot be trained on token shards");
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
    check_shards(d, body);
    d->validation_fraction = field_double_or(body, "validation_fraction", 0, 0.5, 0.05);
    d->seed = field_int_or(body, "seed", 0, INT64_C(9007199254740991), 1);
    d->priority = (int)field_int_or(body, "priority", -100, 100, 0);
    return field_end(body);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* What people asked (spec), or what the trainer reads (document): then with the place of each. */
static void emit_files(const struct dataset *d, const char *const *paths, struct emit *e)
{
    emit_key(e, "files");
    emit_begin(e, '[');
    for (int i = 0; i < d->n_files; i++) {
        emit_begin(e, '{');
        if (paths)
            emit_kv_string(e, "path", paths[i]);
        else
            emit_kv_id(e, "upload", "upl", d->file[i].upload);
        if (!paths && d->file[i].index) emit_kv_id(e, "index", "upl", d->file[i].index);
        emit_kv_string(e, "format", formats[d->file[i].format]);
        emit_kv_string(e, "domain", d->file[i].domain);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_tokenizer(const struct dataset *d, struct emit *e)
{
    emit_key(e, "tokenizer");
    emit_begin(e, '{');
    emit_kv_string(e, "kind", kinds[d->tokenizer]);
    if (d->tokenizer == TRAINED) {
        emit_kv_int(e, "vocab_size", d->vocab_size);
        emit_kv_string(e, "family", families[d->family]);
        emit_kv_int(e, "min_count", d->min_count);
    } else if (d->tokenizer != BYTES) {
        emit_kv_string(e, "path", d->tokenizer_sha256);
    }
    emit_end(e);
}

static void emit_rest(const struct dataset *d, struct emit *e)
{
    emit_kv_double(e, "validation_fraction", d->validation_fraction);
    emit_kv_int(e, "seed", d->seed);
    emit_end(e);
}

static void emit_all(const struct dataset *d, const char *const *paths, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "name", d->name);
    emit_kv_string(e, "tokenizer", kinds[d->tokenizer]);
    emit_kv_int(e, "priority", d->priority);
    emit_key(e, "spec"), emit_begin(e, '{');
    emit_files(d, NULL, e);
    emit_rest(d, e);
    emit_key(e, "document"), emit_begin(e, '{');
    emit_kv_string(e, "name", d->name);
    emit_files(d, paths, e);
    emit_tokenizer(d, e);
    emit_rest(d, e);
    emit_end(e);
}

/* ---- the files ----------------------------------------------------------------------------- */

/* A Megatron shard is NAME.bin with NAME.idx beside it: two more names for what lies there under
 * its checksum. NULL when they cannot be made. */
static const char *link_pair(struct request *req, const char *bin, const char *idx)
{
    const char *dir = req->app->uploads_dir;
    const char *name = request_printf(req, "%s-%.32s", bin, idx);
    bool bad =
        link(request_printf(req, "%s/%s", dir, bin), request_printf(req, "%s/%s.bin", dir, name)) &&
        errno != EEXIST;
    bad |=
        link(request_printf(req, "%s/%s", dir, idx), request_printf(req, "%s/%s.idx", dir, name)) &&
        errno != EEXIST;
    return bad ? NULL : request_printf(req, "%s.bin", name);
}

static bool place_files(struct request *req, const struct dataset *d, const char *const *sha256,
                        const char **paths)
{
    struct error err = { 0 };
    for (int i = 0; i < d->n_files; i++) {
        paths[i] =
            d->file[i].index ? link_pair(req, sha256[i], sha256[d->file[i].index_at]) : sha256[i];
        if (paths[i]) continue;
        fail(&err, E_IO, "cannot link %s: %s", sha256[i], strerror(errno));
        reply_error(req, &err);
        return false;
    }
    return true;
}

static void found(struct request *req, const char *const *sha256, void *data)
{
    struct dataset *d = data;
    struct buf object;
    struct emit e;
    const char *paths[FILES_MAX];
    if (d->tokenizer == UPLOADED) d->tokenizer_sha256 = sha256[d->n_uploads - 1];
    if (d->dry_run) {
        files_dry_run(req, sha256, d->n_uploads);
        return;
    }
    if (!place_files(req, d, sha256, paths)) return;
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    emit_all(d, paths, &e);
    create_send(req, &creation, &object);
}

static void find_files(struct request *req, struct dataset *d)
{
    int n = 0;
    for (; n < d->n_files; n++) d->numbers[n] = d->file[n].upload;
    for (int i = 0; i < d->n_files; i++) {
        if (!d->file[i].index) continue;
        d->file[i].index_at = n;
        d->numbers[n++] = d->file[i].index;
    }
    if (d->tokenizer == UPLOADED) d->numbers[n++] = d->tokenizer_id;
    d->n_uploads = n;
    files_find(req, d->numbers, n, found, d);
}

static void got_tokenizer(struct ask *ask, const PGresult *rows)
{
    struct dataset *d = ask->data;
    struct error err = { 0 };
    if (!PQntuples(rows)) {
        fail(&err, E_INPUT, "mod_%s does not exist or has no tokenizer among its files",
             d->tokenizer_id);
        strcpy(err.pointer, "/tokenizer/model");
        reply_invalid(ask->req, &err);
        return;
    }
    d->tokenizer_sha256 = request_strdup(ask->req, pg_text(rows, 0, 0));
    find_files(ask->req, d);
}

void dataset_create(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return;
    struct dataset *d = request_new(req, struct dataset);
    if (!create_dry_run(req, &d->dry_run)) return;
    if (read_dataset(d, &body)) {
        reply_invalid(req, &err);
    } else if (d->tokenizer == OF_MODEL) {
        struct ask *ask = ask_new(req, find_tokenizer, got_tokenizer);
        ask->data = d;
        ask_text(ask, d->tokenizer_id);
        ask_send(ask);
    } else {
        find_files(req, d);
    }
}
