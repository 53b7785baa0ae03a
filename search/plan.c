#include "search/plan.h"

#include <math.h>

static int scaled(int count, int floor, double factor)
{
    int n = (int)lround(count * factor);
    return n > floor ? n : floor;
}

/* `shape` with every type scaled by one factor, not below its floor. */
static struct shape scaled_shape(const struct space *space, const struct shape *source,
                                 const struct shape *shape, double factor)
{
    struct shape out = *shape;
    for (int t = 0; t < GROUP_TYPES; t++)
        for (int l = 0; l < shape->n_layers; l++) {
            int count = group_count(shape, t, space->head_unit, l);
            int floor = space_floor(space, source, t, l);
            group_set_count(&out, t, space->head_unit, l, scaled(count, floor, factor));
        }
    return out;
}

/* Units of a type between two shapes: those of the layer that loses most when a unit
 * spans them all, else the sum over the layers. */
static int64_t units_between(const struct space *space, enum group_type type,
                             const struct shape *from, const struct shape *to)
{
    int64_t sum = 0, most = 0;
    for (int l = 0; l < from->n_layers; l++) {
        int lost = group_count(from, type, space->head_unit, l) -
                   group_count(to, type, space->head_unit, l);
        sum += lost;
        most = lost > most ? lost : most;
    }
    return type == GROUP_STEM || space->scope == SCOPE_UNIFORM ? most : sum;
}

int64_t plan_credits(const struct search_options *o, const struct shape *source,
                     const struct shape *shape, int64_t target)
{
    double low = 0, high = 1;
    if (shape_params(shape) <= target) return 0;
    for (int i = 0; i < 40; i++) { /* the largest factor that meets the target */
        double mid = (low + high) / 2;
        struct shape tried = scaled_shape(&o->space, source, shape, mid);
        if (shape_params(&tried) <= target)
            low = mid;
        else
            high = mid;
    }
    struct shape end = scaled_shape(&o->space, source, shape, low);
    int64_t credits = 0;
    for (int t = 0; t < GROUP_TYPES; t++)
        credits += units_between(&o->space, t, shape, &end) *
                   schedule_credit(&o->schedule, source, o->space.scope, t);
    return credits;
}

int64_t plan_target(const struct search_options *o, const struct shape *source)
{
    double params = (double)shape_params(source);
    if (o->stop.kind == STOP_PARAMS) return o->stop.count;
    /* the slack keeps a ratio like 0.7 of a round number from missing by a rounding */
    if (o->stop.kind == STOP_RATIO) return (int64_t)floor(params - o->stop.ratio * params + 1e-6);
    return 0;
}

void plan_fit(struct search_options *o, const struct shape *source)
{
    struct schedule *s = &o->schedule;
    if (!s->fit_steps) return;
    int64_t units = plan_credits(o, source, source, plan_target(o, source));
    if (units < 1) units = 1;
    s->steps_per_unit = s->fit_steps / units;
    s->channels_per_unit = 1;
    if (!s->steps_per_unit) {
        s->steps_per_unit = 1;
        s->channels_per_unit = (units + s->fit_steps - 1) / s->fit_steps;
    }
    s->fit_steps = 0;
}
