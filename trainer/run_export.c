/* Kind export: a model in the forms that others load, with proof beside each. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "search/base/log.h"
#include "trainer/export/export.h"
#include "trainer/export/runtimes.h"
#include "trainer/parity.h"
#include "trainer/run.h"
#include "trainer/stop.h"

enum { DEFAULT_MAX_POSITION = 2048, MAX_REPORT = 1 << 20 };

struct export_run {
    const struct job *job;
    struct events *events;
    struct weights *source;
    struct parity *parity;
    char tokenizer_dir[PATH_ROOM]; /* "" when there is none */
    struct buf report;             /* export.json */
    struct emit e;
};

/* ---- what stands beside the model ---------------------------------------------------------- */

/* The job's, or the model's own (in its folder, or inside a GGUF file), if we can read that. */
static enum status find_tokenizer(struct export_run *x, struct error *err)
{
    struct tokenizer *t;
    struct error why = { 0 };
    const char *asked = x->job->export->tokenizer, *path = *asked ? asked : x->job->model.path;
    if (!*path) return OK;
    if (!tokenizer_open(&t, path, &why)) {
        snprintf(x->tokenizer_dir, PATH_ROOM, "%s", path);
        tokenizer_close(t);
        return OK;
    }
    if (*asked) {
        *err = why;
        return fail_in(err, "tokenizer");
    }
    if (why.status != E_MISSING) log_warn("no tokenizer comes along: %s", why.text);
    return OK;
}

static enum status open_parity(struct export_run *x, struct error *err)
{
    const struct job *job = x->job;
    struct tokenizer *t = NULL;
    if (job->model.has_shape) return OK;
    if (*x->tokenizer_dir) TRY(tokenizer_open(&t, x->tokenizer_dir, err));
    parity_open(&x->parity, x->source, job->backend, job->threads, job->export->prompt,
                job->export->n_prompts, t, job->seed, err);
    if (t && !err->status) {
        emit_key(&x->e, "tokenizer");
        emit_begin(&x->e, '{');
        emit_kv_string(&x->e, "kind", t->kind);
        emit_kv_string(&x->e, "sha256", t->hash);
        emit_end(&x->e);
    }
    tokenizer_close(t);
    return err->status;
}

/* ---- the report of one target -------------------------------------------------------------- */

static int is_file(const struct dirent *d) { return d->d_name[0] != '.'; }

static enum status report_file(struct export_run *x, const char *dir, const char *name,
                               struct error *err)
{
    char path[PATH_ROOM], sha256[HASH_HEX];
    uint64_t size;
    TRY(path_join(path, dir, name, err));
    TRY(file_digest(path, &size, sha256, err));
    emit_begin(&x->e, '{');
    emit_kv_string(&x->e, "name", name);
    emit_kv_int(&x->e, "bytes", (int64_t)size);
    emit_kv_string(&x->e, "sha256", sha256);
    emit_end(&x->e);
    return OK;
}

static enum status report_files(struct export_run *x, const char *dir, struct error *err)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_file, alphasort);
    if (n < 0) return fail_path(err, "list", dir);
    emit_key(&x->e, "files");
    emit_begin(&x->e, '[');
    for (int i = 0; i < n; i++) {
        if (!err->status) report_file(x, dir, list[i]->d_name, err);
        free(list[i]);
    }
    emit_end(&x->e);
    free(list);
    return err->status;
}

static void emit_parity(struct emit *e, const struct parity_report *r)
{
    emit_begin(e, '{');
    emit_kv_int(e, "prompts", r->prompts);
    emit_kv_int(e, "positions", r->positions);
    emit_kv_double(e, "max_abs_logit_difference", r->max_abs_logit);
    emit_kv_double(e, "mean_kl", r->mean_kl);
    emit_kv_double(e, "same_first_choice", r->same_argmax);
    emit_end(e);
}

/* Reads the copy back as a stranger would and compares logits. */
static enum status report_parity(struct export_run *x, const struct export_result *result,
                                 enum export_format format, const char *dir, struct error *err)
{
    char path[PATH_ROOM];
    struct weights *copy;
    struct parity_report report;
    emit_key(&x->e, "parity");
    if (format >= EXPORT_SAFETENSORS) {
        emit_null(&x->e);
        return OK;
    }
    TRY(path_join(path, dir, result->opens_at, err));
    if (!*result->opens_at) path[strlen(path) - 1] = '\0';
    TRY(weights_open(&copy, path, err));
    if (!parity_compare(x->parity, copy, &report, err)) emit_parity(&x->e, &report);
    weights_close(copy);
    return err->status;
}

static enum status report_target(struct export_run *x, const struct export_spec *spec,
                                 const struct export_result *result, const char *name,
                                 const char *dir, struct error *err)
{
    int64_t params = shape_params(&x->source->shape), stored = shape_params(&result->shape);
    struct emit *e = &x->e;
    emit_begin(e, '{');
    emit_kv_string(e, "format", export_formats[spec->format]);
    emit_kv_string(e, "dtype", spec->type->name);
    emit_kv_string(e, "path", name);
    emit_kv_string(e, "architecture", result->architecture);
    emit_kv_int(e, "params", params);
    emit_kv_int(e, "params_stored", stored);
    emit_kv_double(e, "overhead", (double)stored / (double)params - 1);
    TRY(report_parity(x, result, spec->format, dir, err));
    TRY(report_files(x, dir, err));
    emit_key(e, "runtimes");
    runtimes_emit(spec, result, e);
    emit_end(e);
    return OK;
}

/* ---- running ------------------------------------------------------------------------------- */

static void tell_progress(struct export_run *x, int done)
{
    struct emit *e = event_begin(x->events, "progress");
    emit_kv_int(e, "done", done);
    emit_kv_int(e, "total", x->job->export->n_targets);
    emit_kv_string(e, "unit", "targets");
    event_end(x->events);
}

static enum status export_target(struct export_run *x, int i, const char *root, struct error *err)
{
    const struct job_target *target = &x->job->export->target[i];
    int max_position = x->source->max_position ? x->source->max_position : DEFAULT_MAX_POSITION;
    struct export_spec spec = { target->format, export_type(target->type),
                                *x->tokenizer_dir ? x->tokenizer_dir : NULL, max_position,
                                x->job->export->card };
    struct export_result result;
    char name[64], dir[PATH_ROOM];
    if (stop_wanted()) return fail(err, E_CANCELLED, "stopped before target %d", i);
    if (!spec.card.name && *x->job->name) spec.card.name = x->job->name;
    snprintf(name, sizeof name, "%s-%s", export_formats[target->format],
             export_types[target->type]);
    TRY(path_join(dir, root, name, err));
    TRY(dir_make(dir, err));
    if (export_model(x->source, &spec, dir, &result, err) ||
        report_target(x, &spec, &result, name, dir, err))
        return fail_in(err, "targets/%d", i);
    tell_progress(x, i + 1);
    return OK;
}

static enum status export_all(struct export_run *x, const char *root, struct error *err)
{
    char path[PATH_ROOM], hash[HASH_HEX];
    emit_begin(&x->e, '{');
    shape_hash(&x->source->shape, hash);
    emit_kv_string(&x->e, "shape_hash", hash);
    TRY(find_tokenizer(x, err));
    TRY(open_parity(x, err));
    emit_key(&x->e, "targets");
    emit_begin(&x->e, '[');
    for (int i = 0; i < x->job->export->n_targets; i++) TRY(export_target(x, i, root, err));
    emit_end(&x->e);
    emit_end(&x->e);
    TRY(path_join(path, root, "export.json", err));
    return file_write(path, x->report.bytes, x->report.len, err);
}

static void tell_start(const struct job *job, struct events *events)
{
    struct emit *e = event_begin(events, "start");
    emit_kv_string(e, "job_id", job->id);
    emit_kv_string(e, "kind", job_kind_names[job->kind]);
    event_end(events);
}

static void tell_done(struct export_run *x)
{
    struct emit *e = event_begin(x->events, "done");
    emit_kv_string(e, "path", "result");
    emit_key(e, "export");
    emit_raw(e, x->report.bytes, x->report.len);
    event_end(x->events);
}

static enum status export_into(struct export_run *x, const char *work_dir, struct error *err)
{
    char tmp[PATH_ROOM], result[PATH_ROOM];
    struct error ignored = { 0 };
    TRY(path_join(tmp, work_dir, "result.tmp", err));
    TRY(path_join(result, work_dir, "result", err));
    TRY(dir_remove(tmp, err));
    TRY(dir_make(tmp, err));
    if (export_all(x, tmp, err) || dir_commit(tmp, result, err))
        dir_remove(tmp, &ignored);
    else
        tell_done(x);
    return err->status;
}

static void close_shape(struct weights *w) { free(w); }

/* A shape alone has nothing to read, and target shape reads nothing. */
static enum status open_source(struct export_run *x, struct error *err)
{
    const struct job_model *model = &x->job->model;
    if (!model->has_shape)
        return weights_open(&x->source, model->path, err) ? fail_in(err, "model/path") : OK;
    x->source = calloc(1, sizeof *x->source);
    if (!x->source) return fail(err, E_MEMORY, "no memory for a shape");
    *x->source = (struct weights){ .shape = model->shape, .format = "shape", .close = close_shape };
    return OK;
}

enum status run_export(const struct job *job, struct events *events, struct error *err)
{
    struct export_run x = { .job = job, .events = events };
    tell_start(job, events);
    TRY(open_source(&x, err));
    buf_init(&x.report, MAX_REPORT);
    emit_init(&x.e, &x.report);
    export_into(&x, job->work_dir, err);
    parity_close(x.parity);
    weights_close(x.source);
    buf_release(&x.report);
    return err->status;
}
