#include "search/schedule.h"

void schedule_init(struct schedule *schedule)
{
    *schedule =
        (struct schedule){ .warmup_steps = 500, .steps_per_unit = 1, .channels_per_unit = 1 };
}

static void read_credits(struct schedule *schedule, struct field *f)
{
    struct field credits;
    if (!field_object(f, "credits", &credits)) return;
    for (int t = 0; t < GROUP_TYPES; t++)
        schedule->credits[t] = field_int_or(&credits, group_names[t], 1, 1000000, 0);
    field_end(&credits);
}

static void read_rounds(struct schedule *schedule, struct field *f)
{
    schedule->rounds = field_int_or(f, "rounds", 1, 1000000, 0);
    schedule->calibration_steps = field_int_or(f, "calibration_steps", 1, 1000000, 0);
    if (schedule->rounds && (schedule->fit_steps || field_has(f, "channels_per_unit")))
        field_fail(f, "rounds", "leaves no room for fit_steps or channels_per_unit");
    if (schedule->calibration_steps > schedule->steps_per_unit && !schedule->fit_steps)
        field_fail(f, "calibration_steps", "is more than the %d steps of a unit",
                   (int)schedule->steps_per_unit);
}

enum status schedule_read(struct schedule *schedule, struct field *f)
{
    schedule_init(schedule);
    schedule->warmup_steps = field_int_or(f, "warmup_steps", 0, 1000000000, 500);
    schedule->steps_per_unit = field_int_or(f, "steps_per_unit", 1, 1000000, 1);
    schedule->channels_per_unit = field_int_or(f, "channels_per_unit", 1, 1000000, 1);
    schedule->fit_steps = field_int_or(f, "fit_steps", 1, 1000000000, 0);
    if (schedule->fit_steps &&
        (field_has(f, "steps_per_unit") || field_has(f, "channels_per_unit")))
        field_fail(f, "fit_steps", "sets steps_per_unit and channels_per_unit; give it or them");
    read_rounds(schedule, f);
    read_credits(schedule, f);
    return field_end(f);
}

static void emit_credits(const struct schedule *schedule, struct emit *e)
{
    emit_key(e, "credits");
    emit_begin(e, '{');
    for (int t = 0; t < GROUP_TYPES; t++)
        if (schedule->credits[t]) emit_kv_int(e, group_names[t], schedule->credits[t]);
    emit_end(e);
}

void schedule_emit(const struct schedule *schedule, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_int(e, "warmup_steps", schedule->warmup_steps);
    if (schedule->fit_steps) {
        emit_kv_int(e, "fit_steps", schedule->fit_steps);
    } else {
        emit_kv_int(e, "steps_per_unit", schedule->steps_per_unit);
        if (!schedule->rounds) emit_kv_int(e, "channels_per_unit", schedule->channels_per_unit);
    }
    if (schedule->rounds) emit_kv_int(e, "rounds", schedule->rounds);
    if (schedule->calibration_steps)
        emit_kv_int(e, "calibration_steps", schedule->calibration_steps);
    emit_credits(schedule, e);
    emit_end(e);
}

int64_t schedule_credit(const struct schedule *schedule, const struct shape *source,
                        enum scope scope, enum group_type type)
{
    if (schedule->credits[type]) return schedule->credits[type];
    if (type == GROUP_HEADS) return source->head_dim;
    if (type == GROUP_FFN) return 1;
    return scope == SCOPE_PER_LAYER ? 2 * source->n_layers : 2;
}

int64_t schedule_units(const struct schedule *schedule, int64_t step)
{
    int64_t pruning = step - schedule->warmup_steps;
    return pruning > 0 ? pruning / schedule->steps_per_unit : 0;
}

bool schedule_unit_ends(const struct schedule *schedule, int64_t step)
{
    int64_t pruning = step - schedule->warmup_steps;
    return pruning > 0 && pruning % schedule->steps_per_unit == 0;
}

bool schedule_calibrates(const struct schedule *schedule, int64_t step)
{
    int64_t pruning = step - schedule->warmup_steps;
    int64_t left = schedule->steps_per_unit - pruning % schedule->steps_per_unit;
    return pruning >= 0 && (!schedule->calibration_steps || left <= schedule->calibration_steps);
}
