#include "search/human.h"

#include <inttypes.h>
#include <math.h>

/* How far d and F may stray from their factor when they are rounded. */
static const double stray = 0.03;

/* ---- counting with real widths ------------------------------------------------------------- */

/* What the three widths are multiplied with. */
struct scale {
    double hidden, heads, ffn;
};

/* shape_params with every width scaled and nothing rounded. */
static double scaled_params(const struct shape *s, struct scale by)
{
    double d = s->hidden_size * by.hidden, h = s->head_dim, sum = d;
    for (int l = 0; l < s->n_layers; l++) {
        double H = s->layer[l].q_heads * by.heads, K = s->layer[l].kv_heads * by.heads;
        sum += d * h * (2 * H + 2 * K) + 3 * d * s->layer[l].ffn * by.ffn + 2 * d;
        if (s->qkv_bias) sum += (H + 2 * K) * h;
        if (s->output_bias) sum += 2 * d;
    }
    return sum + s->vocab_size * d * (s->tie_word_embeddings ? 1 : 2);
}

/* The x in [0, 1] at which scaled_params is `target`, x standing in for the members of
 * `by` that are 0. */
static double solve(const struct shape *s, struct scale by, double target)
{
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        double x = (low + high) / 2;
        struct scale at = { by.hidden > 0 ? by.hidden : x, by.heads > 0 ? by.heads : x,
                            by.ffn > 0 ? by.ffn : x };
        if (scaled_params(s, at) <= target)
            low = x;
        else
            high = x;
    }
    return low;
}

/* ---- rounding ------------------------------------------------------------------------------ */

static int rounded(double width, int multiple)
{
    int n = (int)lround(width / multiple) * multiple;
    return n > multiple ? n : multiple;
}

static void round_heads(struct shape *s, double factor)
{
    for (int l = 0; l < s->n_layers; l++) {
        struct layer_shape *layer = &s->layer[l];
        int queries = layer->q_heads / layer->kv_heads;
        layer->kv_heads = rounded(layer->kv_heads * factor, 1);
        layer->q_heads = layer->kv_heads * queries;
    }
}

/* One candidate: this hidden size, and F solved for what is left, both multiples of m. */
struct draft {
    struct shape shape;
    double error; /* of the parameters, relative */
    bool strays;  /* too far from the factor */
};

static struct draft draft_at(const struct shape *base, int hidden, double factor, int m,
                             int64_t target)
{
    struct draft draft = { .shape = *base };
    struct scale fixed = { (double)hidden / base->hidden_size, 1, 0 };
    double ffn = solve(base, fixed, (double)target);
    draft.shape.hidden_size = hidden;
    for (int l = 0; l < base->n_layers; l++)
        draft.shape.layer[l].ffn = rounded(base->layer[l].ffn * ffn, m);
    draft.error = (double)shape_params(&draft.shape) / (double)target - 1;
    draft.strays = fabs(fixed.hidden / factor - 1) > stray || fabs(ffn / factor - 1) > stray;
    return draft;
}

/* Every hidden size near the factor; the nearest in parameters. */
static struct draft nearest_draft(const struct shape *base, double factor, int64_t target)
{
    int from = (int)floor(base->hidden_size * factor * (1 - stray));
    int to = (int)ceil(base->hidden_size * factor * (1 + stray));
    struct draft best = { .error = INFINITY };
    for (int hidden = from > 1 ? from : 1; hidden <= to && hidden <= base->hidden_size; hidden++) {
        struct draft draft = draft_at(base, hidden, factor, 1, target);
        if (fabs(draft.error) < fabs(best.error)) best = draft;
    }
    return best;
}

static struct draft best_draft(const struct shape *base, int64_t target)
{
    double factor = solve(base, (struct scale){ 0, 1, 0 }, (double)target);
    for (int m = 64; m > 0; m /= 2) {
        int hidden = rounded(base->hidden_size * factor, m);
        if (hidden > base->hidden_size) continue;
        struct draft draft = draft_at(base, hidden, factor, m, target);
        if (!draft.strays && fabs(draft.error) <= HUMAN_TOLERANCE) return draft;
    }
    return nearest_draft(base, factor, target);
}

/* ---- the shape ----------------------------------------------------------------------------- */

static int64_t fewest_params(const struct shape *source)
{
    struct shape s = *source;
    s.hidden_size = 1;
    for (int l = 0; l < s.n_layers; l++) {
        int queries = s.layer[l].q_heads / s.layer[l].kv_heads;
        s.layer[l] = (struct layer_shape){ queries, 1, 1 };
    }
    return shape_params(&s);
}

enum status human_shape(const struct shape *source, int64_t target, struct human *out,
                        struct error *err)
{
    int64_t most = shape_params(source), fewest = fewest_params(source);
    if (target > most || target < fewest)
        return fail(err, E_INPUT,
                    "a proportional shape with %" PRId64 " parameters: this source gives %" PRId64
                    " to %" PRId64,
                    target, fewest, most);
    struct shape base = *source;
    out->factor = solve(source, (struct scale){ 0, 0, 0 }, (double)target);
    round_heads(&base, out->factor);
    out->shape = target == most ? *source : best_draft(&base, target).shape;
    out->params = shape_params(&out->shape);
    out->error = (double)out->params / (double)target - 1;
    return OK;
}
