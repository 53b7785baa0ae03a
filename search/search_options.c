#include "search/search_options.h"

#include <math.h>

static const char *const update_names[] = { "none", "obs", "bias", NULL };
static const char *const stop_names[] = { "params", "ratio", "tokens", "steps" };
static const int64_t most_to_stop_at[] = { INT64_MAX / 4, 1, INT64_C(1) << 50, INT64_C(1) << 40 };

void search_options_init(struct search_options *o)
{
    *o = (struct search_options){ .stop = { .kind = STOP_RATIO, .ratio = 0.5 } };
    space_init(&o->space);
    scoring_init(&o->scoring);
    schedule_init(&o->schedule);
}

void search_source(const struct search_options *o, struct shape *source)
{
    if (o->update == UPDATE_BIAS) source->output_bias = true;
}

static const int multiples[] = { 8, 32, 64, 128, 256 };

/* ---- read ------------------------------------------------------------------------------------ */

static void read_round_to(struct search_stop *stop, struct field *f)
{
    stop->round_to = (int)field_int_or(f, "round_to", 0, 256, 0);
    for (size_t i = 0; i < sizeof multiples / sizeof *multiples; i++)
        if (stop->round_to == multiples[i]) return;
    if (stop->round_to) field_fail(f, "round_to", "is not one of: 8, 32, 64, 128, 256");
}

static void read_stop(struct search_stop *stop, struct field *f)
{
    struct field s;
    int given = 0;
    if (!field_object(f, "stop", &s)) {
        field_fail(f, "stop",
                   "is missing: say when to stop by one of ratio, params, tokens, steps");
        return;
    }
    for (int kind = STOP_PARAMS; kind <= STOP_STEPS; kind++) {
        if (!field_has(&s, stop_names[kind])) continue;
        stop->kind = (enum stop_kind)kind;
        if (kind == STOP_RATIO)
            stop->ratio = field_double(&s, "ratio", 0, 1);
        else
            stop->count = field_int(&s, stop_names[kind], 1, most_to_stop_at[kind]);
        given++;
    }
    if (given != 1) field_fail(f, "stop", "needs exactly one of ratio, params, tokens, steps");
    if (stop->kind == STOP_RATIO && !(stop->ratio > 0 && stop->ratio < 1))
        field_fail(&s, "ratio", "is %g, outside 0..1 (both excluded)", stop->ratio);
    read_round_to(stop, &s);
    field_end(&s);
}

static void read_snapshots(struct search_options *o, struct field *f)
{
    struct field snapshots, ratios;
    if (!field_object(f, "snapshots", &snapshots)) return;
    o->n_snapshots = (int)field_array(&snapshots, "ratios", SEARCH_MAX_SNAPSHOTS, &ratios);
    double last = 0;
    for (int i = 0; i < o->n_snapshots; i++) {
        double ratio = field_item_double(&ratios, (size_t)i, 0, 1);
        if (!(ratio > last && ratio < 1))
            field_fail(&snapshots, "ratios", "must ascend, each above 0 and below 1");
        last = o->snapshots[i] = ratio;
    }
    field_end(&snapshots);
}

/* What one part of the options asks of another. */
static void check_together(const struct search_options *o, struct field *f)
{
    const struct schedule *s = &o->schedule;
    bool by_size = o->stop.kind == STOP_RATIO || o->stop.kind == STOP_PARAMS;
    if ((s->fit_steps || s->rounds) && !by_size)
        field_fail(f, "schedule", "%s needs a stop by ratio or params",
                   s->rounds ? "rounds" : "fit_steps");
    if (s->calibration_steps && o->scoring.ema > 0)
        field_fail(f, "schedule", "calibration_steps and criterion.ema exclude each other");
}

enum status search_options_read(struct search_options *o, struct field *f)
{
    struct field part;
    search_options_init(o);
    if (field_object(f, "space", &part)) space_read(&o->space, &part);
    if (field_object(f, "criterion", &part)) scoring_read(&o->scoring, &part);
    o->update = (enum update)field_choice_or(f, "update", update_names, UPDATE_NONE);
    if (field_object(f, "schedule", &part)) schedule_read(&o->schedule, &part);
    read_stop(&o->stop, f);
    read_snapshots(o, f);
    check_together(o, f);
    return field_end(f);
}

/* ---- write --------------------------------------------------------------------------------- */

static void emit_stop(const struct search_stop *stop, struct emit *e)
{
    emit_key(e, "stop");
    emit_begin(e, '{');
    if (stop->kind == STOP_RATIO)
        emit_kv_double(e, "ratio", stop->ratio);
    else
        emit_kv_int(e, stop_names[stop->kind], stop->count);
    if (stop->round_to) emit_kv_int(e, "round_to", stop->round_to);
    emit_end(e);
}

static void emit_snapshots(const struct search_options *o, struct emit *e)
{
    emit_key(e, "snapshots");
    emit_begin(e, '{');
    emit_key(e, "ratios");
    emit_begin(e, '[');
    for (int i = 0; i < o->n_snapshots; i++) emit_double(e, o->snapshots[i]);
    emit_end(e);
    emit_end(e);
}

void search_options_emit(const struct search_options *o, struct emit *e)
{
    emit_begin(e, '{');
    emit_key(e, "space");
    space_emit(&o->space, e);
    emit_key(e, "criterion");
    scoring_emit(&o->scoring, e);
    emit_kv_string(e, "update", update_names[o->update]);
    emit_key(e, "schedule");
    schedule_emit(&o->schedule, e);
    emit_stop(&o->stop, e);
    emit_snapshots(o, e);
    emit_end(e);
}
