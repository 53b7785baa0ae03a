#include "search/deep_thin.h"

#include <inttypes.h>
#include <math.h>
#include "search/catalog.h"

static const double mobile_aspect = 576.0 / 30, ffn_ratio = 8.0 / 3;

static int a_third(int heads)
{
    int kv = heads / 3 > 1 ? heads / 3 : 1;
    while (heads % kv) kv--;
    return kv;
}

static struct shape drawn(const struct shape *source, int heads, int layers, int ffn)
{
    struct shape shape = *source;
    shape.hidden_size = heads * source->head_dim;
    shape_set_layers(&shape, layers, (struct layer_shape){ heads, a_third(heads), ffn });
    return shape;
}

/* n of an affine count: params(1) + (n - 1) (params(2) - params(1)) = target. */
static double affine(int64_t one, int64_t two, int64_t target)
{
    return 1 + (double)(target - one) / (double)(two - one);
}

/* The layers that come nearest the target, with FFN by the rule. */
static int layers_for(const struct shape *source, int heads, int64_t target)
{
    int ffn = (int)lround(heads * source->head_dim * ffn_ratio);
    struct shape one = drawn(source, heads, 1, ffn), two = drawn(source, heads, 2, ffn);
    double layers = affine(shape_params(&one), shape_params(&two), target);
    return layers < 0 || layers > SHAPE_MAX_LAYERS ? 0 : (int)lround(layers);
}

static bool draw(const struct shape *source, int heads, int64_t target, struct shape *out)
{
    int layers = layers_for(source, heads, target);
    if (layers < 2) return false;
    struct shape one = drawn(source, heads, layers, 1), two = drawn(source, heads, layers, 2);
    double ffn = affine(shape_params(&one), shape_params(&two), target);
    double usual = heads * source->head_dim * ffn_ratio;
    if (ffn < 0.75 * usual || ffn > 1.25 * usual || ffn > SHAPE_MAX_FFN) return false;
    *out = drawn(source, heads, layers, (int)lround(ffn));
    return fabs((double)shape_params(out) / (double)target - 1) <= HUMAN_TOLERANCE;
}

static double distance(const struct shape *shape)
{
    return fabs(log((double)shape->hidden_size / shape->n_layers / mobile_aspect));
}

enum status deep_thin_shape(const struct shape *source, int64_t target, struct human *out,
                            struct error *err)
{
    struct shape shape;
    bool found = false;
    for (int heads = 1; heads <= SHAPE_MAX_HEADS; heads++) {
        if (heads * source->head_dim > SHAPE_MAX_HIDDEN) break;
        if (!draw(source, heads, target, &shape)) continue;
        if (!found || distance(&shape) < distance(&out->shape)) out->shape = shape;
        found = true;
    }
    if (!found)
        return fail(err, E_INPUT,
                    "no deep-thin shape has %" PRId64 " parameters with head_dim %d and a "
                    "vocabulary of %d",
                    target, source->head_dim, source->vocab_size);
    out->factor = 0;
    out->params = shape_params(&out->shape);
    out->error = (double)out->params / (double)target - 1;
    return OK;
}

enum status catalog_human_shape(const struct shape *source, int64_t target, struct human *out,
                                struct error *err)
{
    const struct catalog_entry *entry = catalog_nearest(source, target, target);
    if (!entry)
        return fail(err, E_INPUT, "no shape of the catalog has %" PRId64 " parameters or more",
                    target);
    struct shape shape = catalog_shape_like(entry, source);
    return human_shape(&shape, target, out, err);
}
