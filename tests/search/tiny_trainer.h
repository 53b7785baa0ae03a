#ifndef TESTS_SEARCH_TINY_TRAINER_H
#define TESTS_SEARCH_TINY_TRAINER_H

/* A trainer that knows nothing but the definitions of criterion.h: fills the tables of a search
 * from a tiny model. */
#include "tests/search/tiny_model.h"

static void collect_matrix(struct statistics *st, const struct matrix *m, int step, double *sums)
{
    const struct shape *s = &st->shape;
    for (int side = 0; side < 2; side++) { /* as rows, as columns */
        int lines = side ? m->cols : m->rows, length = side ? m->rows : m->cols, j;
        enum group_type type;
        for (int i = 0; i < lines; i++) {
            if (!unit_of_axis(s, st->unit_of_heads, side ? m->col : m->row, m->layer, i, &type, &j))
                continue;
            memset(sums, 0, STAT_UNITS * sizeof *sums);
            double line = 0;
            for (int k = 0; k < length; k++) {
                int at = side ? k * m->cols + i : i * m->cols + k;
                double w = m->w[at], g = m->g[step][at], mean = 0;
                for (int t = 0; t < STEPS; t++) mean += w * m->g[t][at] / STEPS;
                line += w * g;
                sums[STAT_WG_ABS] += fabs(w * g);
                sums[STAT_WG_MAX] = fmax(sums[STAT_WG_MAX], fabs(w * g));
                sums[STAT_W2G2] += w * w * g * g;
                sums[STAT_MIX_ABS] += fabs(w * g - w * w * g * g / 2);
                sums[STAT_WG_MEAN_ABS] += step ? 0 : fabs(mean);
                sums[STAT_W_ABS] += step ? 0 : fabs(w);
                sums[STAT_W_SQ] += step ? 0 : w * w;
            }
            sums[STAT_WG_LINE] = fabs(line);
            for (int k = 0; k < STAT_UNITS; k++) {
                if (!st->unit[k].block) continue;
                double *entry = table_entry(&st->unit[k], type, m->layer, j);
                if (k != STAT_WG_MAX) *entry += sums[k];
            }
        }
    }
}

static void collect_max(struct statistics *st, const struct tiny *t, int step)
{
    struct scores *s = &st->unit[STAT_WG_MAX];
    if (!s->block) return;
    for (int l = 0; l < s->n_layers; l++) {
        for (int j = 0; j < s->n_heads[l]; j++)
            s->heads[l][j] += unit_max(t, s->unit, GROUP_HEADS, l, j, step);
        for (int j = 0; j < s->n_ffn[l]; j++)
            s->ffn[l][j] += unit_max(t, s->unit, GROUP_FFN, l, j, step);
    }
    for (int j = 0; j < s->n_stem; j++) s->stem[j] += unit_max(t, s->unit, GROUP_STEM, 0, j, step);
}

static double *channel_entry(struct channels *c, int place, int l, int i)
{
    return place == 1 ? &c->attention[l][i] : place == 2 ? &c->ffn[l][i] : &c->stem[place - 3][i];
}

static void collect_inputs_at(struct statistics *st, int place, int l, int n, int step)
{
    for (int c = 0; c < n; c++)
        for (int b = 0; b < SEQUENCES; b++) {
            double mean = 0;
            for (int i = 0; i < TIME; i++) {
                double x = input_at(place, l, (step * SEQUENCES + b) * TIME + i, c);
                mean += fabs(x) / TIME;
                if (statistics_need(st, STAT_X_SUM))
                    *channel_entry(&st->channel[STAT_X_SUM - STAT_UNITS], place, l, c) += x;
                if (statistics_need(st, STAT_X_SQ))
                    *channel_entry(&st->channel[STAT_X_SQ - STAT_UNITS], place, l, c) += x * x;
            }
            if (statistics_need(st, STAT_X_ABS_SQ))
                *channel_entry(&st->channel[STAT_X_ABS_SQ - STAT_UNITS], place, l, c) +=
                    mean * mean;
        }
}

static void collect_columns(struct statistics *st, const struct matrix *m)
{
    if (!m->reads) return;
    for (int at = 0; at < m->rows * m->cols; at++) {
        int c = at % m->cols;
        if (statistics_need(st, STAT_COL_ABS))
            *channel_entry(&st->channel[STAT_COL_ABS - STAT_UNITS], m->reads, m->layer, c) +=
                fabs(m->w[at]);
        if (statistics_need(st, STAT_COL_SQ))
            *channel_entry(&st->channel[STAT_COL_SQ - STAT_UNITS], m->reads, m->layer, c) +=
                m->w[at] * m->w[at];
    }
}

static void collect(struct statistics *st, const struct tiny *t)
{
    const struct shape *s = &t->shape;
    double sums[STAT_UNITS];
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < t->n; i++) collect_matrix(st, &t->m[i], step, sums);
        collect_max(st, t, step);
        for (int l = 0; l < s->n_layers; l++) {
            collect_inputs_at(st, 1, l, s->layer[l].q_heads * s->head_dim, step);
            collect_inputs_at(st, 2, l, s->layer[l].ffn, step);
        }
        for (int k = 0; k <= 2 * s->n_layers; k++)
            collect_inputs_at(st, 3 + k, 0, s->hidden_size, step);
        st->steps++;
        st->tokens += SEQUENCES * TIME;
        statistics_step(st);
    }
    for (int i = 0; i < t->n; i++) collect_columns(st, &t->m[i]);
}

#endif
