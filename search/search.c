#include "search/search.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "search/criterion.h"
#include "search/plan.h"
#include "search/policy.h"

const char *const search_phase_names[] = { "source", "warmup", "prune", "over", NULL };

/* ---- open and close ------------------------------------------------------------------------ */

static enum status check_stop(const struct search_options *o, const struct shape *source,
                              struct error *err)
{
    int64_t target = plan_target(o, source), params = shape_params(source);
    if (o->stop.kind != STOP_PARAMS && o->stop.kind != STOP_RATIO) return OK;
    if (target >= params)
        return fail(err, E_INPUT,
                    "stop: the source has %" PRId64 " parameters, not above the target %" PRId64,
                    params, target);
    struct shape smallest = space_smallest(&o->space, source);
    int64_t least = shape_params(&smallest);
    if (least > target)
        return fail(err, E_INPUT,
                    "stop: the space leaves at least %" PRId64 " parameters, above the target "
                    "%" PRId64 "; lower the floors, free layers or add types",
                    least, target);
    return OK;
}

/* Only KV groups have a KV cache to save. */
static enum status check_scoring(const struct search_options *o, struct error *err)
{
    const struct space *space = &o->space;
    bool heads_only = !space->types[GROUP_FFN] && !space->types[GROUP_STEM];
    if (o->scoring.normalise == NORMALISE_KV_BYTE &&
        (!heads_only || space->head_unit != HEAD_UNIT_KV_GROUP))
        return fail(err, E_INPUT,
                    "normalise kv_byte needs space.types [\"heads\"] and head_unit kv_group: "
                    "nothing else saves KV cache");
    if (!strcmp(o->scoring.name, "bypass") && space->types[GROUP_STEM])
        return fail(err, E_INPUT,
                    "criterion bypass masks heads and ffn only; leave the stem out: space.types "
                    "[\"heads\", \"ffn\"]");
    return OK;
}

static enum status check_update(const struct search_options *o, const struct shape *source,
                                struct error *err)
{
    if (o->update != UPDATE_BIAS || source->output_bias) return OK;
    return fail(err, E_INPUT, "update bias needs a source with output_bias");
}

enum status search_open(struct search *search, const struct shape *source,
                        const struct search_options *options, uint64_t seed, struct error *err)
{
    *search = (struct search){ .options = *options, .source = *source, .shape = *source };
    TRY(shape_check(source, err));
    space_resolve(&search->options.space, source);
    TRY(space_check(&search->options.space, source, err));
    TRY(check_stop(&search->options, source, err));
    TRY(check_scoring(options, err));
    TRY(check_update(options, source, err));
    plan_fit(&search->options, source);
    search->seed = seed;
    search->params = search->params_before = search->params_source = shape_params(source);
    index_map_init(&search->map, source);
    return OK;
}

void search_close(struct search *search) { index_map_release(&search->map); }

void search_init_scores(const struct search *s, struct scores *scores)
{
    scores_init(scores, &s->shape, s->options.space.head_unit);
    scores_set_embedding(scores, &s->shape, s->options.scoring.embedding_in_stem);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Steps since the schedule began. */
static int64_t clock_of(const struct search *s) { return s->step - s->options.start_step; }

/* The clock at which a stop by time ends the search. */
static int64_t time_limit(const struct search *s)
{
    int64_t per_step = s->options.tokens_per_step, count = s->options.stop.count;
    if (s->options.stop.kind == STOP_STEPS) return count;
    if (s->options.stop.kind == STOP_TOKENS && per_step) return (count + per_step - 1) / per_step;
    return INT64_MAX;
}

static bool met_target(const struct search *s)
{
    enum stop_kind kind = s->options.stop.kind;
    if (kind != STOP_PARAMS && kind != STOP_RATIO) return false;
    return s->params <= plan_target(&s->options, &s->source);
}

/* The parameters to come to by the end of that many units, in rounds. */
static int64_t round_target(const struct search *s, int64_t units)
{
    int64_t k = s->options.schedule.rounds, target = plan_target(&s->options, &s->source);
    if (units >= k) return target;
    double share = (double)units / (double)k;
    return s->params_source - (int64_t)((double)(s->params_source - target) * share);
}

/* Once so many units have ended, is a removal owed: are credits left, or parameters above the
 * round's target? (In the last round, whatever stop.round_to still asks for is.) */
static bool owed(const struct search *s, int64_t units)
{
    const struct schedule *schedule = &s->options.schedule;
    if (!schedule->rounds) return schedule->channels_per_unit * units > s->spent;
    if (units >= schedule->rounds && met_target(s)) return true;
    return units > 0 && s->params > round_target(s, units);
}

static int64_t units_of(const struct search *s, int64_t clock)
{
    return schedule_units(&s->options.schedule, clock);
}

/* Is the stop behind a choice at this clock? A stop by time still allows those of its last
 * step. */
static bool stopped_at(const struct search *s, int64_t clock)
{
    return met_target(s) || clock > time_limit(s);
}

bool search_is_over(const struct search *s)
{
    return !policy_can_choose(s, stopped_at(s, clock_of(s) + 1));
}

enum search_phase search_phase(const struct search *s)
{
    if (search_is_over(s)) return SEARCH_OVER;
    if (clock_of(s) < 0) return SEARCH_SOURCE;
    return clock_of(s) < s->options.schedule.warmup_steps ? SEARCH_WARMUP : SEARCH_PRUNE;
}

bool search_counts(const struct search *s)
{
    const struct schedule *schedule = &s->options.schedule;
    enum search_phase phase = search_phase(s);
    if (criterion_find(s->options.scoring.name)->every_step)
        return phase == SEARCH_WARMUP || phase == SEARCH_PRUNE;
    if (phase != SEARCH_PRUNE) return false;
    if (s->options.scoring.ema > 0) return true;
    bool choice =
        owed(s, schedule_units(schedule, clock_of(s)) + 1); /* at the running unit's end */
    return choice && schedule_calibrates(schedule, clock_of(s));
}

void search_step(struct search *s) { s->step++; }

int64_t search_tokens(const struct search *s) { return s->step * s->options.tokens_per_step; }

int64_t search_steps_planned(const struct search *s)
{
    const struct search_options *o = &s->options;
    if (search_is_over(s)) return s->step;
    if (time_limit(s) != INT64_MAX) return o->start_step + time_limit(s);
    int64_t c = o->schedule.channels_per_unit;
    int64_t start = o->start_step + o->schedule.warmup_steps;
    if (o->schedule.rounds) return start + o->schedule.rounds * o->schedule.steps_per_unit;
    int64_t credits = s->spent + plan_credits(o, &s->source, &s->shape, plan_target(o, &s->source));
    int64_t units = (credits + c - 1) / c;
    int64_t steps = start + units * o->schedule.steps_per_unit;
    return steps > s->step ? steps : s->step;
}

/* ---- decide -------------------------------------------------------------------------------- */

/* The one place where units leave the state. */
static void take(struct search *s, const struct removal *r, const struct shape *after)
{
    index_map_remove(&s->map, &s->shape, r);
    s->shape = *after;
    s->params_before = s->params;
    s->params = shape_params(after);
    s->spent += schedule_credit(&s->options.schedule, &s->source, s->options.space.scope, r->type);
    s->ordinal++;
}

static void complete(const struct search *s, struct removal *out, struct shape *after)
{
    *after = s->shape;
    removal_shrink(out, after);
    out->step = s->step;
    out->tokens = search_tokens(s);
    out->ordinal = s->ordinal + 1;
    out->params = shape_params(after);
    shape_hash(after, out->shape_hash);
}

bool search_unit_ended(const struct search *s)
{
    return schedule_unit_ends(&s->options.schedule, clock_of(s));
}

bool search_choice_is_due(const struct search *s)
{
    return search_unit_ended(s) && owed(s, units_of(s, clock_of(s))) &&
           policy_can_choose(s, stopped_at(s, clock_of(s)));
}

bool search_decide(struct search *s, struct scores *scores, struct removal *out)
{
    if (!search_unit_ended(s)) return false;
    if (!search_choice_is_due(s)) {
        scores_fade(scores, &s->shape, s->options.scoring.ema);
        return false;
    }
    struct shape after;
    policy_choose(s, scores, stopped_at(s, clock_of(s)), out);
    complete(s, out, &after);
    scores_remove(scores, &s->shape, out);
    take(s, out, &after);
    return true;
}

int search_crossed(const struct search *s, int *first)
{
    double before = shape_ratio(s->params_before, s->params_source);
    double now = shape_ratio(s->params, s->params_source);
    int i = 0, n = 0;
    while (i < s->options.n_snapshots && s->options.snapshots[i] <= before) i++;
    *first = i;
    while (i + n < s->options.n_snapshots && s->options.snapshots[i + n] <= now) n++;
    return n;
}

/* ---- replay -------------------------------------------------------------------------------- */

static enum status check_time(const struct search *s, const struct removal *r, struct error *err)
{
    if (!s->options.tokens_per_step) return OK;
    struct search then = *s;
    then.step = r->step;
    int64_t units = units_of(s, clock_of(&then));
    if (r->step < s->step || !search_unit_ended(&then) || !owed(s, units) || owed(s, units - 1))
        return fail(err, E_CONFLICT, "no choice is due at step %" PRId64, r->step);
    if (r->tokens != search_tokens(&then))
        return fail(err, E_CONFLICT, "step %" PRId64 " is at %" PRId64 " tokens, not %" PRId64,
                    r->step, search_tokens(&then), r->tokens);
    return OK;
}

/* Is the type in the space, and above its floor wherever the removal takes from? */
static enum status check_space(const struct search *s, const struct removal *r, struct error *err)
{
    const struct space *space = &s->options.space;
    bool uniform = space->scope == SCOPE_UNIFORM;
    if (r->type == GROUP_HEADS && r->unit != space->head_unit)
        return fail(err, E_CONFLICT, "heads go by %s here", head_unit_names[space->head_unit]);
    if (r->type != GROUP_STEM && uniform != (r->layer < 0))
        return fail(err, E_CONFLICT, "its layer is %d in scope %s", r->layer,
                    scope_names[space->scope]);
    bool timed = s->options.tokens_per_step > 0;
    bool stopped = timed ? stopped_at(s, r->step - s->options.start_step) : met_target(s);
    if (!policy_allows(s, stopped, r->type, r->layer))
        return fail(err, E_CONFLICT, "%s may not lose more here", group_names[r->type]);
    return OK;
}

/* Do the entries name the units that lie there, and are frozen layers left alone? */
static enum status check_indices(const struct search *s, const struct removal *r, struct error *err)
{
    for (int l = 0; l < s->shape.n_layers; l++) {
        int first, n = removal_of_layer(r, &s->shape, l, &first);
        bool spared = r->type != GROUP_STEM && r->layer < 0 && s->options.space.frozen[l];
        if (r->type != GROUP_STEM && r->layer < 0 && spared != (n == 0))
            return fail(err, E_CONFLICT, "layer %d is %sfrozen", l, spared ? "" : "not ");
        const int *map = index_map_of(&s->map, r->type, r->unit, l);
        for (int i = first; i < first + n; i++)
            if (map[r->position[i]] != r->source_index[i])
                return fail(err, E_CONFLICT, "position %d of layer %d holds index %d, not %d",
                            r->position[i], l, map[r->position[i]], r->source_index[i]);
    }
    return OK;
}

static enum status check_result(const struct removal *r, const struct shape *after,
                                struct error *err)
{
    char hash[HASH_HEX];
    shape_hash(after, hash);
    if (r->params != shape_params(after))
        return fail(err, E_CONFLICT, "it leaves %" PRId64 " parameters, not %" PRId64,
                    shape_params(after), r->params);
    if (strcmp(hash, r->shape_hash)) return fail(err, E_CONFLICT, "the shape's hash differs");
    return OK;
}

static enum status check_removal(const struct search *s, const struct removal *r,
                                 struct shape *after, struct error *err)
{
    if (r->ordinal != s->ordinal + 1)
        return fail(err, E_CONFLICT, "%d is not the next ordinal, %d is", r->ordinal,
                    s->ordinal + 1);
    TRY(removal_check(r, &s->shape, err));
    TRY(check_space(s, r, err));
    TRY(check_indices(s, r, err));
    TRY(check_time(s, r, err));
    *after = s->shape;
    removal_shrink(r, after);
    return check_result(r, after, err);
}

enum status search_apply(struct search *s, const struct removal *r, struct error *err)
{
    struct shape after;
    if (check_removal(s, r, &after, err)) return fail_in(err, "removal %d", r->ordinal);
    take(s, r, &after);
    s->step = r->step;
    return OK;
}

/* Was a choice due at the last unit that ended by this clock? */
static bool was_due(const struct search *s, int64_t clock)
{
    const struct schedule *schedule = &s->options.schedule;
    int64_t last =
        schedule->warmup_steps + schedule_units(schedule, clock) * schedule->steps_per_unit;
    return owed(s, units_of(s, clock)) && policy_can_choose(s, stopped_at(s, last));
}

enum status search_seek(struct search *s, int64_t step, struct error *err)
{
    int64_t clock = step - s->options.start_step, limit = time_limit(s);
    if (step < s->step)
        return fail(err, E_CONFLICT, "step %" PRId64 " is before the last removal at %" PRId64,
                    step, s->step);
    if (s->options.tokens_per_step &&
        (was_due(s, clock) || was_due(s, clock < limit ? clock : limit)))
        return fail(err, E_CONFLICT, "removal %d was due before step %" PRId64 " and is missing",
                    s->ordinal + 1, step);
    s->step = step;
    return OK;
}
