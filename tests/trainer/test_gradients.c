/*
 * Directional gradient checks: for a random direction u, the slope of f along u by
 * central differences against the gradient times u. Once per operation, with f a random
 * weighting of its outputs, and once per tensor of a model with unequal layers.
 */
#include "tests/trainer/fixture.h"
#include "tests/trainer/world.h"

enum { MOST = 4096 };

/* An operation under test: n inputs side by side in one vector. `forward` reads them and returns
 * the weighted sum of its outputs; `backward` writes the gradient. */
struct op {
    const char *name;
    int n_inputs;
    double (*forward)(struct world *w);
    void (*backward)(struct world *w);
};

static struct view inp[4], d_inp[4]; /* what the operation at hand reads, and the gradients */
static int n_inp;
static struct view out, weight_out; /* its output, and the weights of the sum */

static double weighted(struct world *w)
{
    static float a[MOST], b[MOST];
    double sum = 0;
    w->be->download(w->be, a, out);
    w->be->download(w->be, b, weight_out);
    for (int i = 0; i < out.rows * out.cols; i++) sum += (double)a[i] * b[i];
    return sum;
}

static struct view input(struct world *w, int rows, int cols)
{
    d_inp[n_inp] = world_take(w, BLOCK_ACTIVATIONS, rows, cols);
    return inp[n_inp++] = world_take(w, BLOCK_ACTIVATIONS, rows, cols);
}

static void output(struct world *w, int rows, int cols)
{
    out = world_take(w, BLOCK_ACTIVATIONS, rows, cols);
    weight_out = world_take(w, BLOCK_ACTIVATIONS, rows, cols);
}

/* Slope along a random direction u against d_inp . u, over all inputs at once. */
static void check_slope(struct world *w, const char *name, double (*f)(struct world *w))
{
    static float x[4][MOST], u[4][MOST], g[MOST], moved[MOST];
    double want = 0, value[2], h = 2e-3, size = 0;
    for (int i = 0; i < n_inp; i++) {
        w->be->download(w->be, x[i], inp[i]);
        w->be->download(w->be, g, d_inp[i]);
        for (int k = 0; k < inp[i].rows * inp[i].cols; k++) {
            u[i][k] = (float)rng_normal(&w->rng);
            want += (double)u[i][k] * g[k];
            size += (double)g[k] * g[k];
        }
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < n_inp; i++) {
            for (int k = 0; k < inp[i].rows * inp[i].cols; k++)
                moved[k] = (float)(x[i][k] + (side ? h : -h) * u[i][k]);
            w->be->upload(w->be, inp[i], moved);
        }
        value[side] = f(w);
    }
    double slope = (value[1] - value[0]) / (2 * h);
    CHECK(fabs(slope - want) <= 5e-3 * sqrt(size), "%s on %s: slope %g, gradient %g (|g| %g)", name,
          w->be->name, slope, want, sqrt(size));
    printf("ok %-14s %s slope %.6g gradient %.6g\n", name, w->be->name, slope, want);
}

static struct view rstd, lse, table, ids;
static const struct attention_shape attention = { 2, 7, 4, 2, 6 };

static double f_rmsnorm(struct world *w)
{
    w->be->rmsnorm_forward(w->be, out, rstd, inp[0], inp[1], 1e-5);
    return weighted(w);
}

static void rmsnorm(struct world *w)
{
    input(w, 5, 24), input(w, 1, 24), output(w, 5, 24);
    rstd = world_take(w, BLOCK_FLOATS, 1, 5);
    f_rmsnorm(w);
    w->be->zero(w->be, d_inp[0]);
    w->be->rmsnorm_backward(w->be, d_inp[0], d_inp[1], (struct view){ 0 }, weight_out, inp[0],
                            inp[1], rstd, false);
    check_slope(w, "rmsnorm", f_rmsnorm);
}

static double f_linear(struct world *w)
{
    struct projection p = { .out = out, .weight = inp[1], .bias = inp[2] };
    w->be->linear_forward(w->be, &p, 1, inp[0]);
    return weighted(w);
}

static void linear(struct world *w)
{
    input(w, 6, 10), input(w, 8, 10), input(w, 1, 8), output(w, 6, 8);
    struct projection p = { .out = weight_out, .weight = inp[1] };
    struct projection d = { .out = weight_out, .weight = d_inp[1], .bias = d_inp[2] };
    w->be->linear_backward_input(w->be, d_inp[0], &p, 1);
    w->be->linear_backward_weight(w->be, &d, 1, inp[0], false);
    check_slope(w, "linear", f_linear);
}

static double f_rope(struct world *w)
{
    w->be->copy(w->be, out, inp[0]);
    w->be->rope(w->be, out, table, 6, 1);
    return weighted(w);
}

static void rope(struct world *w)
{
    input(w, 8, 18), output(w, 8, 18);
    table = world_take(w, BLOCK_FLOATS, 4, 6);
    w->be->copy(w->be, d_inp[0], weight_out);
    w->be->rope(w->be, d_inp[0], table, 6, -1);
    check_slope(w, "rope", f_rope);
}

static double f_attention(struct world *w)
{
    w->be->attention_forward(w->be, out, lse, inp[0], inp[1], inp[2], attention);
    return weighted(w);
}

static void attend(struct world *w)
{
    input(w, 14, 24), input(w, 14, 12), input(w, 14, 12), output(w, 14, 24);
    lse = world_take(w, BLOCK_FLOATS, 8, 7);
    f_attention(w);
    w->be->attention_backward(w->be, d_inp[0], d_inp[1], d_inp[2], weight_out, out, lse, inp[0],
                              inp[1], inp[2], attention);
    check_slope(w, "attention", f_attention);
}

static double f_swiglu(struct world *w)
{
    w->be->swiglu_forward(w->be, out, inp[0], inp[1]);
    return weighted(w);
}

static void swiglu(struct world *w)
{
    input(w, 6, 20), input(w, 6, 20), output(w, 6, 20);
    struct view d_out = world_take(w, BLOCK_ACTIVATIONS, 6, 20);
    w->be->copy(w->be, d_out, weight_out);
    w->be->copy(w->be, d_inp[0], inp[0]);
    w->be->copy(w->be, d_inp[1], inp[1]);
    w->be->swiglu_backward(w->be, d_out, d_inp[0], d_inp[1]);
    check_slope(w, "swiglu", f_swiglu);
}

static double f_cross_entropy(struct world *w)
{
    struct view logits = world_take(w, BLOCK_ACTIVATIONS, 6, 15);
    w->be->copy(w->be, logits, inp[0]);
    w->be->cross_entropy(w->be, out, logits, ids, 0);
    return weighted(w);
}

static void cross_entropy(struct world *w)
{
    static const float ones[6] = { 1, 1, 1, 1, 1, 1 };
    input(w, 6, 15);
    out = world_take(w, BLOCK_FLOATS, 1, 6), weight_out = world_take(w, BLOCK_FLOATS, 1, 6);
    w->be->upload(w->be, weight_out, ones);
    ids = world_ids(w, 6, 15);
    w->be->copy(w->be, d_inp[0], inp[0]);
    w->be->cross_entropy(w->be, out, d_inp[0], ids, 1);
    check_slope(w, "cross_entropy", f_cross_entropy);
}

static double f_embed(struct world *w)
{
    w->be->embed_forward(w->be, out, inp[0], ids);
    return weighted(w);
}

static void embed(struct world *w)
{
    input(w, 9, 20), output(w, 13, 20);
    ids = world_ids(w, 13, 9);
    w->be->zero(w->be, d_inp[0]);
    w->be->embed_backward(w->be, d_inp[0], weight_out, ids);
    check_slope(w, "embed", f_embed);
}

static void check_operations(const char *backend)
{
    void (*const ops[])(struct world *) = { rmsnorm, linear,        rope, attend,
                                            swiglu,  cross_entropy, embed };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct world w;
        world_open(&w, backend, 2);
        n_inp = 0;
        ops[i](&w);
        world_close(&w);
    }
}

/* Each tensor of a model on its own: loss along a random direction. */
static void check_tensor(struct fixture *f, const struct slot *slot)
{
    size_t n = fixture_size(slot);
    float *x = fixture_read(f, MODEL_WEIGHTS, slot), *g = fixture_read(f, MODEL_GRADS, slot);
    float *moved = calloc(n, sizeof *moved), *u = calloc(n, sizeof *u);
    double want = 0, size = 0, value[2], h = 3e-3;
    for (size_t k = 0; k < n; k++) {
        u[k] = (float)rng_normal(&f->rng);
        want += (double)u[k] * g[k];
        size += (double)g[k] * g[k];
    }
    for (int side = 0; side < 2; side++) {
        for (size_t k = 0; k < n; k++) moved[k] = (float)(x[k] + (side ? h : -h) * u[k]);
        model_write(f->model, MODEL_WEIGHTS, slot, moved);
        value[side] = fixture_loss(f);
    }
    double slope = (value[1] - value[0]) / (2 * h);
    model_write(f->model, MODEL_WEIGHTS, slot, x);
    CHECK(size > 0 && fabs(slope - want) <= 0.01 * sqrt(size), "%s: slope %g, gradient %g (|g| %g)",
          slot->name, slope, want, sqrt(size));
    free(x), free(g), free(moved), free(u);
}

static void check_model(int queries, bool tied, bool bias, bool recompute, const char *backend)
{
    struct shape shape = fixture_shape(queries, tied, bias);
    struct fixture f;
    fixture_open_mode(&f, &shape, backend, 2, recompute);
    model_gradient(f.model, &f.batch, 1, false);
    for (int i = 0; i < f.model->layout.n_slots; i++) check_tensor(&f, &f.model->layout.slot[i]);
    printf("ok model %s queries %d tied %d bias %d recompute %d\n", backend, queries, tied, bias,
           recompute);
    fixture_close(&f);
}

int main(void)
{
    check_operations("ref");
    check_operations("cpu");
    for (int i = 0; i < 8; i++) {
        check_model(1 + i % 2, i & 2, i & 4, i & 1, "cpu");
        if (i % 3 == 0) check_model(1 + i % 2, i & 2, i & 4, i & 1, "ref");
    }
    return 0;
}
