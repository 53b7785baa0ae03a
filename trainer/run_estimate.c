/* dry_run: what a job would take, by counting; nothing large is allocated. Of several processes
 * (`mpirun -np 4`) it tells the memory that one of them takes. */
#include "search/cost.h"
#include "search/search.h"
#include "trainer/collector.h"
#include "trainer/formats/weights.h"
#include "trainer/model.h"
#include "trainer/ranks.h"
#include "trainer/run.h"
#include "trainer/training.h"

static enum status shape_at(const char *path, struct shape *out, struct error *err)
{
    struct weights *w;
    TRY(weights_open(&w, path, err));
    *out = w->shape;
    weights_close(w);
    return OK;
}

static enum status source_of(const struct job *job, struct shape *out, struct error *err)
{
    *out = job->model.shape;
    if (!job->model.has_shape && shape_at(job->model.path, out, err))
        return fail_in(err, "model/path");
    if (job->kind == JOB_SEARCH) search_source(&job->search, out);
    return OK;
}

static void add_bytes(struct model_bytes *to, const struct model_bytes *more)
{
    to->weights += more->weights;
    to->grads += more->grads;
    to->moments += more->moments;
    to->activations += more->activations;
    to->total += more->total;
}

/* Adds what the teacher takes, if there is one. */
static enum status measure_teacher(const struct job *job, const struct backend *be,
                                   struct model_bytes *bytes, struct error *err)
{
    struct model_options options = { .batch_size = job->recipe.batch_size / ranks_size(),
                                     .sequence_length = job->recipe.sequence_length };
    struct model_bytes more;
    struct shape shape;
    if (!*job->teacher.path) return OK;
    if (shape_at(job->teacher.path, &shape, err)) return fail_in(err, "teacher/path");
    TRY(model_measure(&more, be, &shape, &options, err));
    add_bytes(bytes, &more);
    return OK;
}

static enum status count_steps(const struct job *job, const struct shape *source, int64_t *steps,
                               struct error *err)
{
    struct search search;
    *steps = recipe_steps(&job->recipe, job->budget_tokens);
    if (job->kind != JOB_SEARCH) return OK;
    if (scoring_check(&job->search.scoring, collector_offers(), err))
        return fail_in(err, "search/criterion/name");
    TRY(search_open(&search, source, &job->search, job->seed, err));
    *steps = search_steps_planned(&search) + recipe_steps(&job->recipe, job->recover_tokens);
    search_close(&search);
    return OK;
}

/* The most that any of the ranks takes. */
static enum status measure_model(const struct job *job, const struct backend *be,
                                 const struct shape *source, struct model_options options,
                                 struct model_bytes *bytes, struct error *err)
{
    int n = job->recipe.shard_moments ? ranks_size() : 1;
    *bytes = (struct model_bytes){ 0 };
    for (int i = 0; i < n; i++) {
        struct model_bytes one;
        options.moments = (struct portion){ i, n };
        TRY(model_measure(&one, be, source, &options, err));
        if (one.total > bytes->total) *bytes = one;
    }
    return OK;
}

static enum status measure(const struct job *job, const struct shape *source,
                           struct model_bytes *bytes, struct error *err)
{
    struct backend *be;
    const struct recipe *r = &job->recipe;
    if (r->batch_size % ranks_size())
        return fail(err, E_INPUT,
                    "recipe/batch_size: %d sequences cannot be shared by %d processes",
                    r->batch_size, ranks_size());
    struct model_options options = training_model_options(job);
    struct model_bytes more;
    TRY(backend_open(&be, job->backend, job->threads, err));
    measure_model(job, be, source, options, bytes, err);
    if (!err->status && r->lora.rank && !lora_measure(&more, be, source, &options, &r->lora, err))
        add_bytes(bytes, &more);
    if (!err->status) measure_teacher(job, be, bytes, err);
    backend_close(be);
    return err->status;
}

static void emit_bytes(struct emit *e, const struct model_bytes *bytes)
{
    emit_key(e, "memory");
    emit_begin(e, '{');
    emit_kv_int(e, "weights", (int64_t)bytes->weights);
    emit_kv_int(e, "grads", (int64_t)bytes->grads);
    emit_kv_int(e, "moments", (int64_t)bytes->moments);
    emit_kv_int(e, "activations", (int64_t)bytes->activations);
    emit_end(e);
}

enum status run_estimate(const struct job *job, struct events *events, struct error *err)
{
    struct shape source;
    struct model_bytes bytes = { 0 };
    int64_t steps;
    TRY(source_of(job, &source, err));
    TRY(count_steps(job, &source, &steps, err));
    TRY(measure(job, &source, &bytes, err));
    struct cost cost = cost_of(&source, job->recipe.sequence_length);
    struct emit *e = event_begin(events, "estimate");
    emit_kv_int(e, "params", cost.params);
    emit_kv_int(e, "bytes", (int64_t)bytes.total);
    emit_bytes(e, &bytes);
    emit_kv_int(e, "steps_planned", steps);
    emit_kv_int(e, "tokens_planned", recipe_tokens(&job->recipe, steps));
    emit_kv_int(e, "flops_per_token", cost.flops_per_token);
    event_end(events);
    return OK;
}
