/* Kind dataset: files become the dataset folder `result`. */
#include <string.h>
#include <time.h>
#include "search/base/log.h"
#include "trainer/data/ends.h"
#include "trainer/data/tokenizer_train.h"
#include "trainer/run.h"
#include "trainer/stop.h"

enum { TELL_EVERY_S = 1 };

struct teller {
    struct events *events;
    time_t told;
};

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    struct teller *teller = user;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (stop_wanted()) return false;
    if (now.tv_sec - teller->told < TELL_EVERY_S && done < total) return true;
    teller->told = now.tv_sec;
    struct emit *e = event_begin(teller->events, "progress");
    emit_kv_int(e, "done", (int64_t)done);
    emit_kv_int(e, "total", (int64_t)total);
    emit_kv_string(e, "unit", "bytes");
    event_end(teller->events);
    return true;
}

static void tell_start(const struct job *job, struct events *events)
{
    struct emit *e = event_begin(events, "start");
    emit_kv_string(e, "job_id", job->id);
    emit_kv_string(e, "kind", job_kind_names[job->kind]);
    event_end(events);
}

static void tell_done(const struct dataset *ds, struct events *events)
{
    struct emit *e = event_begin(events, "done");
    emit_kv_string(e, "path", "result");
    emit_kv_int(e, "tokens", dataset_tokens(ds, SPLIT_TRAIN));
    emit_kv_int(e, "validation_tokens", dataset_tokens(ds, SPLIT_VALID));
    emit_kv_int(e, "documents", ds->documents);
    emit_kv_int(e, "bytes", ds->bytes);
    emit_kv_string(e, "tokenizer", ds->tokenizer_kind);
    emit_kv_int(e, "vocab_size", ds->vocab_size);
    emit_key(e, "dataset");
    dataset_emit(ds, e);
    event_end(events);
}

static enum status build(struct dataset *ds, const struct build_spec *spec, const char *tmp,
                         struct tokenizer *tokenizer, struct teller *teller, struct error *err)
{
    TRY(dir_remove(tmp, err));
    TRY(dir_make(tmp, err));
    return dataset_build(ds, tmp, spec, tokenizer, &(struct build_watch){ teller, on_progress },
                         err);
}

/* A trained tokenizer reads all files once before they are tokenized: its progress comes first. */
static enum status open_tokenizer(struct tokenizer **out, const struct job *job,
                                  const struct build_spec *spec, struct teller *teller,
                                  struct error *err)
{
    struct build_watch watch = { teller, on_progress };
    *out = NULL;
    if (job->tokenizer_is_bytes)
        tokenizer_bytes(out);
    else if (job->tokenizer_is_trained)
        return tokenizer_train(out, spec, &job->tokenizer_train, &watch, err);
    else if (tokenizer_open(out, job->tokenizer_path, err))
        return fail_in(err, "tokenizer/path");
    if ((*out)->eod >= 0) return OK;
    struct ends ends;
    ends_read(&ends, *out, job->tokenizer_path);
    (*out)->eod = ends.eos;
    if (ends.eos < 0)
        log_warn("documents are joined without a separator, because %.200s names no end of text; "
                 "put a tokenizer_config.json with its eos_token beside it",
                 job->tokenizer_path);
    return OK;
}

enum status run_dataset(const struct job *job, struct events *events, struct error *err)
{
    char tmp[PATH_ROOM], result[PATH_ROOM];
    struct tokenizer *tokenizer;
    struct dataset ds;
    struct teller teller = { events, 0 };
    struct build_spec spec = { *job->name ? job->name : "dataset", job->file, job->n_files,
                               job->validation_fraction, job->seed };
    TRY(path_join(tmp, job->work_dir, "result.tmp", err));
    TRY(path_join(result, job->work_dir, "result", err));
    tell_start(job, events);
    TRY(open_tokenizer(&tokenizer, job, &spec, &teller, err));
    if (build(&ds, &spec, tmp, tokenizer, &teller, err) || dir_commit(tmp, result, err)) {
        struct error ignored = { 0 };
        dir_remove(tmp, &ignored);
    } else {
        tell_done(&ds, events);
    }
    tokenizer_close(tokenizer);
    return err->status;
}
