#include "trainer/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/log.h"
#include "trainer/checkpoint.h"
#include "trainer/model_folder.h"
#include "trainer/ranks.h"

bool training_is_search(const struct training *t) { return t->job->kind == JOB_SEARCH; }

int64_t training_tokens(const struct training *t)
{
    return t->step * recipe_tokens_per_step(&t->job->recipe);
}

/* ---- data ---------------------------------------------------------------------------------- */

/* What the job says of domains, in the order of the dataset's; those not named get 0. */
static enum status by_domain(const struct training *t, const struct by_domain *given,
                             const char *what, double *value, struct error *err)
{
    double sum = 0;
    memset(value, 0, DATASET_MAX_DOMAINS * sizeof *value);
    for (int i = 0; i < given->n; i++) {
        int d = 0;
        while (d < t->ds.n_domains && strcmp(t->ds.domain[d].name, given->domain[i])) d++;
        if (d == t->ds.n_domains)
            return fail(err, E_INPUT, "data/%s/%s: the dataset has no such domain", what,
                        given->domain[i]);
        value[d] = given->value[i];
        sum += value[d];
    }
    return sum > 0 ? OK : fail(err, E_INPUT, "data/%s: no domain has one above 0", what);
}

/* A validation of its own for every domain, together as long as the one over all. Steering gives
 * weight to every domain, also to those that the job gave none. */
static enum status open_mixture(struct training *t, struct error *err)
{
    const struct job *job = t->job;
    int n = t->ds.n_domains;
    TRY(by_domain(t, &job->data.targets, "target_losses", t->mixture.target, err));
    if (job->data.targets.n != n)
        return fail(err, E_INPUT, "data/target_losses: names %d of the dataset's %d domains",
                    job->data.targets.n, n);
    for (int d = 0; d < n; d++) TRY(feed_check_domain(&t->feed, d, err));
    for (int d = 0; d < n; d++)
        TRY(held_out_init(&t->held_domain[d], &t->ds, job->recipe.sequence_length, d,
                          job->validation_tokens / n, err));
    t->mixture.n = n;
    return OK;
}

static enum status open_data(struct training *t, struct error *err)
{
    const struct job *job = t->job;
    const struct by_domain *weights = &job->data.weights;
    double weight[DATASET_MAX_DOMAINS];
    int time = job->recipe.sequence_length;
    if (dataset_open(&t->ds, job->data.path, err)) return fail_in(err, "data/path");
    if (weights->n) TRY(by_domain(t, weights, "weights", weight, err));
    TRY(feed_init(&t->feed, &t->ds, time, job->seed, weights->n ? weight : NULL, err));
    if (job->data.targets.n) TRY(open_mixture(t, err));
    t->can_validate = dataset_tokens(&t->ds, SPLIT_VALID) > 0;
    return t->can_validate ? held_out_init(&t->held, &t->ds, time, -1, job->validation_tokens, err)
                           : OK;
}

/* ---- model --------------------------------------------------------------------------------- */

static enum status check_vocabulary(const struct training *t, struct error *err)
{
    if (t->ds.vocab_size <= t->source.vocab_size) return OK;
    return fail(err, E_INPUT,
                "model/shape/vocab_size: is %d, the dataset's tokenizer has %d tokens",
                t->source.vocab_size, t->ds.vocab_size);
}

static enum status allocate_search(struct training *t, struct error *err)
{
    const struct search_options *o = &t->search.options;
    if (collector_is_needed(o)) TRY(collector_open(&t->collector, t->model, &t->search, err));
    if (t->collector && t->collector->scores) return OK;
    TRY(saliency_open(&t->saliency, t->model, o->space.head_unit, err));
    t->saliency->without_embedding = !o->scoring.embedding_in_stem;
    return OK;
}

struct model_options training_model_options(const struct job *job)
{
    const struct recipe *r = &job->recipe;
    bool looks = job->kind == JOB_SEARCH && collector_runs_forward(&job->search);
    return (struct model_options){ .batch_size = r->batch_size / ranks_size(),
                                   .sequence_length = r->sequence_length,
                                   .train = r->lora.rank ? MODEL_ADAPT : MODEL_TRAIN,
                                   .recompute = r->recompute,
                                   .lend_gradients = r->grad_accum == 1 && !looks };
}

static enum status allocate(struct training *t, const struct shape *current, struct error *err)
{
    const struct recipe *r = &t->job->recipe;
    struct model_options options = training_model_options(t->job);
    size_t n = (size_t)r->batch_size * (size_t)r->sequence_length;
    if (r->shard_moments) options.moments = (struct portion){ ranks_rank(), ranks_size() };
    t->ids = calloc(n, sizeof *t->ids);
    t->targets = calloc(n, sizeof *t->targets);
    if (!t->ids || !t->targets) return fail(err, E_MEMORY, "no memory for a batch of %zu ids", n);
    TRY(model_open(&t->model, t->be, &t->source, current, &options, err));
    TRY(model_set_z_loss(t->model, r->z_loss, err));
    if (r->lora.rank) TRY(lora_attach(t->model, &r->lora, err));
    return training_is_search(t) ? allocate_search(t, err) : OK;
}

static enum status open_teacher(struct training *t, struct error *err)
{
    const struct recipe *r = &t->job->recipe;
    const struct job_teacher *teacher = &t->job->teacher;
    struct model_options options = { .batch_size = r->batch_size / ranks_size(),
                                     .sequence_length = r->sequence_length };
    struct weights *w;
    if (weights_open(&w, teacher->path, err)) return err->status;
    if (!model_open(&t->teacher, t->be, &w->shape, &w->shape, &options, err) &&
        !model_folder_read(t->teacher, w, err))
        model_set_teacher(t->model, t->teacher, teacher->distill, err);
    weights_close(w);
    return err->status;
}

static enum status start_fresh(struct training *t, struct weights *weights, struct error *err)
{
    TRY(allocate(t, &t->source, err));
    if (t->model->lora) lora_init(t->model, t->job->seed);
    if (weights) return model_folder_read(t->model, weights, err);
    model_init(t->model, t->job->seed);
    return OK;
}

/* ---- resuming ------------------------------------------------------------------------------ */

static enum status apply_line(struct training *t, const char *line, size_t len, struct error *err)
{
    struct removal *removal = malloc(sizeof *removal);
    struct field f;
    if (!removal) abort();
    json_t *json = field_parse(line, len, err);
    if (json) {
        field_root(&f, json, err);
        if (!removal_read(removal, &f) && !field_end(&f)) search_apply(&t->search, removal, err);
    }
    json_decref(json);
    free(removal);
    return err->status;
}

/* Replays the removals: the search then knows what it knew. */
static enum status replay(struct training *t, const struct checkpoint *cp, struct error *err)
{
    const char *at = cp->removals, *end = cp->removals + cp->removals_len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = newline ? (size_t)(newline - at) : (size_t)(end - at);
        TRY(apply_line(t, at, len, err));
        at += len + 1;
    }
    buf_put(&t->removals, cp->removals, cp->removals_len);
    TRY(search_seek(&t->search, cp->step, err));
    if (!shape_equal(&t->search.shape, &cp->shape))
        return fail(err, E_CONFLICT, "its removals do not lead to its shape");
    scores_release(&t->scores);
    search_init_scores(&t->search, &t->scores);
    return OK;
}

/* What was collected in the unit of the schedule that had begun. */
static enum status restore_scores(struct training *t, const struct checkpoint *cp,
                                  struct error *err)
{
    int64_t n = scores_count(&t->scores);
    if (n + (t->collector ? collector_count(t->collector) : 0) != cp->n_scores)
        return fail(err, E_CONFLICT, "its scores do not fit its shape");
    scores_set(&t->scores, cp->scores);
    t->scores.weight = cp->scores_weight;
    if (t->collector) collector_set(t->collector, cp->scores + n);
    return OK;
}

static enum status check_same_job(const struct training *t, const struct checkpoint *cp,
                                  struct error *err)
{
    if (strcmp(cp->identity, t->job->identity))
        return fail(err, E_INPUT,
                    "work_dir: holds checkpoints of a job that differs in more than its paths; "
                    "choose another folder or remove %.120s",
                    cp->path);
    if (!shape_equal(&cp->capacity, &t->source))
        return fail(err, E_INPUT, "model/path: is not the model that the checkpoints started from");
    if (cp->n_domains != t->ds.n_domains)
        return fail(err, E_INPUT, "data/path: is not the dataset that the checkpoints saw");
    return OK;
}

static enum status resume(struct training *t, const struct checkpoint *cp, struct error *err)
{
    TRY(check_same_job(t, cp, err));
    if (training_is_search(t) && replay(t, cp, err)) return fail_in(err, "%.160s", cp->path);
    TRY(allocate(t, &cp->shape, err));
    if (training_is_search(t) && restore_scores(t, cp, err))
        return fail_in(err, "%.160s", cp->path);
    TRY(checkpoint_read_model(cp, t->model, err));
    t->step = t->saved_step = t->resumed_from = cp->step;
    t->loss = cp->loss;
    t->feed.samples = cp->samples;
    memcpy(t->feed.taken, cp->taken, sizeof cp->taken);
    memcpy(t->feed.weight, cp->weight, sizeof cp->weight);
    log_info("resuming at step %lld from %s", (long long)cp->step, cp->path);
    return OK;
}

/* With several ranks: what one process alone may ask for is refused here. */
static enum status check_ranks(const struct training *t, struct error *err)
{
    int n = ranks_size(), batch = t->job->recipe.batch_size;
    if (batch % n)
        return fail(err, E_INPUT,
                    "recipe/batch_size: %d sequences cannot be shared by %d processes", batch, n);
    if (n > 1 && training_is_search(t) && collector_sees_inputs(&t->search.options))
        return fail(err, E_INPUT,
                    "search: criteria that look at activations, and update obs, work in one "
                    "process only");
    return OK;
}

/* Rank 0 looks first, because it clears away what a crash left. */
static enum status load_checkpoint(struct checkpoint *cp, bool *found, const char *dir,
                                   struct error *err)
{
    if (ranks_is_root()) checkpoint_load(cp, found, dir, err);
    TRY(ranks_share(err));
    if (!ranks_is_root()) checkpoint_load(cp, found, dir, err);
    return err->status;
}

static enum status start_or_resume(struct training *t, struct weights *weights, struct error *err)
{
    struct checkpoint cp;
    char dir[PATH_ROOM];
    bool found;
    TRY(path_join(dir, t->job->work_dir, "checkpoints", err));
    TRY(load_checkpoint(&cp, &found, dir, err));
    if (found)
        resume(t, &cp, err);
    else
        start_fresh(t, weights, err);
    checkpoint_release(&cp);
    return err->status;
}

/* ---- opening and closing ------------------------------------------------------------------- */

/* Where the model at step 0 comes from; *weights is NULL when it is drawn at random. */
static enum status find_source(struct training *t, struct weights **weights, struct error *err)
{
    const struct job_model *model = &t->job->model;
    *weights = NULL;
    t->max_position = t->job->recipe.sequence_length;
    if (model->has_shape) {
        t->source = model->shape;
        if (training_is_search(t)) search_source(&t->job->search, &t->source);
        return OK;
    }
    if (weights_open(weights, model->path, err)) return fail_in(err, "model/path");
    t->source = (*weights)->shape;
    if (training_is_search(t)) search_source(&t->job->search, &t->source);
    if ((*weights)->max_position > t->max_position) t->max_position = (*weights)->max_position;
    return OK;
}

static enum status open_search(struct training *t, struct error *err)
{
    const struct scoring *scoring = &t->job->search.scoring;
    if (scoring_check(scoring, collector_offers(), err))
        return fail_in(err, "search/criterion/name");
    TRY(search_open(&t->search, &t->source, &t->job->search, t->job->seed, err));
    search_init_scores(&t->search, &t->scores);
    int64_t recovery = recipe_steps(&t->job->recipe, t->job->recover_tokens);
    if (recovery) t->end_step = search_steps_planned(&t->search) + recovery;
    return OK;
}

/* The learning rate depends on what was planned at step 0, never on how it went. */
static void plan_rate(struct training *t)
{
    int64_t recovery = recipe_steps(&t->job->recipe, t->job->recover_tokens);
    t->lr = t->job->recipe.lr;
    t->lr.total_steps = t->end_step ? t->end_step : t->total_steps;
    if (!t->end_step) return;
    t->total_steps = t->end_step;
    double share = (double)recovery / (double)t->end_step;
    if (t->lr.decay_fraction > share) t->lr.decay_fraction = share;
}

static enum status open_parts(struct training *t, struct weights **weights, struct error *err)
{
    TRY(find_source(t, weights, err));
    TRY(open_data(t, err));
    TRY(check_vocabulary(t, err));
    if (training_is_search(t)) TRY(open_search(t, err));
    TRY(check_ranks(t, err));
    TRY(backend_open(&t->be, t->job->backend, t->job->threads, err));
    TRY(start_or_resume(t, *weights, err));
    if (*t->job->teacher.path && open_teacher(t, err)) return fail_in(err, "teacher/path");
    t->total_steps = training_is_search(t) ? search_steps_planned(&t->search)
                                           : recipe_steps(&t->job->recipe, t->job->budget_tokens);
    plan_rate(t);
    return OK;
}

enum status training_open(struct training *t, const struct job *job, struct events *events,
                          struct error *err)
{
    struct weights *weights = NULL;
    *t = (struct training){ .job = job, .events = events, .resumed_from = -1, .saved_step = -1 };
    t->loss = t->validation_loss = t->grad_norm = NAN;
    buf_init(&t->removals, (size_t)1 << 30);
    open_parts(t, &weights, err);
    weights_close(weights);
    return err->status;
}

void training_close(struct training *t)
{
    saliency_close(t->saliency);
    collector_close(t->collector);
    model_close(t->model);
    model_close(t->teacher);
    backend_close(t->be);
    dataset_close(&t->ds);
    if (training_is_search(t)) {
        search_close(&t->search);
        scores_release(&t->scores);
    }
    buf_release(&t->removals);
    free(t->ids);
    free(t->targets);
}
