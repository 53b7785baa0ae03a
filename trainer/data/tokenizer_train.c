#include "trainer/data/tokenizer_train.h"

#include <sys/stat.h>

#include "trainer/data/bpe_write.h"

struct training {
    struct bpe_trainer *trainer;
    const struct build_spec *spec;
    const struct build_watch *watch;
    uint64_t done_bytes, total_bytes;
};

static enum status add_document(struct training *t, const struct document *doc, struct error *err)
{
    if (doc->ids) return fail(err, E_INPUT, "token shards have no text to train a tokenizer on");
    if (split_of(doc, t->spec->seed, t->spec->validation_fraction) == SPLIT_VALID) return OK;
    return bpe_trainer_add(t->trainer, doc->text, doc->len, err);
}

static bool keep_going(const struct training *t, size_t done)
{
    return !t->watch || t->watch->progress(t->watch->user, t->done_bytes + done, t->total_bytes);
}

static enum status add_file(struct training *t, const struct build_file *file, struct error *err)
{
    struct documents *docs;
    struct document doc;
    TRY(documents_open(&docs, file->path, file->format, BPE_TRAIN_MAX_VOCAB, 0, err));
    while (documents_next(docs, &doc, err)) {
        if (add_document(t, &doc, err)) break;
        if (keep_going(t, documents_done(docs))) continue;
        fail(err, E_CANCELLED, "stopped while reading %.200s", file->path);
        break;
    }
    t->done_bytes += documents_size(docs);
    documents_close(docs);
    return err->status;
}

static enum status add_files(struct training *t, struct error *err)
{
    struct stat st;
    for (int i = 0; i < t->spec->n_files; i++)
        if (!stat(t->spec->file[i].path, &st)) t->total_bytes += (uint64_t)st.st_size;
    for (int i = 0; i < t->spec->n_files; i++) TRY(add_file(t, &t->spec->file[i], err));
    return OK;
}

enum status tokenizer_train(struct tokenizer **out, const struct build_spec *spec,
                            const struct bpe_train_options *options,
                            const struct build_watch *watch, struct error *err)
{
    struct training t = { .spec = spec, .watch = watch };
    struct buf json;
    int vocab_size;
    *out = NULL;
    TRY(bpe_trainer_open(&t.trainer, options, err));
    buf_init(&json, BPE_WRITE_MAX);
    if (!add_files(&t, err) && !bpe_trainer_finish(t.trainer, &json, &vocab_size, err))
        tokenizer_bpe(out, json.bytes, json.len, err);
    bpe_trainer_close(t.trainer);
    buf_release(&json);
    return err->status;
}
