/* Kind search: the source trains, then warms up, then gives up unit after unit (search.h). */
#include <stdio.h>
#include <stdlib.h>
#include "search/base/log.h"
#include "trainer/explain.h"
#include "trainer/ranks.h"
#include "trainer/run.h"
#include "trainer/surgery.h"
#include "trainer/training.h"

/* ---- snapshots --------------------------------------------------------------------------- */

static void snapshot_name(const struct training *t, char out[64])
{
    snprintf(out, 64, "snapshots/ordinal-%06d", t->search.ordinal);
}

static void tell_snapshot(struct training *t, const char *name, const char *sha256)
{
    char hash[HASH_HEX];
    shape_hash(&t->search.shape, hash);
    struct emit *e = event_begin(t->events, "snapshot");
    emit_kv_int(e, "step", t->step);
    emit_kv_int(e, "tokens", training_tokens(t));
    emit_kv_int(e, "ordinal", t->search.ordinal);
    emit_kv_double(e, "ratio", shape_ratio(t->search.params, t->search.params_source));
    emit_kv_string(e, "path", name);
    emit_kv_string(e, "sha256", sha256);
    emit_kv_int(e, "params", t->search.params);
    emit_kv_string(e, "shape_hash", hash);
    event_end(t->events);
}

static enum status snapshot(struct training *t, struct error *err)
{
    char dir[PATH_ROOM], name[64], sha256[HASH_HEX];
    snapshot_name(t, name);
    TRY(path_join(dir, t->job->work_dir, "snapshots", err));
    TRY(dir_make(dir, err));
    TRY(training_export(t, name, sha256, err));
    tell_snapshot(t, name, sha256);
    TRY(training_validate(t, false, err));
    return explain_snapshot(t, err);
}

/* ---- removals ------------------------------------------------------------------------------- */

static void tell_removal(struct training *t, const struct removal *removal)
{
    struct emit *e = event_begin(t->events, "removal");
    removal_emit(removal, e);
    event_end(t->events);
}

/* The line that a checkpoint will replay. */
static void keep_removal(struct training *t, const struct removal *removal)
{
    struct emit e;
    emit_init(&e, &t->removals);
    emit_begin(&e, '{');
    removal_emit(removal, &e);
    emit_end(&e);
    buf_putc(&t->removals, '\n');
}

static enum status apply(struct training *t, const struct removal *removal, struct error *err)
{
    int first;
    if (t->collector) TRY(collector_remove(t->collector, removal, err));
    TRY(surgery_remove(t->model, removal, err));
    TRY(ranks_agree(removal->shape_hash, "the shape after a removal", err));
    keep_removal(t, removal);
    if (t->removals.failed) return fail(err, E_LIMIT, "the trajectory is too long to keep");
    tell_removal(t, removal);
    return search_crossed(&t->search, &first) ? snapshot(t, err) : OK;
}

static enum status score(struct training *t, struct error *err)
{
    if (!t->collector || !search_choice_is_due(&t->search)) return OK;
    return collector_score(t->collector, &t->search, &t->scores, err);
}

static enum status decide(struct training *t, bool *removed, struct error *err)
{
    *removed = false;
    TRY(score(t, err));
    struct removal *removal = malloc(sizeof *removal);
    if (!removal) abort();
    while (!err->status && search_decide(&t->search, &t->scores, removal)) {
        *removed = true;
        apply(t, removal, err);
    }
    free(removal);
    if (t->collector && search_unit_ended(&t->search))
        collector_fade(t->collector, t->search.options.scoring.ema);
    return err->status;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static enum status step(struct training *t, struct error *err)
{
    bool removed;
    TRY(training_step(t, search_counts(&t->search), err));
    search_step(&t->search);
    TRY(decide(t, &removed, err));
    if (!t->end_step) t->total_steps = search_steps_planned(&t->search);
    training_tell_step(t, removed || search_is_over(&t->search));
    return OK;
}

/* The source as it is when the search proper begins is ordinal 0. */
static bool source_is_ready(const struct training *t)
{
    return !t->search.ordinal && t->step == t->job->search.start_step;
}

/* The end was planned before it was known what each removal would free. */
static void warn_of_short_recovery(const struct training *t)
{
    int64_t asked = recipe_steps(&t->job->recipe, t->job->recover_tokens);
    int64_t left = t->end_step > t->step ? t->end_step - t->step : 0;
    if (left < asked)
        log_warn("pruning took longer than was planned: %lld of the %lld steps of recovery are left",
                 (long long)left, (long long)asked);
}

static enum status loop(struct training *t, struct error *err)
{
    if (source_is_ready(t)) TRY(snapshot(t, err));
    while (!search_is_over(&t->search)) {
        TRY(step(t, err));
        if (source_is_ready(t)) TRY(snapshot(t, err));
        if (!search_is_over(&t->search)) TRY(training_between(t, err));
        if (!search_is_over(&t->search) || !t->end_step) continue;
        warn_of_short_recovery(t);
        TRY(snapshot(t, err));
    }
    return OK;
}

static enum status recover(struct training *t, struct error *err)
{
    while (t->step < t->end_step) {
        TRY(training_step(t, false, err));
        training_tell_step(t, t->step == t->end_step);
        if (t->step < t->end_step) TRY(training_between(t, err));
    }
    return OK;
}

static enum status finish(struct training *t, struct error *err)
{
    char name[64];
    if (t->end_step) return training_finish(t, err);
    TRY(training_save(t, err));
    TRY(snapshot(t, err));
    snapshot_name(t, name);
    training_tell_done(t, name);
    return OK;
}

enum status run_search(const struct job *job, struct events *events, struct error *err)
{
    struct training t;
    if (!training_open(&t, job, events, err)) {
        training_tell_start(&t);
        if (!loop(&t, err) && !recover(&t, err)) finish(&t, err);
    }
    training_close(&t);
    return err->status;
}
