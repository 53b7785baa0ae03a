#include "search/scoring.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "search/criterion.h"
#include "search/search.h"

static const char *const reduce_names[] = { "sum", "mean", "max", NULL };
static const char *const normalise_names[] = { "none",        "parameter", "flop",  "kv_byte",
                                               "millisecond", "z_score",   "share", NULL };
static const char *const abs_names[] = { "before", "after", NULL };

void scoring_init(struct scoring *s)
{
    *s = (struct scoring){ .name = "param_first",
                           .normalise = NORMALISE_PARAMETER,
                           .embedding_in_stem = true,
                           .context = 2048,
                           .keep = { .masks = 2, .learning_rate = 0.002 } };
    for (int t = 0; t < GROUP_TYPES; t++) s->unit_milliseconds[t] = 1;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void read_points(struct latency *to, struct field *f)
{
    struct field units, times;
    size_t n = field_array(f, "units", LATENCY_MAX_POINTS, &units);
    size_t n_times = field_array(f, "milliseconds", LATENCY_MAX_POINTS, &times);
    if (n < 2 || n != n_times) {
        field_fail(f, "units", "needs two counts or more, and as many milliseconds");
        return;
    }
    to->n = (int)n;
    for (size_t i = 0; i < n; i++) {
        to->units[i] = (int)field_item_int(&units, i, 1, SHAPE_MAX_FFN);
        to->milliseconds[i] = field_item_double(&times, i, 0, 1e9);
        if (i && to->units[i] <= to->units[i - 1]) field_fail(f, "units", "must ascend");
    }
}

static bool read_latency(struct scoring *s, struct field *f)
{
    struct field types, type;
    if (!field_object(f, "latency", &types)) return false;
    for (int t = 0; t < GROUP_TYPES; t++) {
        if (!field_object(&types, group_names[t], &type)) continue;
        read_points(&s->latency[t], &type);
        field_end(&type);
    }
    field_end(&types);
    return true;
}

static void read_milliseconds(struct scoring *s, struct field *f)
{
    struct field costs;
    bool table = read_latency(s, f), given = field_object(f, "unit_milliseconds", &costs);
    if (s->normalise == NORMALISE_MILLISECOND && !given && !table)
        field_fail(f, "unit_milliseconds",
                   "is missing, and so is latency: normalise millisecond divides by them");
    if (!given) return;
    for (int t = 0; t < GROUP_TYPES; t++)
        s->unit_milliseconds[t] = field_double_or(&costs, group_names[t], 1e-9, 1e9, 1);
    field_end(&costs);
}

static void read_keep(struct scoring *s, struct field *f)
{
    struct field keep;
    if (!field_object(f, "keep", &keep)) return;
    if (strcmp(s->name, "bypass")) field_fail(f, "keep", "is known for criterion bypass only");
    s->keep.rate = field_double_or(&keep, "rate", 0.001, 1, 0);
    s->keep.masks = (int)field_int_or(&keep, "masks", 2, KEEP_MAX_MASKS, 2);
    s->keep.learning_rate = field_double_or(&keep, "learning_rate", 0, 100, 0.002);
    field_end(&keep);
}

static void emit_keep(const struct scoring *s, struct emit *e)
{
    if (strcmp(s->name, "bypass")) return;
    emit_key(e, "keep");
    emit_begin(e, '{');
    if (s->keep.rate > 0) emit_kv_double(e, "rate", s->keep.rate);
    emit_kv_int(e, "masks", s->keep.masks);
    emit_kv_double(e, "learning_rate", s->keep.learning_rate);
    emit_end(e);
}

/* The criterion's own way, unless the reduction was changed and has divided already. */
static enum normalise usual(const struct criterion *criterion, enum reduce reduce)
{
    bool by_size = criterion->normalise == NORMALISE_PARAMETER;
    return by_size && reduce != REDUCE_SUM ? NORMALISE_NONE : criterion->normalise;
}

static void check_variants(const struct scoring *s, struct field *f)
{
    bool first = !strcmp(s->name, "param_first");
    if (s->reduce == REDUCE_MAX && !first)
        field_fail(f, "reduce", "max is known for param_first only");
    if (s->reduce == REDUCE_MEAN && s->normalise == NORMALISE_PARAMETER)
        field_fail(f, "reduce", "mean and normalise parameter both divide by the parameters");
    if (s->abs_after && (!first || s->reduce == REDUCE_MAX || s->ema > 0))
        field_fail(f, "abs", "after is known for param_first, without max and ema");
}

enum status scoring_read(struct scoring *s, struct field *f)
{
    scoring_init(s);
    int param_first = 0;
    while (strcmp(criterion_names[param_first], s->name)) param_first++;
    const char *name = criterion_names[field_choice_or(f, "name", criterion_names, param_first)];
    snprintf(s->name, sizeof s->name, "%s", name);
    s->reduce = (enum reduce)field_choice_or(f, "reduce", reduce_names, REDUCE_SUM);
    s->normalise = (enum normalise)field_choice_or(f, "normalise", normalise_names,
                                                   (int)usual(criterion_find(s->name), s->reduce));
    s->ema = field_double_or(f, "ema", 0, 0.999999, 0);
    s->abs_after = field_choice_or(f, "abs", abs_names, 0) == 1;
    s->embedding_in_stem = field_bool_or(f, "embedding_in_stem", true);
    s->context = (int)field_int_or(f, "context", 1, 1 << 20, 2048);
    read_milliseconds(s, f);
    read_keep(s, f);
    check_variants(s, f);
    return field_end(f);
}

static void emit_points(const struct latency *latency, const char *type, struct emit *e)
{
    if (!latency->n) return;
    emit_key(e, type);
    emit_begin(e, '{');
    emit_key(e, "units"), emit_begin(e, '[');
    for (int i = 0; i < latency->n; i++) emit_int(e, latency->units[i]);
    emit_end(e);
    emit_key(e, "milliseconds"), emit_begin(e, '[');
    for (int i = 0; i < latency->n; i++) emit_double(e, latency->milliseconds[i]);
    emit_end(e);
    emit_end(e);
}

static void emit_milliseconds(const struct scoring *s, struct emit *e)
{
    if (s->normalise != NORMALISE_MILLISECOND) return;
    emit_key(e, "latency");
    emit_begin(e, '{');
    for (int t = 0; t < GROUP_TYPES; t++) emit_points(&s->latency[t], group_names[t], e);
    emit_end(e);
    emit_key(e, "unit_milliseconds");
    emit_begin(e, '{');
    for (int t = 0; t < GROUP_TYPES; t++)
        emit_kv_double(e, group_names[t], s->unit_milliseconds[t]);
    emit_end(e);
}

void scoring_emit(const struct scoring *s, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "name", s->name);
    emit_kv_string(e, "reduce", reduce_names[s->reduce]);
    emit_kv_string(e, "normalise", normalise_names[s->normalise]);
    emit_kv_double(e, "ema", s->ema);
    emit_kv_string(e, "abs", abs_names[s->abs_after]);
    emit_kv_bool(e, "embedding_in_stem", s->embedding_in_stem);
    emit_kv_int(e, "context", s->context);
    emit_milliseconds(s, e);
    emit_keep(s, e);
    emit_end(e);
}

/* ---- what a number is divided by ----------------------------------------------------------- */

struct entries {
    const double *sums;
    int n;
    int64_t params; /* of one */
};

static struct entries entries_of(const struct scores *s, enum group_type type, int l)
{
    if (type == GROUP_STEM) return (struct entries){ s->stem, s->n_stem, s->stem_params };
    if (type == GROUP_FFN) return (struct entries){ s->ffn[l], s->n_ffn[l], s->ffn_params[l] };
    return (struct entries){ s->heads[l], s->n_heads[l], s->heads_params[l] };
}

/* Entries that one unit of the schedule's accounting has: query heads go one a KV group. */
static int entries_a_unit(const struct shape *shape, const struct scores *s, enum group_type type,
                          int l)
{
    bool query = type == GROUP_HEADS && s->unit == HEAD_UNIT_QUERY;
    return query ? shape->layer[l].kv_heads : 1;
}

/* FLOPs per token of one entry, as in cost.h. */
static double flops_of(const struct scoring *scoring, const struct shape *shape,
                       const struct scores *s, enum group_type type, int l, int64_t params)
{
    double flops = 6.0 * (double)params;
    if (type != GROUP_HEADS) return flops;
    int queries = s->unit == HEAD_UNIT_QUERY ? 1 : s->queries_per_kv[l];
    return flops + 6.0 * scoring->context * shape->head_dim * queries;
}

/* Milliseconds of one unit: the slope of what was measured, between the two points around the
 * current count (or the two nearest). */
static double milliseconds_of(const struct scoring *scoring, const struct shape *shape,
                              enum group_type type, int count)
{
    const struct latency *m = &scoring->latency[type];
    if (!m->n) return scoring->unit_milliseconds[type];
    int i = 1;
    while (i < m->n - 1 && count > m->units[i]) i++;
    double slope = (m->milliseconds[i] - m->milliseconds[i - 1]) / (m->units[i] - m->units[i - 1]);
    if (!(slope > 1e-6)) slope = 1e-6;
    return type == GROUP_STEM ? slope : slope / shape->n_layers;
}

static double cost_of_entry(const struct scoring *scoring, const struct shape *shape,
                            const struct scores *s, enum group_type type, int l, int64_t params)
{
    switch (scoring->normalise) {
    case NORMALISE_PARAMETER: return (double)params;
    case NORMALISE_FLOP: return flops_of(scoring, shape, s, type, l, params);
    case NORMALISE_KV_BYTE: return 2.0 * 2.0 * shape->head_dim;
    case NORMALISE_MILLISECOND:
        return milliseconds_of(scoring, shape, type, group_count(shape, type, s->unit, l)) /
               entries_a_unit(shape, s, type, l);
    default: return 1;
    }
}

static struct scale z_score(struct entries e)
{
    double mean = 0, variance = 0;
    for (int j = 0; j < e.n; j++) mean += e.sums[j] / e.n;
    for (int j = 0; j < e.n; j++) variance += (e.sums[j] - mean) * (e.sums[j] - mean) / e.n;
    return (struct scale){ mean, variance > 0 ? sqrt(variance) : 1 };
}

/* The least becomes the share that is gone, the largest one unit's share more. */
static struct scale share(struct entries e, int count, int source)
{
    double low = INFINITY, high = -INFINITY, gone = (double)(source - count) / source;
    for (int j = 0; j < e.n; j++) {
        if (!isfinite(e.sums[j])) continue;
        low = e.sums[j] < low ? e.sums[j] : low;
        high = e.sums[j] > high ? e.sums[j] : high;
    }
    double divisor = high > low ? (high - low) * source : 1;
    if (!isfinite(low)) low = 0;
    return (struct scale){ low - gone * divisor, divisor };
}

struct scale scoring_scale(const struct scoring *scoring, const struct search *search,
                           const struct scores *s, enum group_type type, int l)
{
    const struct shape *shape = &search->shape;
    struct entries e = entries_of(s, type, l);
    if (scoring->normalise == NORMALISE_Z_SCORE) return z_score(e);
    if (scoring->normalise == NORMALISE_SHARE)
        return share(e, group_count(shape, type, s->unit, l),
                     group_count(&search->source, type, s->unit, l));
    double divisor = cost_of_entry(scoring, shape, s, type, l, e.params);
    if (scoring->reduce == REDUCE_MEAN) divisor *= (double)e.params;
    return (struct scale){ 0, divisor * (s->weight > 0 ? s->weight : 1) };
}
