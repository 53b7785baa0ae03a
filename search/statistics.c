#include "search/statistics.h"

#include "search/search.h"

/* ---- every table --------------------------------------------------------------------------- */

static bool exists(const struct scores *table) { return table->block != NULL; }

static void add_unit_table(struct statistics *st, struct scores *table)
{
    scores_init(table, &st->shape, st->unit_of_heads);
}

void statistics_init(struct statistics *st, const struct scoring *scoring,
                     const struct shape *shape, enum head_unit unit)
{
    *st = (struct statistics){ .criterion = criterion_find(scoring->name),
                               .scoring = *scoring,
                               .shape = *shape,
                               .unit_of_heads = unit };
    unsigned needs = scoring_needs(scoring);
    for (int k = 0; k < STATISTICS; k++) {
        if (!(needs >> k & 1)) continue;
        if (k < STAT_UNITS)
            add_unit_table(st, &st->unit[k]);
        else
            channels_init(&st->channel[k - STAT_UNITS], shape);
    }
    for (int i = 0; st->criterion->step_by_step && i < 4; i++) add_unit_table(st, &st->moment[i]);
}

void statistics_release(struct statistics *st)
{
    for (int k = 0; k < STAT_UNITS; k++) scores_release(&st->unit[k]);
    for (int k = 0; k < STATISTICS - STAT_UNITS; k++) channels_release(&st->channel[k]);
    for (int i = 0; i < 4; i++) scores_release(&st->moment[i]);
}

void statistics_remove(struct statistics *st, const struct removal *removal)
{
    for (int k = 0; k < STAT_UNITS; k++)
        if (exists(&st->unit[k])) scores_remove(&st->unit[k], &st->shape, removal);
    for (int k = 0; k < STATISTICS - STAT_UNITS; k++)
        if (st->channel[k].block) channels_remove(&st->channel[k], &st->shape, removal);
    for (int i = 0; i < 4; i++)
        if (exists(&st->moment[i])) scores_remove(&st->moment[i], &st->shape, removal);
    removal_shrink(removal, &st->shape);
}

void statistics_fade(struct statistics *st, double keep)
{
    for (int k = 0; k < STAT_UNITS; k++)
        if (exists(&st->unit[k])) scores_fade(&st->unit[k], &st->shape, keep);
    for (int k = 0; k < STATISTICS - STAT_UNITS; k++)
        if (st->channel[k].block) channels_fade(&st->channel[k], keep);
    for (int i = 0; i < 4; i++)
        if (exists(&st->moment[i])) scores_fade(&st->moment[i], &st->shape, keep);
    st->steps *= keep;
    st->tokens *= keep;
}

/* ---- SAAP's moments: sums of a step, relative to the layer's mean, and their squares ------- */

static void add_moments(const double *x, int n, double *first, double *second)
{
    double mean = 0;
    for (int j = 0; j < n; j++) mean += x[j] / n;
    for (int j = 0; j < n && mean > 0; j++) {
        first[j] += x[j] / mean;
        second[j] += x[j] / mean * (x[j] / mean);
    }
}

static void fold(struct scores *step, struct scores *first, struct scores *second)
{
    for (int a = 0; a < scores_arrays(step); a++) {
        int n;
        double *x = scores_array(step, a, &n);
        add_moments(x, n, scores_array(first, a, &n), scores_array(second, a, &n));
        for (int j = 0; j < n; j++) x[j] = 0;
    }
}

void statistics_step(struct statistics *st)
{
    if (!st->criterion->step_by_step) return;
    fold(&st->unit[STAT_WG_LINE], &st->moment[0], &st->moment[1]);
    fold(&st->unit[STAT_MIX_ABS], &st->moment[2], &st->moment[3]);
}

void statistics_score(const struct statistics *st, const struct search *search, struct scores *out)
{
    scores_fade(out, &search->shape, 0);
    st->criterion->score(st, search, out);
    out->weight = 1;
}
