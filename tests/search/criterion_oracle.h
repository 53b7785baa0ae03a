#ifndef TESTS_SEARCH_CRITERION_ORACLE_H
#define TESTS_SEARCH_CRITERION_ORACLE_H

/*
 * Every criterion by its definition (search/criterion.h): one unit at a time, from the weights,
 * gradients and inputs of a tiny model, asking of each element whether it is the unit's.
 */
#include "tests/search/tiny_model.h"
#include "tests/support/check.h"

struct unit {
    const struct tiny *t;
    enum head_unit heads;
    enum group_type type;
    int l, j;
};

static bool holds_row(const struct unit *u, const struct matrix *m, bool column, int i)
{
    enum group_type type;
    int j;
    return unit_of_axis(&u->t->shape, u->heads, column ? m->col : m->row, m->layer, i, &type, &j) &&
           type == u->type && j == u->j && (type == GROUP_STEM || m->layer == u->l);
}

typedef double element(double w, double g);

static double wg_abs(double w, double g) { return fabs(w * g); }
static double w2g2(double w, double g) { return w * w * g * g; }
static double mix(double w, double g) { return fabs(w * g - 0.5 * w * w * g * g); }
static double w_abs(double w, double g) { return (void)g, fabs(w); }
static double w_sq(double w, double g) { return (void)g, w * w; }

/* Sum over every element of the model that is in the unit, mean over steps. */
static double over_elements(const struct unit *u, element *f)
{
    double sum = 0;
    for (int i = 0; i < u->t->n; i++) {
        const struct matrix *m = &u->t->m[i];
        for (int at = 0; at < m->rows * m->cols; at++)
            if (holds_row(u, m, false, at / m->cols) || holds_row(u, m, true, at % m->cols))
                for (int s = 0; s < STEPS; s++) sum += f(m->w[at], m->g[s][at]) / STEPS;
    }
    return sum;
}

static double mean_then_abs(const struct unit *u)
{
    double sum = 0;
    for (int i = 0; i < u->t->n; i++) {
        const struct matrix *m = &u->t->m[i];
        for (int at = 0; at < m->rows * m->cols; at++) {
            double mean = 0;
            for (int s = 0; s < STEPS; s++) mean += m->w[at] * m->g[s][at] / STEPS;
            if (holds_row(u, m, false, at / m->cols) || holds_row(u, m, true, at % m->cols))
                sum += fabs(mean);
        }
    }
    return sum;
}

static double lines_in_step(const struct unit *u, int s)
{
    double sum = 0;
    for (int i = 0; i < u->t->n; i++) {
        const struct matrix *m = &u->t->m[i];
        for (int r = 0; r < m->rows; r++) {
            double line = 0;
            for (int c = 0; c < m->cols; c++)
                line += m->w[r * m->cols + c] * m->g[s][r * m->cols + c];
            if (holds_row(u, m, false, r)) sum += fabs(line);
        }
        for (int c = 0; c < m->cols; c++) {
            double line = 0;
            for (int r = 0; r < m->rows; r++)
                line += m->w[r * m->cols + c] * m->g[s][r * m->cols + c];
            if (holds_row(u, m, true, c)) sum += fabs(line);
        }
    }
    return sum;
}

static double vectorized(const struct unit *u)
{
    double sum = 0;
    for (int s = 0; s < STEPS; s++) sum += lines_in_step(u, s) / STEPS;
    return sum;
}

static double maximum(const struct unit *u)
{
    double sum = 0;
    for (int s = 0; s < STEPS; s++) sum += unit_max(u->t, u->heads, u->type, u->l, u->j, s) / STEPS;
    return sum;
}

/* A column that reads channel c of a place: sum of |W|^p over all matrices there. */
static double column(const struct tiny *t, int place, int l, int c, int p, int *rows)
{
    double sum = 0;
    *rows = 0;
    for (int i = 0; i < t->n; i++) {
        const struct matrix *m = &t->m[i];
        if (m->reads != place || (place < 3 && m->layer != l)) continue;
        *rows += m->rows;
        for (int r = 0; r < m->rows; r++) sum += pow(fabs(m->w[r * m->cols + c]), p);
    }
    return sum;
}

static double wanda_channel(const struct tiny *t, int place, int l, int c)
{
    double norm = 0;
    int rows;
    for (int i = 0; i < TOKENS; i++) norm += pow(input_at(place, l, i, c), 2);
    double sum = column(t, place, l, c, 1, &rows);
    return sum / rows * sqrt(norm);
}

static double flap_channel(const struct tiny *t, int place, int l, int c)
{
    double mean = 0, variance = 0;
    int rows;
    for (int i = 0; i < TOKENS; i++) mean += input_at(place, l, i, c) / TOKENS;
    for (int i = 0; i < TOKENS; i++) variance += pow(input_at(place, l, i, c) - mean, 2) / TOKENS;
    double value = variance * column(t, place, l, c, 2, &rows);
    return place == 1 ? value * value : value;
}

static double minitron_channel(const struct tiny *t, int place, int l, int c)
{
    double sum = 0;
    (void)t;
    for (int b = 0; b < STEPS * SEQUENCES; b++) {
        double mean = 0;
        for (int i = 0; i < TIME; i++) mean += fabs(input_at(place, l, b * TIME + i, c)) / TIME;
        sum += mean * mean;
    }
    return sqrt(sum);
}

typedef double channel(const struct tiny *t, int place, int l, int c);

/* Heads: sum over a head's channels (norm 2: root of the sum of squares), then mean (or root)
 * over the query heads of the unit. */
static double over_channels(const struct unit *u, channel *f, bool root, int n_norms)
{
    const struct layer_shape *layer = &u->t->shape.layer[u->l];
    int h = u->t->shape.head_dim, r = layer->q_heads / layer->kv_heads;
    double sum = 0;
    if (u->type == GROUP_FFN) return f(u->t, 2, u->l, u->j);
    if (u->type == GROUP_STEM) {
        for (int k = 0; k < n_norms; k++) sum += f(u->t, 3 + k, 0, u->j);
        return sum;
    }
    int from = u->heads == HEAD_UNIT_QUERY ? u->j : u->j * r;
    int n = u->heads == HEAD_UNIT_QUERY ? 1 : r;
    for (int c = from * h; c < (from + n) * h; c++)
        sum += root ? pow(f(u->t, 1, u->l, c), 2) : f(u->t, 1, u->l, c) / n;
    return root ? sqrt(sum) : sum;
}

static double oracle_value(const struct unit *u, const struct scoring *s)
{
    int norms = 2 * u->t->shape.n_layers;
    const char *name = s->name;
    if (s->abs_after) return mean_then_abs(u);
    if (s->reduce == REDUCE_MAX) return maximum(u);
    if (!strcmp(name, "param_first")) return over_elements(u, wg_abs);
    if (!strcmp(name, "vectorize")) return vectorized(u);
    if (!strcmp(name, "param_second")) return over_elements(u, w2g2);
    if (!strcmp(name, "param_mix")) return over_elements(u, mix);
    if (!strcmp(name, "fisher")) return over_elements(u, w2g2) / 2;
    if (!strcmp(name, "magnitude_l1")) return over_elements(u, w_abs);
    if (!strcmp(name, "magnitude_l2")) return over_elements(u, w_sq);
    if (!strcmp(name, "wanda_sp")) return over_channels(u, wanda_channel, false, norms + 1);
    if (!strcmp(name, "minitron")) return over_channels(u, minitron_channel, true, norms);
    CHECK_STR(name, "flap");
    double value = over_channels(u, flap_channel, false, norms + 1);
    return u->type == GROUP_HEADS ? value / u->t->shape.head_dim : value;
}

#endif
