#ifndef TESTS_TRAINER_CRITERIA_ORACLE_H
#define TESTS_TRAINER_CRITERIA_ORACLE_H

/*
 * Every criterion from what was seen of a model: its weights and gradients, read out in every
 * step, and its inputs, by running it again in doubles (slow_model.h).
 */
#include "search/search.h"
#include "tests/trainer/slow_model.h"

enum { STEPS = 3, SLOTS = 64 };

/* What the oracle has seen. */
struct seen {
    int steps;
    float *w[STEPS][SLOTS], *g[STEPS][SLOTS], *now[SLOTS];
    struct slow_model inputs[STEPS];
};

/* A unit whose score is asked for. */
struct unit {
    enum group_type type;
    enum head_unit head;
    int layer, j;
};

static const struct search_options *options;
static struct fixture f;
static struct seen seen;

static const struct slot *slot_at(int i) { return &f.model->layout.slot[i]; }

static void seen_step(void)
{
    slow_run(&seen.inputs[seen.steps], &f);
    for (int i = 0; i < f.model->layout.n_slots; i++) {
        seen.w[seen.steps][i] = fixture_read(&f, MODEL_WEIGHTS, slot_at(i));
        seen.g[seen.steps][i] = fixture_read(&f, MODEL_GRADS, slot_at(i));
    }
    seen.steps++;
}

static void seen_now(void)
{
    for (int i = 0; i < f.model->layout.n_slots; i++)
        seen.now[i] = fixture_read(&f, MODEL_WEIGHTS, slot_at(i));
}

static void seen_clear(void)
{
    for (int i = 0; i < f.model->layout.n_slots; i++) {
        for (int s = 0; s < seen.steps; s++) free(seen.w[s][i]), free(seen.g[s][i]);
        free(seen.now[i]);
    }
    for (int s = 0; s < seen.steps; s++) slow_release(&seen.inputs[s]);
    seen = (struct seen){ 0 };
}

/* ---- weights and gradients ---------------------------------------------------------------- */

static bool owns(const struct unit *u, const struct slot *slot, int row, int col)
{
    bool outside = slot->kind == SLOT_EMBED || slot->kind == SLOT_HEAD;
    if (u->type == GROUP_STEM && outside && !options->scoring.embedding_in_stem) return false;
    return slow_owns(model_shape(f.model), slot, row, col, u->type, u->head, u->layer, u->j);
}

/* Are the unit's lines in this tensor rows? */
static bool by_rows(const struct unit *u, const struct slot *slot)
{
    bool out = slot->kind == SLOT_O || slot->kind == SLOT_DOWN;
    return slot->dims == 2 && (u->type == GROUP_STEM ? out : !out);
}

/* sums of one step: |wg|, its largest, |line|, w^2 g^2, |wg - w^2 g^2 / 2| */
struct step_sums {
    double abs, max, line, second, mix;
};

static void add_tensor(struct step_sums *sums, const struct unit *u, int s, int i)
{
    const struct slot *slot = slot_at(i);
    bool rows = by_rows(u, slot);
    int lines = rows ? slot->rows : slot->cols, length = rows ? slot->cols : slot->rows;
    for (int a = 0; a < lines; a++) {
        double line = 0;
        for (int b = 0; b < length; b++) {
            int row = rows ? a : b, col = rows ? b : a;
            if (!owns(u, slot, row, col)) continue;
            int at = row * slot->cols + col;
            double wg = (double)seen.w[s][i][at] * seen.g[s][i][at];
            line += wg;
            sums->abs += fabs(wg);
            sums->max = fmax(sums->max, fabs(wg));
            sums->second += wg * wg;
            sums->mix += fabs(wg - wg * wg / 2);
        }
        sums->line += fabs(line);
    }
}

static struct step_sums sums_of(const struct unit *u, int s)
{
    struct step_sums sums = { 0 };
    for (int i = 0; i < f.model->layout.n_slots; i++) add_tensor(&sums, u, s, i);
    return sums;
}

static struct step_sums mean_sums(const struct unit *u)
{
    struct step_sums mean = { 0 };
    for (int s = 0; s < seen.steps; s++) {
        struct step_sums one = sums_of(u, s);
        mean.abs += one.abs / seen.steps, mean.max += one.max / seen.steps;
        mean.line += one.line / seen.steps, mean.second += one.second / seen.steps;
        mean.mix += one.mix / seen.steps;
    }
    return mean;
}

/* Sums over the unit's weights as they are now, and of |mean over steps of w g|. */
static void sums_now(const struct unit *u, double *l1, double *l2, double *mean_abs)
{
    *l1 = *l2 = *mean_abs = 0;
    for (int i = 0; i < f.model->layout.n_slots; i++)
        for (int at = 0; at < slot_at(i)->rows * slot_at(i)->cols; at++) {
            double w = seen.now[i][at], mean = 0;
            if (!owns(u, slot_at(i), at / slot_at(i)->cols, at % slot_at(i)->cols)) continue;
            for (int s = 0; s < seen.steps; s++)
                mean += (double)seen.w[s][i][at] * seen.g[s][i][at] / seen.steps;
            *l1 += fabs(w), *l2 += w * w, *mean_abs += fabs(mean);
        }
}

/* ---- inputs ---------------------------------------------------------------------------------- */

/* One input of some matrices: numbers over all tokens seen, and of the columns that read it. */
struct input {
    double sum, square, sequences, l1, l2;
    int rows;
};

static const double *values(int s, enum model_place place, int i, int *n)
{
    const struct slow_model *m = &seen.inputs[s];
    *n = place == PLACE_NORM  ? m->shape.hidden_size
         : place == PLACE_FFN ? m->shape.layer[i].ffn
                              : m->shape.layer[i].q_heads * m->shape.head_dim;
    return place == PLACE_NORM ? m->norm[i] : place == PLACE_FFN ? m->act[i] : m->att[i];
}

/* Does the tensor read input i of the place? */
static bool reads(const struct slot *slot, enum model_place place, int i)
{
    bool tied = model_shape(f.model)->tie_word_embeddings;
    if (place == PLACE_ATTENTION) return slot->kind == SLOT_O && slot->layer == i;
    if (place == PLACE_FFN) return slot->kind == SLOT_DOWN && slot->layer == i;
    if (i == 2 * SLOW_LAYERS) return slot->kind == (tied ? SLOT_EMBED : SLOT_HEAD);
    if (slot->layer != i / 2) return false;
    return i % 2 ? slot->kind == SLOT_GATE || slot->kind == SLOT_UP
                 : slot->kind == SLOT_Q || slot->kind == SLOT_K || slot->kind == SLOT_V;
}

static struct input input_at(enum model_place place, int i, int c)
{
    struct input in = { 0 };
    for (int s = 0; s < seen.steps; s++) {
        int n;
        const double *x = values(s, place, i, &n);
        for (int b = 0; b < SLOW_ROWS / SLOW_TIME; b++) {
            double mean = 0;
            for (int t = 0; t < SLOW_TIME; t++) {
                double v = x[(b * SLOW_TIME + t) * n + c];
                in.sum += v, in.square += v * v, mean += fabs(v) / SLOW_TIME;
            }
            in.sequences += mean * mean;
        }
    }
    for (int k = 0; k < f.model->layout.n_slots; k++) {
        if (!reads(slot_at(k), place, i)) continue;
        in.rows += slot_at(k)->rows;
        for (int r = 0; r < slot_at(k)->rows; r++) {
            double w = seen.now[k][r * slot_at(k)->cols + c];
            in.l1 += fabs(w), in.l2 += w * w;
        }
    }
    return in;
}

static double fluctuation(const struct input *in)
{
    double t = seen.steps * SLOW_ROWS, mean = in->sum / t;
    return (in->square / t - mean * mean) * in->l2;
}

static double of_input(const char *name, const struct input *in, bool attention)
{
    if (!strcmp(name, "wanda_sp")) return in->l1 / in->rows * sqrt(in->square);
    if (!strcmp(name, "minitron")) return attention ? in->sequences : sqrt(in->sequences);
    double flap = fluctuation(in);
    return attention ? flap * flap / model_shape(f.model)->head_dim : flap;
}

static double from_inputs(const char *name, const struct unit *u)
{
    const struct shape *shape = model_shape(f.model);
    bool minitron = !strcmp(name, "minitron");
    double sum = 0;
    if (u->type == GROUP_STEM) {
        int last = options->scoring.embedding_in_stem && !minitron;
        for (int i = 0; i < 2 * SLOW_LAYERS + last; i++) {
            struct input in = input_at(PLACE_NORM, i, u->j);
            sum += of_input(name, &in, false);
        }
        return sum;
    }
    if (u->type == GROUP_FFN) {
        struct input in = input_at(PLACE_FFN, u->layer, u->j);
        return of_input(name, &in, false);
    }
    const struct layer_shape *layer = &shape->layer[u->layer];
    int heads = u->head == HEAD_UNIT_QUERY ? 1 : layer->q_heads / layer->kv_heads;
    int span = heads * shape->head_dim;
    for (int c = u->j * span; c < u->j * span + span; c++) {
        struct input in = input_at(PLACE_ATTENTION, u->layer, c);
        sum += of_input(name, &in, true);
    }
    return minitron ? sqrt(sum) : sum / heads;
}

/* ---- OBS: elimination instead of an inverse ------------------------------------------------ */

/* What is left of the damped Hessian of inputs from..from+k-1 when the others are eliminated:
 * H_SS - H_SR H_RR^-1 H_RS. The inputs of S come last in the order of elimination. */
static double *schur(enum model_place place, int i, int from, int k, int *width)
{
    int n;
    values(0, place, i, &n);
    double *H = slow_room(n, n), mean = 0;
#define AT(a, b) H[((a)*n + (b))]
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++)
            for (int s = 0; s < seen.steps; s++) {
                const double *x = values(s, place, i, &n);
                int p = a >= n - k ? from + a - (n - k) : a < from ? a : a + k;
                int q = b >= n - k ? from + b - (n - k) : b < from ? b : b + k;
                for (int t = 0; t < SLOW_ROWS; t++)
                    AT(a, b) += 2.0 / (seen.steps * SLOW_ROWS) * x[t * n + p] * x[t * n + q];
            }
    for (int a = 0; a < n; a++) mean += AT(a, a) / n;
    for (int a = 0; a < n; a++) AT(a, a) += 0.01 * mean;
    for (int p = 0; p < n - k; p++)
        for (int a = p + 1; a < n; a++) {
            double by = AT(a, p) / AT(p, p);
            for (int b = p; b < n; b++) AT(a, b) -= by * AT(p, b);
        }
    double *out = slow_room(k, k);
    for (int a = 0; a < k; a++)
        for (int b = 0; b < k; b++) out[a * k + b] = AT(n - k + a, n - k + b);
#undef AT
    free(H);
    *width = n;
    return out;
}

static double loss_at(enum model_place place, int i, int from, int k)
{
    int n;
    double *B = schur(place, i, from, k, &n), sum = 0;
    for (int s = 0; s < f.model->layout.n_slots; s++) {
        if (!reads(slot_at(s), place, i) || slot_at(s)->kind == SLOT_EMBED) continue;
        for (int r = 0; r < slot_at(s)->rows; r++)
            for (int a = 0; a < k; a++)
                for (int b = 0; b < k; b++)
                    sum += (double)seen.now[s][r * n + from + a] * B[a * k + b] *
                           seen.now[s][r * n + from + b];
    }
    free(B);
    return sum;
}

static double obs_loss(const struct unit *u)
{
    const struct shape *shape = model_shape(f.model);
    double sum = 0;
    if (u->type == GROUP_FFN) return loss_at(PLACE_FFN, u->layer, u->j, 1);
    if (u->type == GROUP_STEM) {
        int last = !shape->tie_word_embeddings && options->scoring.embedding_in_stem;
        for (int i = 0; i < 2 * SLOW_LAYERS + last; i++) sum += loss_at(PLACE_NORM, i, u->j, 1);
        return sum;
    }
    const struct layer_shape *layer = &shape->layer[u->layer];
    int heads = u->head == HEAD_UNIT_QUERY ? 1 : layer->q_heads / layer->kv_heads;
    int k = heads * shape->head_dim;
    return loss_at(PLACE_ATTENTION, u->layer, u->j * k, k);
}

/* ---- SAAP ---------------------------------------------------------------------------------- */

/* Importances of all units of a layer in every step, relative to their mean: [kind][unit][step] */
enum { MOST_UNITS = 40 };

static void relative(const struct unit *u, int n, double x[2][MOST_UNITS][STEPS])
{
    for (int s = 0; s < seen.steps; s++) {
        double mean[2] = { 0 };
        for (int j = 0; j < n; j++) {
            struct unit one = *u;
            one.j = j;
            struct step_sums sums = sums_of(&one, s);
            x[0][j][s] = sums.line, x[1][j][s] = sums.mix;
            mean[0] += sums.line / n, mean[1] += sums.mix / n;
        }
        for (int j = 0; j < n; j++) x[0][j][s] /= mean[0], x[1][j][s] /= mean[1];
    }
}

static void moments(const double *x, double *mean, double *variance)
{
    *mean = *variance = 0;
    for (int s = 0; s < seen.steps; s++) *mean += x[s] / seen.steps;
    for (int s = 0; s < seen.steps; s++) *variance += (x[s] - *mean) * (x[s] - *mean) / seen.steps;
}

static double saap(const struct unit *u, int n)
{
    static double x[2][MOST_UNITS][STEPS];
    double mean[2], variance[2], spread[2] = { 0 }, m;
    relative(u, n, x);
    for (int kind = 0; kind < 2; kind++) {
        for (int j = 0; j < n; j++) {
            moments(x[kind][j], &m, &variance[kind]);
            spread[kind] += variance[kind] / n;
        }
        spread[kind] = fmax(spread[kind], 1e-6); /* two equal batches mean no certainty */
        moments(x[kind][u->j], &mean[kind], &variance[kind]);
    }
    double cv = sqrt(variance[0] + variance[1]) / (mean[0] + mean[1]);
    return (mean[0] / (2 * spread[0]) + mean[1] / (2 * spread[1])) * (1 + cv) +
           log(sqrt(spread[0]) * sqrt(spread[1]));
}

/* ---- the score ----------------------------------------------------------------------------- */

static double oracle(const struct unit *u, int n)
{
    const struct scoring *s = &options->scoring;
    double l1, l2, mean_abs;
    sums_now(u, &l1, &l2, &mean_abs);
    if (!strcmp(s->name, "magnitude_l1")) return l1;
    if (!strcmp(s->name, "magnitude_l2")) return l2;
    if (s->abs_after) return mean_abs;
    if (!strcmp(s->name, "obs")) return obs_loss(u);
    if (!strcmp(s->name, "saap")) return saap(u, n);
    if (!strcmp(s->name, "wanda_sp") || !strcmp(s->name, "flap") || !strcmp(s->name, "minitron"))
        return from_inputs(s->name, u);
    struct step_sums mean = mean_sums(u);
    if (!strcmp(s->name, "vectorize")) return mean.line;
    if (!strcmp(s->name, "param_second")) return mean.second;
    if (!strcmp(s->name, "fisher")) return mean.second / 2;
    if (!strcmp(s->name, "param_mix")) return mean.mix;
    return s->reduce == REDUCE_MAX ? mean.max : mean.abs;
}

#endif
