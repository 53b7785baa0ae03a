#include "trainer/data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/field.h"

static const char SCHEMA[] = "lathe.dataset/1";
static const char *const split_names[SPLITS] = { "train", "valid" };

int64_t dataset_tokens(const struct dataset *ds, enum split split)
{
    uint64_t n = 0;
    for (int d = 0; d < ds->n_domains; d++) n += ds->domain[d].span[split].n;
    return (int64_t)n;
}

/* ---- writing ----------------------------------------------------------------------- */

static void emit_domain(const struct domain *domain, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "name", domain->name);
    emit_kv_int(e, "documents", domain->documents);
    emit_kv_int(e, "bytes", domain->bytes);
    for (int s = 0; s < SPLITS; s++) {
        emit_key(e, split_names[s]);
        emit_begin(e, '{');
        emit_kv_int(e, "at", (int64_t)domain->span[s].at);
        emit_kv_int(e, "tokens", (int64_t)domain->span[s].n);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_tokenizer(const struct dataset *ds, struct emit *e)
{
    emit_key(e, "tokenizer");
    emit_begin(e, '{');
    emit_kv_string(e, "kind", ds->tokenizer_kind);
    emit_kv_string(e, "hash", ds->tokenizer_hash);
    emit_kv_int(e, "vocab_size", ds->vocab_size);
    emit_kv_int(e, "eod", ds->eod);
    emit_end(e);
}

void dataset_emit(const struct dataset *ds, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "schema", SCHEMA);
    emit_kv_string(e, "name", ds->name);
    emit_tokenizer(ds, e);
    emit_kv_int(e, "seed", (int64_t)ds->seed);
    emit_kv_double(e, "validation_fraction", ds->validation_fraction);
    emit_kv_int(e, "documents", ds->documents);
    emit_kv_int(e, "bytes", ds->bytes);
    emit_kv_int(e, "tokens", dataset_tokens(ds, SPLIT_TRAIN));
    emit_kv_int(e, "validation_tokens", dataset_tokens(ds, SPLIT_VALID));
    emit_key(e, "domains");
    emit_begin(e, '[');
    for (int d = 0; d < ds->n_domains; d++) emit_domain(&ds->domain[d], e);
    emit_end(e);
    emit_end(e);
}

/* ---- reading ------------------------------------------------------------------------- */

static void read_text(struct field *f, const char *key, char *out, size_t room)
{
    const char *text = field_string(f, key, room - 1);
    snprintf(out, room, "%s", text ? text : "");
}

static void read_domain(struct domain *domain, struct field *array, size_t i)
{
    struct field f, span;
    if (!field_item_object(array, i, &f)) return;
    read_text(&f, "name", domain->name, sizeof domain->name);
    domain->documents = field_int(&f, "documents", 0, INT64_MAX);
    domain->bytes = field_int(&f, "bytes", 0, INT64_MAX);
    for (int s = 0; s < SPLITS; s++) {
        if (!field_object(&f, split_names[s], &span)) field_fail(&f, split_names[s], "is missing");
        domain->span[s].at = (uint64_t)field_int(&span, "at", 0, INT64_MAX);
        domain->span[s].n = (uint64_t)field_int(&span, "tokens", 0, INT64_MAX);
        field_end(&span);
    }
    field_end(&f);
}

static void read_tokenizer(struct dataset *ds, struct field *root)
{
    struct field f;
    if (!field_object(root, "tokenizer", &f)) field_fail(root, "tokenizer", "is missing");
    read_text(&f, "kind", ds->tokenizer_kind, sizeof ds->tokenizer_kind);
    read_text(&f, "hash", ds->tokenizer_hash, sizeof ds->tokenizer_hash);
    ds->vocab_size = (int)field_int(&f, "vocab_size", 1, 1 << 24);
    ds->eod = (int32_t)field_int(&f, "eod", -1, ds->vocab_size - 1);
    field_end(&f);
}

static enum status read_dataset(struct dataset *ds, struct field *root)
{
    struct field domains;
    const char *schema = field_string(root, "schema", 64);
    if (schema && strcmp(schema, SCHEMA)) field_fail(root, "schema", "is not %s", SCHEMA);
    read_text(root, "name", ds->name, sizeof ds->name);
    read_tokenizer(ds, root);
    ds->seed = (uint64_t)field_int(root, "seed", 0, INT64_MAX);
    ds->validation_fraction = field_double(root, "validation_fraction", 0, 1);
    ds->documents = field_int(root, "documents", 0, INT64_MAX);
    ds->bytes = field_int(root, "bytes", 0, INT64_MAX);
    int64_t tokens = field_int(root, "tokens", 0, INT64_MAX);
    int64_t validation_tokens = field_int(root, "validation_tokens", 0, INT64_MAX);
    ds->n_domains = (int)field_array(root, "domains", DATASET_MAX_DOMAINS, &domains);
    for (int d = 0; d < ds->n_domains; d++) read_domain(&ds->domain[d], &domains, (size_t)d);
    if (tokens != dataset_tokens(ds, SPLIT_TRAIN) ||
        validation_tokens != dataset_tokens(ds, SPLIT_VALID))
        field_fail(root, "domains", "do not add up to the dataset's tokens");
    return field_end(root);
}

enum status dataset_parse(struct dataset *ds, const char *text, size_t len, struct error *err)
{
    struct field root;
    *ds = (struct dataset){ 0 };
    json_t *json = field_parse(text, len, err);
    if (!json) return err->status;
    field_root(&root, json, err);
    read_dataset(ds, &root);
    json_decref(json);
    return err->status;
}

static enum status check_spans(const struct dataset *ds, struct error *err)
{
    for (int d = 0; d < ds->n_domains; d++)
        for (int s = 0; s < SPLITS; s++) {
            struct token_span span = ds->domain[d].span[s];
            if (span.at > ds->shard[s].n || span.n > ds->shard[s].n - span.at)
                return fail(err, E_INPUT,
                            "dataset.json: domain %s goes beyond the %llu ids of %s.bin",
                            ds->domain[d].name, (unsigned long long)ds->shard[s].n, split_names[s]);
        }
    return OK;
}

static enum status open_parts(struct dataset *ds, const char *dir, struct error *err)
{
    char path[PATH_ROOM], *text;
    size_t len;
    TRY(path_join(path, dir, "dataset.json", err));
    TRY(file_read(&text, &len, path, 1 << 20, err));
    enum status status = dataset_parse(ds, text, len, err);
    free(text);
    if (status) return fail_in(err, "dataset.json");
    for (int s = 0; s < SPLITS; s++) {
        TRY(path_join(path, dir, s == SPLIT_TRAIN ? "train.bin" : "valid.bin", err));
        TRY(shard_open(&ds->shard[s], path, SHARD_LLMC, err));
    }
    return check_spans(ds, err);
}

enum status dataset_open(struct dataset *ds, const char *dir, struct error *err)
{
    *ds = (struct dataset){ 0 };
    if (open_parts(ds, dir, err)) dataset_close(ds);
    return err->status;
}

void dataset_close(struct dataset *ds)
{
    for (int s = 0; s < SPLITS; s++) shard_close(&ds->shard[s]);
}
