#include "search/shape.h"

#include <math.h>
#include <string.h>

void shape_init(struct shape *shape)
{
    *shape = (struct shape){ .rope_theta = 10000, .norm_eps = 1e-5, .family = "llama" };
}

void shape_set_layers(struct shape *shape, int n, struct layer_shape layer)
{
    memset(shape->layer, 0, sizeof shape->layer);
    shape->n_layers = n;
    for (int l = 0; l < n; l++) shape->layer[l] = layer;
}

/* ---- check ------------------------------------------------------------------------- */

static enum status in_range(const char *what, int value, int max, struct error *err)
{
    if (value < 1 || value > max)
        return fail(err, E_INPUT, "%s is %d, outside 1..%d", what, value, max);
    return OK;
}

static enum status check_layer(const struct layer_shape *layer, struct error *err)
{
    TRY(in_range("q_heads", layer->q_heads, SHAPE_MAX_HEADS, err));
    TRY(in_range("kv_heads", layer->kv_heads, SHAPE_MAX_HEADS, err));
    TRY(in_range("ffn", layer->ffn, SHAPE_MAX_FFN, err));
    if (layer->q_heads % layer->kv_heads)
        return fail(err, E_INPUT, "kv_heads %d does not divide q_heads %d", layer->kv_heads,
                    layer->q_heads);
    return OK;
}

static enum status check_rope(const struct shape *s, struct error *err)
{
    const struct rope_scaling *r = &s->rope_scaling;
    if (!(s->rope_theta > 0 && s->rope_theta <= 1e12))
        return fail(err, E_INPUT, "rope_theta is %g, outside 0..1e12 (0 excluded)", s->rope_theta);
    if (!r->llama3) return OK;
    if (!(r->factor >= 1 && r->factor <= 1e6))
        return fail(err, E_INPUT, "rope_scaling factor is %g, outside 1..1e6", r->factor);
    if (!(r->low_freq_factor > 0 && r->high_freq_factor > r->low_freq_factor) ||
        !isfinite(r->high_freq_factor))
        return fail(err, E_INPUT, "rope_scaling needs 0 < low_freq_factor < high_freq_factor");
    if (r->original_max_position < 1)
        return fail(err, E_INPUT, "rope_scaling original_max_position_embeddings is %d, below 1",
                    r->original_max_position);
    return OK;
}

enum status shape_check(const struct shape *s, struct error *err)
{
    if (strcmp(s->family, "llama") && strcmp(s->family, "qwen2"))
        return fail(err, E_INPUT, "family is not one of: llama, qwen2");
    TRY(in_range("hidden_size", s->hidden_size, SHAPE_MAX_HIDDEN, err));
    TRY(in_range("head_dim", s->head_dim, SHAPE_MAX_HEAD_DIM, err));
    TRY(in_range("vocab_size", s->vocab_size, SHAPE_MAX_VOCAB, err));
    if (s->head_dim % 2) return fail(err, E_INPUT, "head_dim %d is odd", s->head_dim);
    if (!(s->norm_eps > 0 && s->norm_eps <= 1))
        return fail(err, E_INPUT, "norm_eps is %g, outside 0..1 (0 excluded)", s->norm_eps);
    TRY(check_rope(s, err));
    if (s->n_layers < 1 || s->n_layers > SHAPE_MAX_LAYERS)
        return fail(err, E_INPUT, "%d layers, outside 1..%d", s->n_layers, SHAPE_MAX_LAYERS);
    for (int l = 0; l < s->n_layers; l++)
        if (check_layer(&s->layer[l], err)) return fail_in(err, "layer %d", l);
    return OK;
}

/* ---- count --------------------------------------------------------------------------- */

static int64_t layer_params(const struct shape *s, const struct layer_shape *layer)
{
    int64_t d = s->hidden_size, h = s->head_dim, H = layer->q_heads, K = layer->kv_heads;
    int64_t weights = d * h * (2 * H + 2 * K) + 3 * d * layer->ffn + 2 * d;
    return weights + (s->qkv_bias ? (H + 2 * K) * h : 0) + (s->output_bias ? 2 * d : 0);
}

int64_t shape_params_non_embedding(const struct shape *s)
{
    int64_t sum = s->hidden_size; /* the last norm */
    for (int l = 0; l < s->n_layers; l++) sum += layer_params(s, &s->layer[l]);
    return sum;
}

int64_t shape_params(const struct shape *s)
{
    int64_t embedding = (int64_t)s->vocab_size * s->hidden_size;
    return shape_params_non_embedding(s) + embedding * (s->tie_word_embeddings ? 1 : 2);
}

/* ---- compare --------------------------------------------------------------------------- */

static bool layers_equal(const struct layer_shape *a, const struct layer_shape *b)
{
    return a->q_heads == b->q_heads && a->kv_heads == b->kv_heads && a->ffn == b->ffn;
}

bool shape_is_uniform(const struct shape *s)
{
    for (int l = 1; l < s->n_layers; l++)
        if (!layers_equal(&s->layer[0], &s->layer[l])) return false;
    return true;
}

static bool ropes_equal(const struct rope_scaling *a, const struct rope_scaling *b)
{
    return a->llama3 == b->llama3 && a->factor == b->factor &&
           a->low_freq_factor == b->low_freq_factor && a->high_freq_factor == b->high_freq_factor &&
           a->original_max_position == b->original_max_position;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    if (a->hidden_size != b->hidden_size || a->head_dim != b->head_dim ||
        a->vocab_size != b->vocab_size || a->tie_word_embeddings != b->tie_word_embeddings ||
        a->qkv_bias != b->qkv_bias || a->output_bias != b->output_bias ||
        a->rope_theta != b->rope_theta || a->norm_eps != b->norm_eps ||
        a->n_layers != b->n_layers || !ropes_equal(&a->rope_scaling, &b->rope_scaling) ||
        strcmp(a->family, b->family))
        return false;
    for (int l = 0; l < a->n_layers; l++)
        if (!layers_equal(&a->layer[l], &b->layer[l])) return false;
    return true;
}

double shape_ratio(int64_t params, int64_t params_source)
{
    return (double)(params_source - params) / (double)params_source;
}
