#include "trainer/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/emit.h"
#include "search/base/field.h"
#include "trainer/formats/file.h"

static const char *const schemas[] = { "lathe.manifest/1", NULL };

/* ---- writing --------------------------------------------------------------------------- */

static enum status emit_file(struct emit *e, const char *dir, const char *name, struct error *err)
{
    char path[PATH_ROOM], sha256[HASH_HEX];
    uint64_t bytes;
    TRY(path_join(path, dir, name, err));
    TRY(file_digest(path, &bytes, sha256, err));
    emit_begin(e, '{');
    emit_kv_string(e, "name", name);
    emit_kv_int(e, "bytes", (int64_t)bytes);
    emit_kv_string(e, "sha256", sha256);
    emit_end(e);
    return OK;
}

static enum status write_text(const char *dir, const struct buf *json, struct error *err)
{
    char path[PATH_ROOM];
    TRY(path_join(path, dir, "manifest.json", err));
    return file_write(path, json->bytes, json->len, err);
}

enum status manifest_write(const char *dir, int64_t step, const char *const *names,
                           struct error *err)
{
    struct buf json;
    struct emit e;
    buf_init(&json, 64 * 1024);
    emit_init(&e, &json);
    emit_begin(&e, '{');
    emit_kv_string(&e, "schema", schemas[0]);
    emit_kv_int(&e, "step", step);
    emit_key(&e, "files");
    emit_begin(&e, '[');
    for (int i = 0; names[i] && !err->status; i++) emit_file(&e, dir, names[i], err);
    emit_end(&e);
    emit_end(&e);
    if (!err->status) write_text(dir, &json, err);
    buf_release(&json);
    return err->status;
}

/* ---- reading ---------------------------------------------------------------------------- */

static void read_file(struct manifest_file *file, struct field *array, size_t i)
{
    struct field f;
    if (!field_item_object(array, i, &f)) return;
    const char *name = field_string(&f, "name", MANIFEST_NAME - 1);
    const char *sha256 = field_string(&f, "sha256", HASH_HEX - 1);
    file->bytes = (uint64_t)field_int(&f, "bytes", 0, INT64_MAX);
    if (name && (strchr(name, '/') || name[0] == '.')) field_fail(&f, "name", "is no plain name");
    if (field_end(&f)) return;
    snprintf(file->name, sizeof file->name, "%s", name);
    snprintf(file->sha256, sizeof file->sha256, "%s", sha256);
}

enum status manifest_parse(struct manifest *out, const char *text, size_t len, struct error *err)
{
    struct field root, files;
    *out = (struct manifest){ 0 };
    json_t *json = field_parse(text, len, err);
    if (!json) return err->status;
    field_root(&root, json, err);
    field_choice(&root, "schema", schemas);
    out->step = field_int(&root, "step", 0, INT64_MAX);
    out->n = (int)field_array(&root, "files", MANIFEST_MAX_FILES, &files);
    for (int i = 0; i < out->n; i++) read_file(&out->file[i], &files, (size_t)i);
    if (!err->status) field_end(&root);
    json_decref(json);
    return err->status;
}

static enum status check_file(const struct manifest_file *file, const char *dir, struct error *err)
{
    char path[PATH_ROOM], sha256[HASH_HEX];
    uint64_t bytes;
    TRY(path_join(path, dir, file->name, err));
    TRY(file_digest(path, &bytes, sha256, err));
    if (bytes != file->bytes || strcmp(sha256, file->sha256))
        return fail(err, E_INPUT, "%.200s is not what its manifest says", path);
    return OK;
}

enum status manifest_check(struct manifest *out, const char *dir, struct error *err)
{
    char path[PATH_ROOM], *text;
    size_t len;
    TRY(path_join(path, dir, "manifest.json", err));
    TRY(file_read(&text, &len, path, 64 * 1024, err));
    manifest_parse(out, text, len, err);
    free(text);
    if (err->status) return fail_in(err, "%.200s", path);
    for (int i = 0; i < out->n; i++) TRY(check_file(&out->file[i], dir, err));
    return OK;
}
