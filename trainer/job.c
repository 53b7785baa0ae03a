#include "trainer/job.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/job_read.h"

const char *const job_kind_names[] = { "train",  "search",   "dataset", "import",
                                       "export", "evaluate", NULL };

static const char *const schemas[] = { "lathe.job/1", NULL };

/* ---- what several kinds have ----------------------------------------------------------------- */

void job_read_text(struct field *f, const char *key, char *out, size_t room)
{
    const char *text = field_string(f, key, room - 1);
    if (text && !*text) field_fail(f, key, "is empty");
    snprintf(out, room, "%s", text ? text : "");
}

bool job_open_object(struct field *f, const char *key, struct field *out)
{
    if (field_object(f, key, out)) return true;
    field_fail(f, key, "is missing");
    return false;
}

void job_read_model(struct job_model *model, struct field *job)
{
    struct field f, shape;
    if (!job_open_object(job, "model", &f)) return;
    model->has_shape = field_has(&f, "shape");
    if (model->has_shape == field_has(&f, "path"))
        field_fail(&f, NULL, "needs either shape or path");
    if (!model->has_shape)
        job_read_text(&f, "path", model->path, sizeof model->path);
    else if (field_object(&f, "shape", &shape))
        shape_read(&model->shape, &shape);
    field_string_or(&f, "name", JOB_NAME, NULL);
    field_end(&f);
}

static void read_export(struct job *job, struct field *root)
{
    job_read_model(&job->model, root);
    job->export = job_export_read(root);
    for (int i = 0; i < job->export->n_targets && job->model.has_shape; i++)
        if (job->export->target[i].format != EXPORT_SHAPE)
            field_fail(root, "model",
                       "has no weights, which all targets but shape need; name a path");
}

static void read_evaluate(struct job *job, struct field *root)
{
    job_read_model(&job->model, root);
    job->evaluate = job_evaluate_read(root);
    if (!root->err->status && job->model.has_shape && !job_evaluate_is_latency(job->evaluate))
        field_fail(root, "model",
                   "has no weights, which every form but latency needs; name a path");
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/* The backend that computes so. */
static void read_precision(struct job *job, struct field *root)
{
    static const char *const names[] = { "float32", "bf16", "bf16x3", NULL };
    static const struct {
        const char *backend, *with[3];
    } known[] = { { "cpu", { "cpu", "cpu-bf16", "cpu-bf16x3" } },
                  { "cuda", { "cuda-f32", "cuda" } },
                  { "cuda-exact", { "cuda-f32", "cuda-exact" } },
                  { "ref", { "ref" } } };
    if (!field_has(root, "precision")) return;
    int which = field_choice(root, "precision", names);
    for (size_t i = 0; i < sizeof known / sizeof *known && !root->err->status; i++) {
        if (strcmp(job->backend, known[i].backend)) continue;
        if (known[i].with[which])
            snprintf(job->backend, sizeof job->backend, "%s", known[i].with[which]);
        else if (!strcmp(job->backend, "ref"))
            field_fail(root, "precision", "backend ref computes in float64");
        else
            field_fail(root, "precision", "%s is for backend cpu; %s has float32 and bf16",
                       names[which], job->backend);
        return;
    }
    field_fail(root, "precision", "backend %s says it already", job->backend);
}

static void read_common(struct job *job, struct field *root)
{
    field_choice(root, "schema", schemas);
    job->kind = (enum job_kind)field_choice(root, "kind", job_kind_names);
    const char *id = field_string_or(root, "job_id", JOB_NAME - 1, "");
    const char *name = field_string_or(root, "name", JOB_NAME - 1, "");
    const char *backend = field_string_or(root, "backend", 15, "cpu");
    snprintf(job->id, sizeof job->id, "%s", id ? id : "");
    snprintf(job->name, sizeof job->name, "%s", name ? name : "");
    snprintf(job->backend, sizeof job->backend, "%s", backend ? backend : "");
    job_read_text(root, "work_dir", job->work_dir, sizeof job->work_dir);
    job->threads = (int)field_int_or(root, "threads", 1, 1024, processors());
    job->seed = (uint64_t)field_int_or(root, "seed", 0, INT64_MAX, 1);
    job->dry_run = field_bool_or(root, "dry_run", false);
    read_precision(job, root);
}

static enum status read_job(struct job *job, struct field *root)
{
    read_common(job, root);
    if (root->err->status) return root->err->status;
    if (job->kind == JOB_DATASET)
        job_read_dataset(job, root);
    else if (job->kind == JOB_IMPORT)
        job_read_import(job, root);
    else if (job->kind == JOB_EXPORT)
        read_export(job, root);
    else if (job->kind == JOB_EVALUATE)
        read_evaluate(job, root);
    else
        job_read_training(job, root);
    return field_end(root);
}

/* The job without what may change between two attempts at it: where things lie, how often to
 * look, how much to keep, on what to run. */
static char *identity_of(const json_t *json)
{
    static const char *const free_members[] = { "job_id",     "work_dir", "dry_run", "validation",
                                                "checkpoint", "name",     "backend", "threads" };
    json_t *copy = json_deep_copy(json);
    for (size_t i = 0; i < sizeof free_members / sizeof *free_members; i++)
        json_object_del(copy, free_members[i]);
    const json_t *steered = json_object_get(json_object_get(json, "data"), "target_losses");
    if (steered) json_object_set(copy, "validation", json_object_get(json, "validation"));
    json_object_del(json_object_get(copy, "model"), "path");
    json_object_del(json_object_get(copy, "model"), "name");
    json_object_del(json_object_get(copy, "teacher"), "path");
    json_t *recipe = json_object_get(copy, "recipe");
    if (!json_object_del(recipe, "shard_moments") && !json_object_size(recipe))
        json_object_del(copy, "recipe");
    json_object_del(json_object_get(copy, "data"), "path");
    char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(copy);
    if (!text) abort();
    return text;
}

enum status job_parse(struct job *job, const char *text, size_t len, struct error *err)
{
    struct field root;
    *job = (struct job){ 0 };
    json_t *json = field_parse(text, len, err);
    if (!json) return err->status;
    field_root(&root, json, err);
    if (!err->status && !read_job(job, &root)) job->identity = identity_of(json);
    json_decref(json);
    return err->status;
}

void job_release(struct job *job)
{
    free(job->file);
    job_export_free(job->export);
    job_evaluate_free(job->evaluate);
    free(job->identity);
    *job = (struct job){ 0 };
}
