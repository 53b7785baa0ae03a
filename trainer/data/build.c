#include "trainer/data/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "search/base/rng.h"

struct build {
    const struct build_spec *spec;
    struct tokenizer *tokenizer;
    const struct build_watch *watch;
    struct shard_out *out[SPLITS];
    struct ids ids;
    uint64_t done_bytes, total_bytes; /* of the files before the current one; of all */
};

enum split split_of(const struct document *doc, uint64_t seed, double validation_fraction)
{
    char hex[HASH_HEX], head[17];
    if (doc->ids)
        hash_hex(doc->ids, doc->n_ids * sizeof *doc->ids, hex);
    else
        hash_hex(doc->text, doc->len, hex);
    snprintf(head, sizeof head, "%.16s", hex);
    double draw = (double)(rng_mix(seed, strtoull(head, NULL, 16)) >> 11) * 0x1p-53;
    return draw < validation_fraction ? SPLIT_VALID : SPLIT_TRAIN;
}

static enum status add_document(struct build *b, struct domain *domain, const struct document *doc,
                                struct error *err)
{
    enum split split = split_of(doc, b->spec->seed, b->spec->validation_fraction);
    const int32_t *ids = doc->ids;
    size_t n = doc->n_ids;
    if (!ids) {
        b->ids.n = 0;
        TRY(b->tokenizer->encode(b->tokenizer, doc->text, doc->len, &b->ids, err));
        ids = b->ids.id;
        n = b->ids.n;
    }
    shard_put(b->out[split], ids, n);
    if (b->tokenizer->eod >= 0) shard_put(b->out[split], &b->tokenizer->eod, 1);
    domain->documents++;
    domain->bytes += (int64_t)(doc->ids ? n * sizeof *ids : doc->len);
    return OK;
}

static bool keep_going(struct build *b, size_t done)
{
    return !b->watch || b->watch->progress(b->watch->user, b->done_bytes + done, b->total_bytes);
}

static enum status add_file(struct build *b, struct domain *domain, const struct build_file *file,
                            struct error *err)
{
    struct documents *docs;
    struct document doc;
    TRY(documents_open(&docs, file->path, file->format, b->tokenizer->vocab_size, b->tokenizer->eod,
                       err));
    while (documents_next(docs, &doc, err)) {
        if (add_document(b, domain, &doc, err)) break;
        if (keep_going(b, documents_done(docs))) continue;
        fail(err, E_CANCELLED, "stopped while reading %.200s", file->path);
        break;
    }
    b->done_bytes += documents_size(docs);
    documents_close(docs);
    return err->status;
}

/* ---- domains ----------------------------------------------------------------------- */

static const char *domain_of(const struct build_file *file)
{
    return *file->domain ? file->domain : "default";
}

/* Domains in the order in which the files first name them. */
static enum status list_domains(struct dataset *out, const struct build_spec *spec,
                                struct error *err)
{
    for (int i = 0; i < spec->n_files; i++) {
        const char *name = domain_of(&spec->file[i]);
        int d = 0;
        while (d < out->n_domains && strcmp(out->domain[d].name, name)) d++;
        if (d < out->n_domains) continue;
        if (d == DATASET_MAX_DOMAINS)
            return fail(err, E_LIMIT, "the files name more than %d domains", DATASET_MAX_DOMAINS);
        snprintf(out->domain[out->n_domains++].name, DOMAIN_NAME, "%s", name);
    }
    return OK;
}

static enum status add_domain(struct build *b, struct domain *domain, struct error *err)
{
    for (int s = 0; s < SPLITS; s++) domain->span[s].at = shard_count(b->out[s]);
    for (int i = 0; i < b->spec->n_files; i++)
        if (!strcmp(domain_of(&b->spec->file[i]), domain->name))
            TRY(add_file(b, domain, &b->spec->file[i], err));
    for (int s = 0; s < SPLITS; s++)
        domain->span[s].n = shard_count(b->out[s]) - domain->span[s].at;
    return OK;
}

static enum status check_result(const struct dataset *ds, struct error *err)
{
    if (!ds->documents) return fail(err, E_INPUT, "files: there is no text in them");
    if (!dataset_tokens(ds, SPLIT_TRAIN))
        return fail(err, E_INPUT, "files: all %lld documents were held out; give more text",
                    (long long)ds->documents);
    if (ds->validation_fraction > 0 && !dataset_tokens(ds, SPLIT_VALID))
        return fail(err, E_INPUT,
                    "validation_fraction: none of the %lld documents was held out at %g; give more "
                    "documents, a larger fraction, or 0",
                    (long long)ds->documents, ds->validation_fraction);
    return OK;
}

/* ---- the whole ------------------------------------------------------------------------ */

static uint64_t total_size(const struct build_spec *spec)
{
    uint64_t total = 0;
    struct stat st;
    for (int i = 0; i < spec->n_files; i++)
        if (!stat(spec->file[i].path, &st)) total += (uint64_t)st.st_size;
    return total;
}

static enum status write_shards(struct build *b, struct dataset *out, const char *dir,
                                struct error *err)
{
    char path[PATH_ROOM];
    for (int s = 0; s < SPLITS; s++) {
        TRY(path_join(path, dir, s == SPLIT_TRAIN ? "train.bin" : "valid.bin", err));
        TRY(shard_create(&b->out[s], path, b->tokenizer->vocab_size, err));
    }
    for (int d = 0; d < out->n_domains; d++) {
        TRY(add_domain(b, &out->domain[d], err));
        out->documents += out->domain[d].documents;
        out->bytes += out->domain[d].bytes;
    }
    return check_result(out, err);
}

static enum status write_json(const struct dataset *ds, const char *dir, struct error *err)
{
    char path[PATH_ROOM];
    struct buf json;
    struct emit e;
    TRY(path_join(path, dir, "dataset.json", err));
    buf_init(&json, 1 << 20);
    emit_init(&e, &json);
    dataset_emit(ds, &e);
    file_write(path, json.bytes, json.len, err);
    buf_release(&json);
    return err->status;
}

static void describe(struct dataset *out, const struct build_spec *spec,
                     const struct tokenizer *tokenizer)
{
    *out = (struct dataset){ .vocab_size = tokenizer->vocab_size,
                             .eod = tokenizer->eod,
                             .seed = spec->seed,
                             .validation_fraction = spec->validation_fraction };
    snprintf(out->name, sizeof out->name, "%s", spec->name);
    snprintf(out->tokenizer_kind, sizeof out->tokenizer_kind, "%s", tokenizer->kind);
    snprintf(out->tokenizer_hash, sizeof out->tokenizer_hash, "%s", tokenizer->hash);
}

enum status dataset_build(struct dataset *out, const char *dir, const struct build_spec *spec,
                          struct tokenizer *tokenizer, const struct build_watch *watch,
                          struct error *err)
{
    struct build b = { .spec = spec, .tokenizer = tokenizer, .watch = watch };
    struct error finished = { 0 };
    describe(out, spec, tokenizer);
    b.total_bytes = total_size(spec);
    TRY(list_domains(out, spec, err));
    write_shards(&b, out, dir, err);
    for (int s = 0; s < SPLITS; s++) shard_finish(b.out[s], &finished);
    ids_release(&b.ids);
    if (finished.status) fail(err, finished.status, "%s", finished.text);
    TRY(err->status);
    TRY(tokenizer->save(tokenizer, dir, err));
    return write_json(out, dir, err);
}
