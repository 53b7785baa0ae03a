/* What a training tells (the members of events are those of the service's contract). */
#include <math.h>
#include "search/base/clock.h"
#include "trainer/training.h"

enum { TELL_EVERY_NS = 200 * 1000 * 1000 };

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
    emit_kv_int(e, "tokens_planned", t->total_steps * recipe_tokens_per_step(&t->job->recipe));
    emit_kv_int(e, "steps_planned", t->total_steps);
    emit_key(e, "resumed_from_step");
    if (t->resumed_from >= 0)
        emit_int(e, t->resumed_from);
    else
        emit_null(e);
    event_end(t->events);
    t->since_ns = clock_ns();
}

void training_tell_step(struct training *t, bool force)
{
    int64_t now = clock_ns();
    if (!force && now - t->told_ns < TELL_EVERY_NS) return;
    double seconds = (double)(now - t->since_ns) * 1e-9;
    struct emit *e = event_begin(t->events, "step");
    emit_kv_int(e, "step", t->step);
    emit_kv_int(e, "tokens", training_tokens(t));
    emit_kv_double(e, "loss", t->loss);
    emit_kv_double(e, "lr", t->last_lr);
    emit_kv_double(e, "grad_norm", t->grad_norm);
    emit_kv_double(e, "tokens_per_second", seconds > 0 ? (double)t->tokens_since / seconds : NAN);
    emit_kv_string(e, "phase", t->phase);
    emit_kv_int(e, "params", shape_params(model_shape(t->model)));
    event_end(t->events);
    t->told_ns = t->since_ns = now;
    t->tokens_since = 0;
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
