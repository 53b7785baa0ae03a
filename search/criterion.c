/*
 * The criteria, one function each. Sources and notation: methods.md, sections 1.5 (param_first,
 * OBS), 2 (the Taylor family, magnitude, random), 4 (Wanda-sp), 8 (Minitron), 10 (SAAP), 13
 * (Bypass), 17 (FLAP).
 *
 * Where a method scores attention and FFN only, the stem's score is ours and follows the same
 * idea: the sum over the norms' outputs of what each channel means to the matrices that read it.
 */
#include "search/criterion.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "search/base/rng.h"
#include "search/search.h"
#include "search/statistics.h"

#define BIT(k) (1u << (k))

const char *const statistic_names[] = {
    "wg_abs", "wg_max", "wg_line", "w2g2", "mix_abs",  "wg_mean_abs", "w_abs",  "w_sq",
    "obs",    "keep",   "x_sum",   "x_sq", "x_abs_sq", "col_abs",     "col_sq", NULL,
};

bool statistic_is_per_step(enum statistic k)
{
    const unsigned now = BIT(STAT_WG_MEAN_ABS) | BIT(STAT_W_ABS) | BIT(STAT_W_SQ) | BIT(STAT_OBS) |
                         BIT(STAT_KEEP) | BIT(STAT_COL_ABS) | BIT(STAT_COL_SQ);
    return !(now & BIT(k));
}

/* ---- a statistic of the unit, as it is ----------------------------------------------------- */

static void take_unit(const struct statistics *st, enum statistic k, double factor,
                      struct scores *out)
{
    if (statistic_is_per_step(k) && st->steps > 0) factor /= st->steps;
    for (int a = 0; a < scores_arrays(out); a++) {
        int n;
        const double *from = scores_array(&st->unit[k], a, &n);
        double *to = scores_array(out, a, &n);
        for (int j = 0; j < n; j++) to[j] = from[j] * factor;
    }
}

static enum statistic param_first_statistic(const struct scoring *scoring)
{
    if (scoring->abs_after) return STAT_WG_MEAN_ABS;
    return scoring->reduce == REDUCE_MAX ? STAT_WG_MAX : STAT_WG_ABS;
}

static void param_first(const struct statistics *st, const struct search *search,
                        struct scores *out)
{
    (void)search;
    take_unit(st, param_first_statistic(&st->scoring), 1, out);
}

static void vectorize(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    take_unit(st, STAT_WG_LINE, 1, out);
}

static void param_second(const struct statistics *st, const struct search *search,
                         struct scores *out)
{
    (void)search;
    take_unit(st, STAT_W2G2, 1, out);
}

static void param_mix(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    take_unit(st, STAT_MIX_ABS, 1, out);
}

/* The loss increase that the diagonal Fisher information predicts. */
static void fisher(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    take_unit(st, STAT_W2G2, 0.5, out);
}

static void magnitude_l1(const struct statistics *st, const struct search *search,
                         struct scores *out)
{
    (void)search;
    take_unit(st, STAT_W_ABS, 1, out);
}

static void magnitude_l2(const struct statistics *st, const struct search *search,
                         struct scores *out)
{
    (void)search;
    take_unit(st, STAT_W_SQ, 1, out);
}

static void obs(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    take_unit(st, STAT_OBS, 1, out);
}

static void bypass(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    take_unit(st, STAT_KEEP, 1, out);
}

/* ---- random -------------------------------------------------------------------------------- */

/* A number of (seed, step, array, source index): the same after a resume, whatever moved. */
static void random_array(const struct search *search, int a, const int *source, double *to, int n)
{
    uint64_t key = rng_mix(rng_mix(search->seed, (uint64_t)search->step), (uint64_t)a);
    for (int j = 0; j < n; j++) to[j] = (double)(rng_mix(key, (uint64_t)source[j]) >> 11) * 0x1p-53;
}

static void random_scores(const struct statistics *st, const struct search *search,
                          struct scores *out)
{
    (void)st;
    const struct index_map *map = &search->map;
    for (int l = 0; l < out->n_layers; l++) {
        const int *heads = index_map_of(map, GROUP_HEADS, out->unit, l);
        random_array(search, 2 * l, heads, out->heads[l], out->n_heads[l]);
        random_array(search, 2 * l + 1, map->ffn[l], out->ffn[l], out->n_ffn[l]);
    }
    random_array(search, 2 * out->n_layers, map->stem, out->stem, out->n_stem);
}

/* ---- input channels ------------------------------------------------------------------------ */

/* What is known of the channels that one kind of matrix reads. */
struct inputs {
    const double *x_sum, *x_sq, *x_abs_sq, *col_abs, *col_sq; /* NULL when not collected */
    double tokens;
    int rows; /* of the matrices that read them */
};

typedef double channel_value(const struct inputs *in, int c);

enum place { AT_ATTENTION, AT_FFN, AT_NORM };

static const double *numbers_at(const struct statistics *st, enum statistic k, enum place place,
                                int i)
{
    const struct channels *c = &st->channel[k - STAT_UNITS];
    if (!c->block) return NULL;
    return place == AT_ATTENTION ? c->attention[i] : place == AT_FFN ? c->ffn[i] : c->stem[i];
}

static int rows_at(const struct shape *s, enum place place, int i)
{
    const struct layer_shape *layer = &s->layer[i / 2];
    if (place != AT_NORM) return s->hidden_size;
    if (i == 2 * s->n_layers) return s->vocab_size;
    return i % 2 ? 2 * layer->ffn : (layer->q_heads + 2 * layer->kv_heads) * s->head_dim;
}

static struct inputs inputs_at(const struct statistics *st, enum place place, int i)
{
    return (struct inputs){ numbers_at(st, STAT_X_SUM, place, i),
                            numbers_at(st, STAT_X_SQ, place, i),
                            numbers_at(st, STAT_X_ABS_SQ, place, i),
                            numbers_at(st, STAT_COL_ABS, place, i),
                            numbers_at(st, STAT_COL_SQ, place, i),
                            st->tokens,
                            rows_at(&st->shape, place, i) };
}

/* The sum over the channels of query heads [from, from + n). */
static double sum_heads(const struct statistics *st, channel_value *value, int l, int from, int n)
{
    struct inputs in = inputs_at(st, AT_ATTENTION, l);
    double sum = 0;
    int h = st->shape.head_dim;
    for (int c = from * h; c < (from + n) * h; c++) sum += value(&in, c);
    return sum;
}

/* A unit of heads is n query heads, `factor` times the sum over their channels. */
static void fill_heads(const struct statistics *st, channel_value *value, double factor,
                       struct scores *out)
{
    for (int l = 0; l < out->n_layers; l++) {
        int n = out->unit == HEAD_UNIT_QUERY ? 1 : out->queries_per_kv[l];
        for (int j = 0; j < out->n_heads[l]; j++)
            out->heads[l][j] = factor * sum_heads(st, value, l, j * n, n) / n;
    }
}

static void fill_ffn(const struct statistics *st, channel_value *value, struct scores *out)
{
    for (int l = 0; l < out->n_layers; l++) {
        struct inputs in = inputs_at(st, AT_FFN, l);
        for (int j = 0; j < out->n_ffn[l]; j++) out->ffn[l][j] = value(&in, j);
    }
}

static void fill_stem(const struct statistics *st, channel_value *value, int n_norms,
                      struct scores *out)
{
    memset(out->stem, 0, (size_t)out->n_stem * sizeof *out->stem);
    for (int k = 0; k < n_norms; k++) {
        struct inputs in = inputs_at(st, AT_NORM, k);
        for (int j = 0; j < out->n_stem; j++) out->stem[j] += value(&in, j);
    }
}

static int all_norms(const struct scores *out, bool last) { return 2 * out->n_layers + last; }

/* Wanda-sp: mean over rows of |W|, times the norm of the input. */
static double wanda_value(const struct inputs *in, int c)
{
    return in->col_abs[c] / in->rows * sqrt(in->x_sq[c]);
}

static void wanda_sp(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    fill_heads(st, wanda_value, 1, out);
    fill_ffn(st, wanda_value, out);
    fill_stem(st, wanda_value, all_norms(out, st->scoring.embedding_in_stem), out);
}

/* FLAP: how much the input fluctuates, times the squared norm of what reads it. */
static double flap_value(const struct inputs *in, int c)
{
    double mean = in->x_sum[c] / in->tokens;
    double variance = in->x_sq[c] / in->tokens - mean * mean;
    return (variance > 0 ? variance : 0) * in->col_sq[c];
}

static double flap_attention_value(const struct inputs *in, int c)
{
    double value = flap_value(in, c);
    return value * value;
}

static void flap(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    fill_heads(st, flap_attention_value, 1.0 / st->shape.head_dim, out);
    fill_ffn(st, flap_value, out);
    fill_stem(st, flap_value, all_norms(out, st->scoring.embedding_in_stem), out);
}

/* Minitron: the L2 norm over the batch of the mean magnitude. Heads: the root of the sum of
 * squares over their channels; the stem: the sum over the layers' norms. */
static double minitron_square(const struct inputs *in, int c) { return in->x_abs_sq[c]; }

static double minitron_value(const struct inputs *in, int c) { return sqrt(in->x_abs_sq[c]); }

static void minitron(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    for (int l = 0; l < out->n_layers; l++) {
        int n = out->unit == HEAD_UNIT_QUERY ? 1 : out->queries_per_kv[l];
        for (int j = 0; j < out->n_heads[l]; j++)
            out->heads[l][j] = sqrt(sum_heads(st, minitron_square, l, j * n, n));
    }
    fill_ffn(st, minitron_value, out);
    fill_stem(st, minitron_value, all_norms(out, false), out);
}

/* ---- SAAP ---------------------------------------------------------------------------------- */

/* Mean and variance over the steps of one unit. */
struct spread {
    double mean, variance;
};

static struct spread spread_of(const struct statistics *st, int first, int a, int j)
{
    int n;
    double mean = scores_array(&st->moment[first], a, &n)[j] / st->steps;
    double variance = scores_array(&st->moment[first + 1], a, &n)[j] / st->steps - mean * mean;
    return (struct spread){ mean, variance > 0 ? variance : 0 };
}

/* The uncertainty of a kind of importance in a layer: the mean of its units' variances; a
 * floor keeps two equal batches from meaning certainty. */
static double uncertainty(const struct statistics *st, int first, int a, int n)
{
    double sum = 0;
    for (int j = 0; j < n; j++) sum += spread_of(st, first, a, j).variance / n;
    return sum > 1e-6 ? sum : 1e-6;
}

/* I = (Iv / 2 sv^2 + Ie / 2 se^2) (1 + CV) + log(sv se): vector-wise and element-wise
 * importance, each relative to its layer, weighted by how certain it is; CV, the deviation
 * over the mean of both together, protects units whose importance is unstable. */
static void saap(const struct statistics *st, const struct search *search, struct scores *out)
{
    (void)search;
    for (int a = 0; a < scores_arrays(out); a++) {
        int n;
        double *to = scores_array(out, a, &n);
        double sv = uncertainty(st, 0, a, n), se = uncertainty(st, 2, a, n);
        for (int j = 0; j < n; j++) {
            struct spread v = spread_of(st, 0, a, j), e = spread_of(st, 2, a, j);
            double mean = v.mean + e.mean;
            double cv = mean > 0 ? sqrt(v.variance + e.variance) / mean : 0;
            double fused = v.mean / (2 * sv) + e.mean / (2 * se);
            to[j] = fused * (1 + cv) + 0.5 * log(sv * se);
        }
    }
}

/* ---- the table ----------------------------------------------------------------------------- */

static const struct criterion criteria[] = {
    { "random", 0, NORMALISE_NONE, false, false, random_scores },
    { "magnitude_l1", BIT(STAT_W_ABS), NORMALISE_PARAMETER, false, false, magnitude_l1 },
    { "magnitude_l2", BIT(STAT_W_SQ), NORMALISE_PARAMETER, false, false, magnitude_l2 },
    { "param_first", BIT(STAT_WG_ABS), NORMALISE_PARAMETER, false, false, param_first },
    { "vectorize", BIT(STAT_WG_LINE), NORMALISE_PARAMETER, false, false, vectorize },
    { "param_second", BIT(STAT_W2G2), NORMALISE_PARAMETER, false, false, param_second },
    { "param_mix", BIT(STAT_MIX_ABS), NORMALISE_PARAMETER, false, false, param_mix },
    { "fisher", BIT(STAT_W2G2), NORMALISE_PARAMETER, false, false, fisher },
    { "wanda_sp", BIT(STAT_X_SQ) | BIT(STAT_COL_ABS), NORMALISE_SHARE, false, false, wanda_sp },
    { "flap", BIT(STAT_X_SUM) | BIT(STAT_X_SQ) | BIT(STAT_COL_SQ), NORMALISE_Z_SCORE, false, false,
      flap },
    { "minitron", BIT(STAT_X_ABS_SQ), NORMALISE_SHARE, false, false, minitron },
    { "saap", BIT(STAT_WG_LINE) | BIT(STAT_MIX_ABS), NORMALISE_Z_SCORE, true, false, saap },
    { "obs", BIT(STAT_OBS), NORMALISE_PARAMETER, false, false, obs },
    { "bypass", BIT(STAT_KEEP) | BIT(STAT_X_SQ) | BIT(STAT_COL_ABS), NORMALISE_NONE, false, true,
      bypass },
};

const char *const criterion_names[] = {
    "random",       "magnitude_l1", "magnitude_l2", "param_first", "vectorize",
    "param_second", "param_mix",    "fisher",       "wanda_sp",    "flap",
    "minitron",     "saap",         "obs",          "bypass",      NULL,
};

const struct criterion *criterion_find(const char *name)
{
    for (size_t i = 0; i < sizeof criteria / sizeof *criteria; i++)
        if (!strcmp(criteria[i].name, name)) return &criteria[i];
    return NULL;
}

unsigned scoring_needs(const struct scoring *scoring)
{
    const struct criterion *criterion = criterion_find(scoring->name);
    if (criterion->score == param_first) return BIT(param_first_statistic(scoring));
    return criterion->needs;
}

enum status scoring_check(const struct scoring *scoring, unsigned offered, struct error *err)
{
    unsigned lacks = scoring_needs(scoring) & ~offered;
    char list[160] = "";
    for (int k = 0; k < STATISTICS; k++) {
        size_t used = strlen(list);
        if (lacks & BIT(k))
            snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", statistic_names[k]);
    }
    if (!lacks) return OK;
    return fail(err, E_INPUT, "criterion %s needs statistics that are not collected here: %s",
                scoring->name, list);
}
