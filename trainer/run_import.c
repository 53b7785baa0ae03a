/* Kind import: a model that others made becomes a Hugging Face folder of ours, `result`. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "trainer/backend.h"
#include "trainer/model_folder.h"
#include "trainer/run.h"

/* The uploaded files under their own names, as links in one folder. */
static enum status gather(const struct job *job, const char *dir, struct error *err)
{
    TRY(dir_remove(dir, err));
    TRY(dir_make(dir, err));
    for (int i = 0; i < job->n_files; i++) {
        char link[PATH_ROOM], file[PATH_MAX];
        TRY(path_join(link, dir, job->file[i].domain, err));
        if (!realpath(job->file[i].path, file) || access(file, R_OK))
            return fail_path(err, "open", job->file[i].path);
        if (symlink(file, link)) return fail_path(err, "link", link);
    }
    return OK;
}

/* A lone GGUF file is the model; anything else is a folder of Hugging Face files. */
static enum status place_of(const struct job *job, const char *dir, char path[PATH_ROOM],
                            struct error *err)
{
    for (int i = 0; i < job->n_files; i++) {
        const char *name = job->file[i].domain;
        size_t n = strlen(name);
        if (n > 5 && !strcmp(name + n - 5, ".gguf")) return path_join(path, dir, name, err);
    }
    TRY(path_join(path, dir, "", err));
    path[strlen(path) - 1] = '\0';
    return OK;
}

static enum status convert(struct weights *w, const char *from, const char *result,
                           char sha256[HASH_HEX], struct error *err)
{
    struct backend *be;
    struct model *model = NULL;
    struct model_options options = { .batch_size = 1, .sequence_length = 1 };
    struct model_folder_extra extra = { from, w->max_position ? w->max_position : 2048, -1 };
    TRY(backend_open(&be, "ref", 1, err));
    if (!model_open(&model, be, &w->shape, &w->shape, &options, err) &&
        !model_folder_read(model, w, err))
        model_folder_write(model, result, &extra, sha256, err);
    model_close(model);
    backend_close(be);
    return err->status;
}

static void tell_done(const struct weights *w, const char *sha256, struct events *events)
{
    char hash[HASH_HEX];
    shape_hash(&w->shape, hash);
    struct emit *e = event_begin(events, "done");
    emit_kv_string(e, "path", "result");
    emit_kv_string(e, "format", w->format);
    emit_kv_int(e, "params", shape_params(&w->shape));
    emit_kv_string(e, "shape_hash", hash);
    emit_kv_string(e, "sha256", sha256);
    emit_key(e, "shape");
    shape_emit(&w->shape, e);
    event_end(events);
}

static enum status import(const struct job *job, const char *dir, struct events *events,
                          struct error *err)
{
    char from[PATH_ROOM], result[PATH_ROOM], sha256[HASH_HEX];
    struct weights *w;
    TRY(path_join(result, job->work_dir, "result", err));
    if (*job->import_path) dir = job->import_path;
    TRY(place_of(job, dir, from, err));
    if (weights_open(&w, from, err)) return fail_in(err, *job->import_path ? "path" : "files");
    if (!convert(w, from, result, sha256, err)) tell_done(w, sha256, events);
    weights_close(w);
    return err->status;
}

enum status run_import(const struct job *job, struct events *events, struct error *err)
{
    char dir[PATH_ROOM];
    struct error ignored = { 0 };
    TRY(path_join(dir, job->work_dir, "files", err));
    struct emit *e = event_begin(events, "start");
    emit_kv_string(e, "job_id", job->id);
    emit_kv_string(e, "kind", job_kind_names[job->kind]);
    event_end(events);
    if (!gather(job, dir, err)) import(job, dir, events, err);
    dir_remove(dir, &ignored);
    return err->status;
}
