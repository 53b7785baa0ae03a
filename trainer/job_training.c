/* What kinds train and search ask for. */
#include <stdio.h>
#include <string.h>
#include "trainer/job_read.h"

/* ---- what to train ------------------------------------------------------------------- */

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
    if (!job_open_object(job, "data", &f)) return;
    job_read_text(&f, "path", data->path, sizeof data->path);
    read_by_domain(&data->weights, &f, "weights");
    read_by_domain(&data->targets, &f, "target_losses");
    field_end(&f);
}

static void read_teacher(struct job_teacher *teacher, struct field *job)
{
    struct field f;
    if (!field_object(job, "teacher", &f)) return;
    job_read_text(&f, "path", teacher->path, sizeof teacher->path);
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

void job_read_training(struct job *job, struct field *root)
{
    struct field f;
    job_read_model(&job->model, root);
    read_teacher(&job->teacher, root);
    read_data(&job->data, root);
    read_recipe(&job->recipe, root);
    read_every(job, root);
    check_sizes(job, root);
    check_lora(job, root);
    if (job->recipe.z_loss > 0 && *job->teacher.path)
        field_fail(root, "recipe", "z_loss does not go together with a teacher");
    bool search = job->kind == JOB_SEARCH;
    if (job_open_object(root, "budget", &f)) {
        job->budget_tokens = field_int(&f, "tokens", search ? 0 : 1, INT64_C(1) << 50);
        if (search)
            job->recover_tokens = field_int_or(&f, "recover_tokens", 0, INT64_C(1) << 50, 0);
        field_end(&f);
    }
    if (search && job_open_object(root, "search", &f)) search_options_read(&job->search, &f);
    if (!search || root->err->status) return;
    if (!job->recover_tokens) job->recipe.lr.kind = LR_CONSTANT;
    job->search.tokens_per_step = recipe_tokens_per_step(&job->recipe);
    job->search.start_step = recipe_steps(&job->recipe, job->budget_tokens);
}

int64_t recipe_tokens_per_step(const struct recipe *r)
{
    return (int64_t)r->batch_size * r->sequence_length * r->grad_accum;
}

int64_t recipe_tokens(const struct recipe *r, int64_t steps)
{
    int64_t per_step = recipe_tokens_per_step(r);
    return steps > INT64_MAX / per_step ? INT64_MAX : steps * per_step;
}

int64_t recipe_steps(const struct recipe *r, int64_t tokens)
{
    int64_t per_step = recipe_tokens_per_step(r);
    return tokens / per_step + (tokens % per_step != 0);
}
