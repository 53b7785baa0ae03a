/* One step, a validation, a checkpoint: what the loops of train and search share. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/clock.h"
#include "trainer/checkpoint.h"
#include "trainer/model_folder.h"
#include "trainer/ranks.h"
#include "trainer/stop.h"
#include "trainer/training.h"

/* ---- a step ---------------------------------------------------------------------------- */

/* This rank's part of the batch that all draw. */
static struct model_batch own_batch(const struct training *t)
{
    const struct recipe *r = &t->job->recipe;
    int rows = r->batch_size / ranks_size();
    size_t at = (size_t)ranks_rank() * (size_t)rows * (size_t)r->sequence_length;
    return (struct model_batch){ t->ids + at, t->targets + at, rows, r->sequence_length };
}

/* Gradients of the mean loss over all micro-batches. */
static enum status gradients(struct training *t, struct error *err)
{
    const struct recipe *r = &t->job->recipe;
    struct model_batch batch = own_batch(t);
    double n = (double)recipe_tokens_per_step(r);
    for (int i = 0; i < r->grad_accum; i++) {
        TRY(feed_next(&t->feed, r->batch_size, t->ids, t->targets, err));
        t->model->share = ranks_size() > 1 && i == r->grad_accum - 1;
        model_gradient_begin(t->model, &batch, 1 / n, i > 0);
    }
    return OK;
}

/* The mean loss and the norm of the gradients, once the step is through. */
static void look_back(struct training *t)
{
    double total[MODEL_TOTALS];
    model_totals(t->model, total);
    ranks_sum(&total[MODEL_LOSS], 1);
    t->loss = total[MODEL_LOSS] / (double)recipe_tokens_per_step(&t->job->recipe);
    t->grad_norm = sqrt(total[MODEL_SQUARES]);
}

/* What counts is seen on the way: activations in the forward, weights and gradients after the
 * backward, or their products in the optimizer's pass. */
static enum status learn(struct training *t, bool counts, struct error *err)
{
    struct collector *collector = counts ? t->collector : NULL;
    struct saliency *saliency = counts ? t->saliency : NULL;
    if (collector) collector_begin(collector);
    TRY(gradients(t, err));
    struct model_batch batch = own_batch(t);
    if (collector) {
        collector_end(collector, recipe_tokens_per_step(&t->job->recipe));
        collector_look(collector, &t->search, &batch);
    }
    t->last_lr = lr_at(&t->lr, t->step + 1);
    const struct optim_options *optim = &t->job->recipe.optim;
    if (t->model->lora)
        lora_begin(t->model, optim, t->last_lr, t->step + 1);
    else
        optim_begin(t->model, optim, t->last_lr, t->step + 1, saliency);
    look_back(t);
    if (saliency) saliency_collect(saliency, &t->scores);
    return OK;
}

enum status training_step(struct training *t, bool counts, struct error *err)
{
    bool searching = training_is_search(t) && !search_is_over(&t->search);
    t->phase = searching ? search_phase_names[search_phase(&t->search)] : "train";
    if (learn(t, counts, err)) return fail_in(err, "data");
    if (!isfinite(t->loss) || !isfinite(t->grad_norm))
        return fail(err, E_INPUT,
                    "recipe/learning_rate: the training diverged, loss %g and gradient norm %g at "
                    "step %lld; try a lower learning rate or a longer warm-up",
                    t->loss, t->grad_norm, (long long)t->step + 1);
    t->step++;
    t->tokens_since += recipe_tokens_per_step(&t->job->recipe);
    events_set_step(t->events, t->step);
    return OK;
}

/* ---- validation --------------------------------------------------------------------------- */

static enum status held_out_loss(struct training *t, const struct held_out *held, double *loss,
                                 struct error *err)
{
    const struct recipe *r = &t->job->recipe;
    size_t time = (size_t)r->sequence_length;
    int most = r->batch_size / ranks_size(), turn = 0;
    int64_t n;
    double sum[2] = { 0, 0 }; /* of losses, and their number */
    for (uint64_t i = 0; i < held->n;) {
        int rows = 0;
        for (; rows < most && i < held->n; rows++, i++)
            TRY(held_out_read(held, i, t->ids + (size_t)rows * time,
                              t->targets + (size_t)rows * time, err));
        if (turn++ % ranks_size() != ranks_rank()) continue; /* another rank's */
        struct model_batch batch = { t->ids, t->targets, rows, r->sequence_length };
        sum[0] += model_loss(t->model, &batch, &n);
        sum[1] += (double)n;
    }
    ranks_sum(sum, 2);
    *loss = sum[0] / sum[1];
    return OK;
}

static void emit_domains(struct training *t, struct emit *e, const double *loss)
{
    emit_key(e, "domains");
    emit_begin(e, '[');
    for (int d = 0; d < t->mixture.n; d++) {
        emit_begin(e, '{');
        emit_kv_string(e, "name", t->ds.domain[d].name);
        emit_kv_double(e, "loss", loss[d]);
        emit_kv_double(e, "weight", t->feed.weight[d]);
        emit_end(e);
    }
    emit_end(e);
}

enum status training_validate(struct training *t, bool steer, struct error *err)
{
    double loss[DATASET_MAX_DOMAINS];
    int n = t->mixture.n;
    if (!t->can_validate) return OK;
    if (held_out_loss(t, &t->held, &t->validation_loss, err)) return fail_in(err, "data");
    for (int d = 0; d < n; d++)
        if (held_out_loss(t, &t->held_domain[d], &loss[d], err)) return fail_in(err, "data");
    if (n && steer) mixture_update(&t->mixture, loss, t->feed.weight);
    struct emit *e = event_begin(t->events, "validation");
    emit_kv_int(e, "step", t->step);
    emit_kv_int(e, "tokens", training_tokens(t));
    emit_kv_double(e, "loss", t->validation_loss);
    if (n) emit_domains(t, e, loss);
    event_end(t->events);
    return OK;
}

/* ---- checkpoints and folders ----------------------------------------------------------------- */

static void fill_checkpoint(struct training *t, struct checkpoint *cp)
{
    *cp = (struct checkpoint){ .step = t->step,
                               .tokens = training_tokens(t),
                               .loss = t->loss,
                               .identity = t->job->identity,
                               .capacity = t->source,
                               .shape = *model_shape(t->model),
                               .samples = t->feed.samples,
                               .n_domains = t->ds.n_domains,
                               .removals = t->removals.bytes,
                               .removals_len = t->removals.len };
    memcpy(cp->taken, t->feed.taken, sizeof cp->taken);
    memcpy(cp->weight, t->feed.weight, sizeof cp->weight);
    if (!training_is_search(t)) return;
    int64_t n = scores_count(&t->scores);
    cp->n_scores = n + (t->collector ? collector_count(t->collector) : 0);
    cp->scores_weight = t->scores.weight;
    cp->scores = calloc((size_t)cp->n_scores + 1, sizeof *cp->scores);
    if (!cp->scores) abort();
    scores_get(&t->scores, cp->scores);
    if (t->collector) collector_get(t->collector, cp->scores + n);
}

enum status training_save(struct training *t, struct error *err)
{
    struct checkpoint cp;
    char dir[PATH_ROOM], path[PATH_ROOM];
    if (t->saved_step == t->step) return OK;
    TRY(path_join(dir, t->job->work_dir, "checkpoints", err));
    bool shared = model_shares_moments(t->model);
    if (ranks_is_root()) {
        if (!events_sync(t->events, err)) {
            fill_checkpoint(t, &cp);
            checkpoint_save(&cp, t->model, dir, &t->job->checkpoint_keep, path, err);
            free(cp.scores);
        }
        if (shared) checkpoint_dismiss();
    } else if (shared) {
        TRY(checkpoint_attend(t->model, err));
    }
    TRY(ranks_share(err));
    t->saved_step = t->step;
    if (!ranks_is_root()) return OK;
    struct emit *e = event_begin(t->events, "checkpoint");
    emit_kv_int(e, "step", t->step);
    emit_kv_string(e, "path", path + strlen(dir) - strlen("checkpoints"));
    event_end(t->events);
    return OK;
}

static bool due(int64_t every, int64_t step) { return every > 0 && step % every == 0; }

enum status training_between(struct training *t, struct error *err)
{
    int64_t start = clock_ns();
    if (due(t->job->validate_every, t->step)) TRY(training_validate(t, true, err));
    bool stop = ranks_most(stop_wanted());
    if (stop || due(t->job->checkpoint_every, t->step) ||
        checkpoint_stays(&t->job->checkpoint_keep, t->step))
        TRY(training_save(t, err));
    if (stop) return fail(err, E_CANCELLED, "stopped at step %lld", (long long)t->step);
    t->since_ns += clock_ns() - start; /* tokens per second are those of steps */
    return OK;
}

enum status training_export(struct training *t, const char *name, char sha256[HASH_HEX],
                            struct error *err)
{
    char path[PATH_ROOM];
    struct model_folder_extra extra = { t->job->data.path, t->max_position, t->ds.eod };
    TRY(path_join(path, t->job->work_dir, name, err));
    *sha256 = '\0';
    if (ranks_is_root()) model_folder_write(t->model, path, &extra, sha256, err);
    return ranks_share(err);
}

enum status training_finish(struct training *t, struct error *err)
{
    char sha256[HASH_HEX];
    TRY(training_validate(t, false, err));
    TRY(training_save(t, err));
    if (t->model->lora) lora_merge(t->model);
    TRY(training_export(t, "result", sha256, err));
    training_tell_done(t, "result");
    return OK;
}
