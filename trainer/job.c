#include "trainer/job.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const job_kind_names[] = { "train",  "search",   "dataset", "import",
                                       "export", "evaluate", NULL };

static const char *const schemas[] = { "lathe.job/1", NULL };
static const char *const tokenizer_kinds[] = { "bytes", "hf", "train", NULL };

static void read_text(struct field *f, const char *key, char *out, size_t room)
{
    const char *text = field_string(f, key, room - 1);
    if (text && !*text) field_fail(f, key, "is empty");
    snprintf(out, room, "%s", text ? text : "");
}

static bool open_object(struct field *f, const char *key, struct field *out)
{
    if (field_object(f, key, out)) return true;
    field_fail(f, key, "is missing");
    return false;
}

/* ---- what to train ------------------------------------------------------------------- */

static void read_model(struct job_model *model, struct field *job)
{
    struct field f, shape;
    if (!open_object(job, "model", &f)) return;
    model->has_shape = field_has(&f, "shape");
    if (model->has_shape == field_has(&f, "path"))
        field_fail(&f, NULL, "needs either shape or path");
    if (!model->has_shape)
        read_text(&f, "path", model->path, sizeof model->path);
    else if (field_object(&f, "shape", &shape))
        shape_read(&model->shape, &shape);
    field_string_or(&f, "name", JOB_NAME, NULL);
    field_end(&f);
}

static void read_by_domain(struct by_domain *out, struct field *f, const char *key)
{
    struct field all;
    const char *name;
    json_t *value;
    if (!field_object(f, key, &all)) return;
    json_object_foreach(all.json, name, value)
    {
        if (out->n == DATASET_MAX_DOMAINS || strlen(name) >= DOMAIN_NAME) {
            field_fail(&all, name, "is not a domain a dataset can have");
            return;
        }
        snprintf(out->domain[out->n], DOMAIN_NAME, "%s", name);
        out->value[out->n++] = field_double(&all, name, 0, 1e9);
    }
}

static void read_data(struct job_data *data, struct field *job)
{
    struct field f;
    if (!open_object(job, "data", &f)) return;
    read_text(&f, "path", data->path, sizeof data->path);
    read_by_domain(&data->weights, &f, "weights");
    read_by_domain(&data->targets, &f, "target_losses");
    field_end(&f);
}

static void read_teacher(struct job_teacher *teacher, struct field *job)
{
    struct field f;
    if (!field_object(job, "teacher", &f)) return;
    read_text(&f, "path", teacher->path, sizeof teacher->path);
    teacher->distill.weight = field_double_or(&f, "weight", 0, 1, 0.5);
    teacher->distill.temperature = field_double_or(&f, "temperature", 0.01, 100, 2);
    field_end(&f);
}

/* ---- how --------------------------------------------------------------------------------- */

static int target_of(const char *name)
{
    int i = 0;
    while (lora_targets[i] && strcmp(name, lora_targets[i])) i++;
    return i;
}

static void read_lora(struct lora_options *lora, struct field *recipe)
{
    struct field f, targets;
    if (!field_object(recipe, "lora", &f)) return;
    lora->rank = (int)field_int(&f, "rank", 1, LORA_MAX_RANK);
    lora->alpha = field_double_or(&f, "alpha", 1e-6, 1e6, 2.0 * lora->rank);
    if (!field_has(&f, "targets")) lora->targets = (1u << LORA_TARGETS) - 1;
    size_t n = field_array(&f, "targets", LORA_TARGETS, &targets);
    for (size_t i = 0; i < n; i++) {
        const char *name = field_item_string(&targets, i, 8);
        int target = name ? target_of(name) : LORA_TARGETS;
        if (target == LORA_TARGETS)
            field_fail(&f, "targets", "takes q, k, v, o, gate, up and down");
        else
            lora->targets |= 1u << target;
    }
    if (!lora->targets) field_fail(&f, "targets", "is empty");
    field_end(&f);
}

static void check_lora(const struct job *job, struct field *root)
{
    if (!job->recipe.lora.rank) return;
    if (job->recipe.shard_moments)
        field_fail(root, "recipe",
                   "shard_moments does not go together with lora, whose moments "
                   "are few; leave it out");
    if (job->kind == JOB_SEARCH)
        field_fail(
            root, "recipe",
            "lora is for kind train: recover a snapshot of the search with a job of its own");
    else if (job->model.has_shape)
        field_fail(root, "model",
                   "has random weights, which lora would leave as they are; name a "
                   "path");
}

static void read_recipe(struct recipe *r, struct field *job)
{
    struct field f;
    field_object(job, "recipe", &f); /* when it is missing, so is every member */
    r->batch_size = (int)field_int_or(&f, "batch_size", 1, 65536, 16);
    r->sequence_length = (int)field_int_or(&f, "sequence_length", 1, 131072, 128);
    r->grad_accum = (int)field_int_or(&f, "grad_accum", 1, 65536, 1);
    r->lr.peak = field_double_or(&f, "learning_rate", 0, 10, 1e-3);
    r->lr.kind = (enum lr_kind)field_choice_or(&f, "schedule", lr_names, LR_WSD);
    r->lr.warmup_steps = field_int_or(&f, "warmup_steps", 0, INT64_C(1) << 40, 20);
    r->lr.decay_fraction = field_double_or(&f, "decay_fraction", 0, 1, 0.2);
    r->lr.min_ratio = field_double_or(&f, "min_lr_ratio", 0, 1, 0);
    r->optim.weight_decay = field_double_or(&f, "weight_decay", 0, 10, 0.1);
    r->optim.beta1 = field_double_or(&f, "beta1", 0, 0.999999, 0.9);
    r->optim.beta2 = field_double_or(&f, "beta2", 0, 0.999999999, 0.95);
    r->optim.epsilon = field_double_or(&f, "epsilon", 1e-30, 1, 1e-8);
    r->optim.clip_norm = field_double_or(&f, "clip_norm", 0, 1e9, 1);
    r->recompute = field_bool_or(&f, "recompute", false);
    r->shard_moments = field_bool_or(&f, "shard_moments", false);
    r->z_loss = field_double_or(&f, "z_loss", 0, 10, 0);
    read_lora(&r->lora, &f);
    field_end(&f);
}

static void read_keep(struct checkpoint_keep *keep, struct field *f)
{
    struct field steps;
    keep->last = (int)field_int_or(f, "keep", 1, 1000, 2);
    keep->major_every = field_int_or(f, "major_every", 0, INT64_C(1) << 40, 0);
    size_t n = field_array(f, "milestones", CHECKPOINT_MAX_MILESTONES, &steps);
    for (size_t i = 0; i < n; i++)
        keep->milestone[i] = field_item_int(&steps, i, 1, INT64_C(1) << 40);
    keep->n_milestones = (int)n;
}

static void read_every(struct job *job, struct field *root)
{
    struct field f;
    job->validate_every = 100;
    job->validation_tokens = 16384;
    job->checkpoint_every = 200;
    job->checkpoint_keep.last = 2;
    if (field_object(root, "validation", &f)) {
        job->validate_every = field_int_or(&f, "every_steps", 0, INT64_C(1) << 40, 100);
        job->validation_tokens = field_int_or(&f, "tokens", 1, INT64_C(1) << 40, 16384);
        field_end(&f);
    }
    if (field_object(root, "checkpoint", &f)) {
        job->checkpoint_every = field_int_or(&f, "every_steps", 0, INT64_C(1) << 40, 200);
        read_keep(&job->checkpoint_keep, &f);
        field_end(&f);
    }
}

/* The tokens of a job, and of the batches that are held at once, stay countable. */
static void check_sizes(const struct job *job, struct field *root)
{
    int64_t held = (int64_t)job->recipe.batch_size * job->recipe.sequence_length;
    if (held > INT64_C(1) << 26)
        field_fail(root, "recipe", "batch_size times sequence_length is %lld, above 2^26",
                   (long long)held);
}

static void read_training(struct job *job, struct field *root)
{
    struct field f;
    read_model(&job->model, root);
    read_teacher(&job->teacher, root);
    read_data(&job->data, root);
    read_recipe(&job->recipe, root);
    read_every(job, root);
    check_sizes(job, root);
    check_lora(job, root);
    if (job->recipe.z_loss > 0 && *job->teacher.path)
        field_fail(root, "recipe", "z_loss does not go together with a teacher");
    bool search = job->kind == JOB_SEARCH;
    if (open_object(root, "budget", &f)) {
        job->budget_tokens = field_int(&f, "tokens", search ? 0 : 1, INT64_C(1) << 50);
        if (search)
            job->recover_tokens = field_int_or(&f, "recover_tokens", 0, INT64_C(1) << 50, 0);
        field_end(&f);
    }
    if (search && open_object(root, "search", &f)) search_options_read(&job->search, &f);
    if (!search || root->err->status) return;
    if (!job->recover_tokens) job->recipe.lr.kind = LR_CONSTANT;
    job->search.tokens_per_step = recipe_tokens_per_step(&job->recipe);
    job->search.start_step = recipe_steps(&job->recipe, job->budget_tokens);
}

int64_t recipe_tokens_per_step(const struct recipe *r)
{
    return (int64_t)r->batch_size * r->sequence_length * r->grad_accum;
}

int64_t recipe_steps(const struct recipe *r, int64_t tokens)
{
    int64_t per_step = recipe_tokens_per_step(r);
    return tokens / per_step + (tokens % per_step != 0);
}

/* ---- files --------------------------------------------------------------------------------- */

static void read_file(struct job *job, struct field *array, size_t i)
{
    struct field f;
    struct build_file *file = &job->file[i];
    if (!field_item_object(array, i, &f)) return;
    read_text(&f, "path", file->path, sizeof file->path);
    if (job->kind == JOB_DATASET) {
        file->format = (enum document_format)field_choice_or(&f, "format", document_formats, 0);
        const char *domain = field_string_or(&f, "domain", DOMAIN_NAME - 1, "");
        snprintf(file->domain, sizeof file->domain, "%s", domain ? domain : "");
    } else {
        read_text(&f, "name", file->domain, sizeof file->domain);
        if (strchr(file->domain, '/') || file->domain[0] == '.')
            field_fail(&f, "name", "is not a plain file name");
    }
    field_end(&f);
}

static void read_files(struct job *job, struct field *root)
{
    struct field files;
    size_t n = field_array(root, "files", JOB_MAX_FILES, &files);
    job->file = calloc(n + 1, sizeof *job->file);
    if (!job->file) abort();
    for (size_t i = 0; i < n; i++) read_file(job, &files, i);
    job->n_files = (int)n;
}

static void read_tokenizer_training(struct bpe_train_options *o, struct field *f)
{
    o->vocab_size = (int)field_int(f, "vocab_size", BPE_TRAIN_MIN_VOCAB, BPE_TRAIN_MAX_VOCAB);
    o->family = (enum bpe_family)field_choice_or(f, "family", bpe_family_names, BPE_SMOLLM);
    o->min_count = (int)field_int_or(f, "min_count", 1, 1 << 20, 2);
}

static void read_tokenizer(struct job *job, struct field *root)
{
    struct field f;
    if (!open_object(root, "tokenizer", &f)) return;
    int kind = field_choice(&f, "kind", tokenizer_kinds);
    job->tokenizer_is_bytes = kind == 0;
    job->tokenizer_is_trained = kind == 2;
    if (kind == 2)
        read_tokenizer_training(&job->tokenizer_train, &f);
    else if (kind == 1)
        read_text(&f, "path", job->tokenizer_path, sizeof job->tokenizer_path);
    field_end(&f);
}

static void read_dataset(struct job *job, struct field *root)
{
    read_files(job, root);
    read_tokenizer(job, root);
    job->validation_fraction = field_double_or(root, "validation_fraction", 0, 0.5, 0.05);
    if (!job->n_files) field_fail(root, "files", "names no file");
}

static void read_import(struct job *job, struct field *root)
{
    read_files(job, root);
    if (field_has(root, "path")) read_text(root, "path", job->import_path, sizeof job->import_path);
    if ((job->n_files > 0) == (*job->import_path != 0))
        field_fail(root, "files", "either files or path must say what to import");
}

static void read_export(struct job *job, struct field *root)
{
    read_model(&job->model, root);
    job->export = job_export_read(root);
    for (int i = 0; i < job->export->n_targets && job->model.has_shape; i++)
        if (job->export->target[i].format != EXPORT_SHAPE)
            field_fail(root, "model",
                       "has no weights, which all targets but shape need; name a path");
}

static void read_evaluate(struct job *job, struct field *root)
{
    read_model(&job->model, root);
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
    read_text(root, "work_dir", job->work_dir, sizeof job->work_dir);
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
        read_dataset(job, root);
    else if (job->kind == JOB_IMPORT)
        read_import(job, root);
    else if (job->kind == JOB_EXPORT)
        read_export(job, root);
    else if (job->kind == JOB_EVALUATE)
        read_evaluate(job, root);
    else
        read_training(job, root);
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
