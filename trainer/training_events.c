/* What a training tells (the members of events are those of the service's contract). */
#include <math.h>
#include "search/base/clock.h"
#include "trainer/training.h"

enum { TELL_EVERY_NS = 200 * 1000 * 1000 };

static const double pace_fades = 5; /* seconds until a past second counts 1/e */

void training_tell_start(struct training *t)
{
    size_t beside = t->teacher ? t->teacher->bytes.total : 0;
    if (t->model->lora) beside += t->model->lora->bytes.total;
    struct emit *e = event_begin(t->events, "start");
    emit_kv_string(e, "job_id", t->job->id);
    emit_kv_string(e, "kind", job_kind_names[t->job->kind]);
    emit_kv_string(e, "backend", t->be->name);
    emit_kv_int(e, "threads", t->job->threads);
    emit_kv_int(e, "params", shape_params(model_shape(t->model)));
    emit_kv_int(e, "bytes", (int64_t)(t->model->bytes.total + beside));
    emit_kv_int(e, "tokens_planned", recipe_tokens(&t->job->recipe, t->total_steps));
    emit_kv_int(e, "steps_planned", t->total_steps);
    emit_key(e, "resumed_from_step");
    if (t->resumed_from >= 0)
        emit_int(e, t->resumed_from);
    else
        emit_null(e);
    event_end(t->events);
    t->since_ns = clock_ns();
}

/* Tokens per second, of the last seconds together, so that what is left to do is not estimated anew
 * by every step. Steps that take longer than those seconds count alone. */
static double pace(struct training *t, int64_t now)
{
    double seconds = 1e-9 * (double)(now - t->since_ns), left = exp(-seconds / pace_fades);
    t->pace_seconds = t->pace_seconds * left + seconds;
    t->pace_tokens = t->pace_tokens * left + (double)t->tokens_since;
    t->told_ns = t->since_ns = now;
    t->tokens_since = 0;
    return t->pace_seconds > 0 ? t->pace_tokens / t->pace_seconds : NAN;
}

void training_tell_step(struct training *t, bool force)
{
    int64_t now = clock_ns();
    if (!force && now - t->told_ns < TELL_EVERY_NS) return;
    struct emit *e = event_begin(t->events, "step");
    emit_kv_int(e, "step", t->step);
    emit_kv_int(e, "tokens", training_tokens(t));
    emit_kv_double(e, "loss", t->loss);
    emit_kv_double(e, "lr", t->last_lr);
    emit_kv_double(e, "grad_norm", t->grad_norm);
    emit_kv_double(e, "tokens_per_second", pace(t, now));
    emit_kv_string(e, "phase", t->phase);
    emit_kv_int(e, "params", shape_params(model_shape(t->model)));
    event_end(t->events);
}

void training_tell_done(struct training *t, const char *path)
{
    char hash[HASH_HEX];
    shape_hash(model_shape(t->model), hash);
    struct emit *e = event_begin(t->events, "done");
    emit_kv_int(e, "step", t->step);
    emit_kv_int(e, "tokens", training_tokens(t));
    emit_kv_double(e, "loss", t->loss);
    emit_kv_double(e, "validation_loss", t->validation_loss);
    emit_kv_string(e, "path", path);
    emit_kv_int(e, "params", shape_params(model_shape(t->model)));
    emit_kv_string(e, "shape_hash", hash);
    event_end(t->events);
}
