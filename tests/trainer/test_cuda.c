/*
 * The CUDA backend against ref: every operation and whole training steps, in float32 and in bf16.
 * Inputs are fresh random numbers (rounded to bf16, so that only the operation's own error is
 * seen), outputs are poisoned before, and errors are ||got - want|| / ||want|| per view. All but
 * `cuda`, whose attention may add up in any order, must repeat to the bit.
 */
#include "search/base/rng.h"
#include "tests/support/check.h"
#include "trainer/optim.h"
#include "trainer/saliency.h"
#include "trainer/surgery.h"

enum { MOST_VIEWS = 24, PAD = 64 };

struct bench {
    struct backend *be;
    struct block *block[MOST_VIEWS];
    struct view view[MOST_VIEWS];
    enum block_use use[MOST_VIEWS];
    int n;
    struct rng rng;
};

static float to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, 4);
    return x;
}

static struct view view_new(struct bench *b, enum block_use use, int rows, int cols)
{
    struct error err = { 0 };
    int ld = (cols + PAD - 1) / PAD * PAD, padded = (rows + PAD - 1) / PAD * PAD;
    CHECK(b->n < MOST_VIEWS, "%d views", b->n);
    CHECK_OK(b->be->alloc(b->be, use, (size_t)padded * (size_t)ld, &b->block[b->n], &err), err);
    b->use[b->n] = use;
    return b->view[b->n] = (struct view){ b->block[b->n], 0, rows, cols, ld };
}

static void fill(struct bench *b, struct view v, double size, bool poison)
{
    float *x = calloc((size_t)v.rows * (size_t)v.cols, sizeof *x);
    for (int i = 0; i < v.rows * v.cols; i++)
        x[i] = poison ? 1e4f : to_bf16((float)(rng_normal(&b->rng) * size));
    b->be->upload(b->be, v, x);
    free(x);
}

static struct view input(struct bench *b, enum block_use use, int rows, int cols)
{
    struct view v = view_new(b, use, rows, cols);
    fill(b, v, 1, false);
    b->n++;
    return v;
}

static struct view output(struct bench *b, enum block_use use, int rows, int cols)
{
    struct view v = view_new(b, use, rows, cols);
    fill(b, v, 1, true);
    b->n++;
    return v;
}

static struct view ids(struct bench *b, int n, int below)
{
    int32_t *x = calloc((size_t)n, sizeof *x);
    struct view v = view_new(b, BLOCK_IDS, 1, n);
    for (int i = 0; i < n; i++)
        x[i] = i % 11 == 7 ? 3 : (int32_t)rng_below(&b->rng, (uint64_t)below);
    b->be->upload_ids(b->be, v, x);
    b->n++;
    free(x);
    return v;
}

/* ---- operations ---------------------------------------------------------------------------- */

static void op_embed(struct bench *b)
{
    struct view table = input(b, BLOCK_WEIGHTS, 131, 100),
                d_table = input(b, BLOCK_GRADS, 131, 100);
    struct view out = output(b, BLOCK_ACTIVATIONS, 700, 100),
                d = input(b, BLOCK_ACTIVATIONS, 700, 100);
    struct view id = ids(b, 700, 131);
    b->be->embed_forward(b->be, out, table, id);
    b->be->embed_backward(b->be, d_table, d, id);
}

static void op_rmsnorm(struct bench *b)
{
    int N = 777, C = 300;
    struct view gain = input(b, BLOCK_WEIGHTS, 1, C), d_gain = input(b, BLOCK_GRADS, 1, C),
                inp = input(b, BLOCK_ACTIVATIONS, N, C);
    struct view out = output(b, BLOCK_ACTIVATIONS, N, C), d_out = input(b, BLOCK_ACTIVATIONS, N, C),
                d_inp = input(b, BLOCK_ACTIVATIONS, N, C);
    struct view again = output(b, BLOCK_ACTIVATIONS, N, C), rstd = output(b, BLOCK_FLOATS, 1, N);
    b->be->rmsnorm_forward(b->be, out, rstd, inp, gain, 1e-5);
    b->be->rmsnorm_backward(b->be, d_inp, d_gain, again, d_out, inp, gain, rstd, true);
}

static void op_linear(struct bench *b, int N, int K, int M, bool add)
{
    struct view inp = input(b, BLOCK_ACTIVATIONS, N, K), d_inp = output(b, BLOCK_ACTIVATIONS, N, K);
    struct projection p[2], d[2];
    for (int i = 0; i < 2; i++) {
        struct view base = input(b, BLOCK_ACTIVATIONS, N, M);
        p[i] = (struct projection){ .out = output(b, BLOCK_ACTIVATIONS, N, M),
                                    .weight = input(b, BLOCK_WEIGHTS, M, K),
                                    .bias = input(b, BLOCK_WEIGHTS, 1, M) };
        if (i) p[i].base = base;
        d[i] = (struct projection){ .out = base,
                                    .weight = input(b, BLOCK_GRADS, M, K),
                                    .bias = input(b, BLOCK_GRADS, 1, M) };
    }
    b->be->linear_forward(b->be, p, 2, inp);
    b->be->linear_backward_weight(b->be, d, 2, inp, add);
    for (int i = 0; i < 2; i++) d[i].weight = p[i].weight;
    b->be->linear_backward_input(b->be, d_inp, d, 2);
}

static void op_linear_even(struct bench *b) { op_linear(b, 256, 192, 320, false); }
static void op_linear_odd(struct bench *b) { op_linear(b, 129, 65, 31, true); }

static void op_shift(struct bench *b)
{
    struct view w = input(b, BLOCK_WEIGHTS, 300, 100), m = input(b, BLOCK_MOMENTS, 200, 70);
    struct shift shifts[] = { { view_rows(w, 64, 130), 64 }, { view_rows(w, 256, 20), 30 },
                              { view_rows(m, 3, 197), 1 } };
    b->be->shift(b->be, shifts, 3);
}

static void op_rope(struct bench *b)
{
    struct view x = input(b, BLOCK_ACTIVATIONS, 3 * 50, 5 * 64),
                y = input(b, BLOCK_ACTIVATIONS, 3 * 50, 2 * 20);
    struct view t1 = input(b, BLOCK_FLOATS, 50, 64), t2 = input(b, BLOCK_FLOATS, 50, 20);
    b->be->rope(b->be, x, t1, 64, 1);
    b->be->rope(b->be, y, t2, 20, -1);
}

static void op_swiglu(struct bench *b)
{
    struct view gate = input(b, BLOCK_ACTIVATIONS, 311, 203),
                up = input(b, BLOCK_ACTIVATIONS, 311, 203);
    struct view out = output(b, BLOCK_ACTIVATIONS, 311, 203),
                d_out = input(b, BLOCK_ACTIVATIONS, 311, 203);
    b->be->swiglu_forward(b->be, out, gate, up);
    b->be->swiglu_backward(b->be, d_out, gate, up);
}

static void op_attention(struct bench *b, int B, int T, int H, int K, int D)
{
    struct attention_shape s = { B, T, H, K, D };
    struct view q = input(b, BLOCK_ACTIVATIONS, B * T, H * D),
                k = input(b, BLOCK_ACTIVATIONS, B * T, K * D),
                v = input(b, BLOCK_ACTIVATIONS, B * T, K * D);
    struct view out = output(b, BLOCK_ACTIVATIONS, B * T, H * D),
                lse = output(b, BLOCK_FLOATS, B * H, T),
                d_out = input(b, BLOCK_ACTIVATIONS, B * T, H * D);
    struct view d_q = output(b, BLOCK_ACTIVATIONS, B * T, H * D),
                d_k = output(b, BLOCK_ACTIVATIONS, B * T, K * D),
                d_v = output(b, BLOCK_ACTIVATIONS, B * T, K * D);
    b->be->attention_forward(b->be, out, lse, q, k, v, s);
    b->be->attention_backward(b->be, d_q, d_k, d_v, d_out, out, lse, q, k, v, s);
}

static void op_attention_64(struct bench *b) { op_attention(b, 2, 200, 6, 2, 64); }
static void op_attention_32(struct bench *b) { op_attention(b, 1, 64, 4, 4, 32); }
static void op_attention_96(struct bench *b) { op_attention(b, 1, 130, 2, 1, 96); }
static void op_attention_128(struct bench *b) { op_attention(b, 1, 65, 3, 3, 128); }
/* Whole tiles: cuDNN's, where it is there. */
static void op_attention_mha(struct bench *b) { op_attention(b, 2, 192, 3, 3, 64); }
static void op_attention_gqa(struct bench *b) { op_attention(b, 2, 320, 9, 3, 64); }
static void op_attention_wide(struct bench *b) { op_attention(b, 1, 128, 4, 1, 128); }
/* A shared beginning and two endings, a text of its own, two rows that go on from a store. */
static void op_attention_spans(struct bench *b)
{
    static const int32_t spans[][SPAN_MEMBERS] = { { 0, 70, 0, 0, 0 },
                                                   { 70, 9, 0, 70, 70 },
                                                   { 79, 1, 0, 70, 79 },
                                                   { 80, 33, 0, 0, 80 },
                                                   { 113, 2, 120, 40, 160 } };
    struct attention_shape s = { .q_heads = 6, .kv_heads = 2, .head_dim = 64 };
    struct view q = input(b, BLOCK_ACTIVATIONS, 115, 384), k = input(b, BLOCK_ACTIVATIONS, 162, 128),
                v = input(b, BLOCK_ACTIVATIONS, 162, 128);
    struct view out = output(b, BLOCK_ACTIVATIONS, 115, 384), at = ids(b, 5 * SPAN_MEMBERS, 2);
    b->be->upload_ids(b->be, at, spans[0]);
    at.rows = 5, at.cols = at.ld = SPAN_MEMBERS;
    b->be->attention_spans(b->be, out, q, k, v, at, s);
}
static void op_attention_plain(struct bench *b) { op_attention(b, 2, 37, 4, 2, 24); }

static void op_cross_entropy(struct bench *b)
{
    struct view logits = input(b, BLOCK_ACTIVATIONS, 100, 1003),
                losses = output(b, BLOCK_FLOATS, 1, 100), targets = ids(b, 100, 1003);
    int32_t none = -1;
    b->be->upload_ids(b->be, view_cols(targets, 9, 1), &none);
    b->be->cross_entropy(b->be, losses, logits, targets, 0.25);
}

static void op_z_cross_entropy(struct bench *b)
{
    struct view logits = input(b, BLOCK_ACTIVATIONS, 60, 1003),
                losses = output(b, BLOCK_FLOATS, 1, 60), targets = ids(b, 60, 1003);
    b->be->z_cross_entropy(b->be, losses, logits, targets, 1e-2, 0.25);
}

static void op_distill(struct bench *b)
{
    struct view logits = input(b, BLOCK_ACTIVATIONS, 100, 1003),
                teacher = input(b, BLOCK_ACTIVATIONS, 100, 1003),
                losses = output(b, BLOCK_FLOATS, 1, 100), targets = ids(b, 100, 1003);
    int32_t none = -1;
    b->be->upload_ids(b->be, view_cols(targets, 9, 1), &none);
    b->be->distill(b->be, losses, logits, teacher, targets, (struct distill){ 0.7, 2.5 }, 0.25);
}

/* Tolerances: float32, bf16 (about its unit roundoff, 2^-8, times what an operation chains). */
static const struct {
    const char *name;
    void (*run)(struct bench *b);
    double f32, bf16;
} ops[] = {
    { "embed", op_embed, 1e-6, 1e-6 },
    { "rmsnorm", op_rmsnorm, 2e-6, 4e-3 },
    { "linear", op_linear_even, 2e-6, 4e-3 },
    { "linear odd", op_linear_odd, 2e-6, 4e-3 },
    { "shift", op_shift, 1e-7, 1e-7 },
    { "rope", op_rope, 1e-6, 3e-3 },
    { "swiglu", op_swiglu, 2e-6, 4e-3 },
    { "attention 64", op_attention_64, 5e-6, 8e-3 },
    { "attention 32", op_attention_32, 5e-6, 8e-3 },
    { "attention 96", op_attention_96, 5e-6, 8e-3 },
    { "attention 128", op_attention_128, 5e-6, 8e-3 },
    { "attention mha", op_attention_mha, 5e-6, 8e-3 },
    { "attention gqa", op_attention_gqa, 5e-6, 8e-3 },
    { "attention wide", op_attention_wide, 5e-6, 8e-3 },
    { "attention plain", op_attention_plain, 5e-6, 8e-3 },
    { "attention spans", op_attention_spans, 5e-6, 8e-3 },
    { "cross entropy", op_cross_entropy, 2e-6, 4e-3 },
    { "z loss", op_z_cross_entropy, 2e-6, 4e-3 },
    { "distill", op_distill, 4e-6, 4e-3 },
};

static double error_of(const float *got, const float *want, size_t n)
{
    double off = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        size += (double)want[i] * want[i];
    }
    return sqrt(off / (size > 0 ? size : 1));
}

static void open_bench(struct bench *b, const char *name, uint64_t seed)
{
    struct error err = { 0 };
    memset(b, 0, sizeof *b);
    CHECK_OK(backend_open(&b->be, name, 1, &err), err);
    rng_init(&b->rng, seed);
}

static void close_bench(struct bench *b)
{
    for (int i = 0; i < b->n; i++) b->be->release(b->be, b->block[i]);
    backend_close(b->be);
}

static void compare_op(int i, const char *name, double tolerance)
{
    struct bench want, got, again;
    open_bench(&want, "ref", 11 + (uint64_t)i);
    ops[i].run(&want);
    open_bench(&got, name, 11 + (uint64_t)i);
    ops[i].run(&got);
    open_bench(&again, name, 11 + (uint64_t)i); /* now, so that it finds the choices got made */
    ops[i].run(&again);
    double worst = 0;
    for (int v = 0; v < want.n; v++) {
        if (want.use[v] == BLOCK_IDS) continue;
        size_t n = (size_t)want.view[v].rows * (size_t)want.view[v].cols;
        float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y), *z = calloc(n, sizeof *z);
        want.be->download(want.be, x, want.view[v]);
        got.be->download(got.be, y, got.view[v]);
        again.be->download(again.be, z, again.view[v]);
        double error = error_of(y, x, n);
        CHECK(error <= tolerance, "%s on %s, view %d: error %g, at most %g", ops[i].name, name, v,
              error, tolerance);
        CHECK(!strcmp(name, "cuda") || !memcmp(y, z, n * sizeof *y),
              "%s on %s, view %d: two runs differ", ops[i].name, name, v);
        if (error > worst) worst = error;
        free(x), free(y), free(z);
    }
    printf("%-16s %-9s error %.2e of %.0e\n", ops[i].name, name, worst, tolerance);
    close_bench(&want), close_bench(&got), close_bench(&again);
}

/* ---- training steps -------------------------------------------------------------------------- */

static struct shape unequal(bool tied, bool bias)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = 136, s.head_dim = 32, s.vocab_size = 257;
    s.tie_word_embeddings = tied, s.qkv_bias = bias;
    shape_set_layers(&s, 3, (struct layer_shape){ 6, 3, 200 });
    s.layer[1] = (struct layer_shape){ 4, 2, 130 };
    s.layer[2] = (struct layer_shape){ 8, 4, 65 };
    return s;
}

enum { MOST_TIME = 70 };

struct run {
    struct backend *be;
    struct model *model;
    struct saliency *saliency;
    int32_t ids[4 * MOST_TIME], targets[4 * MOST_TIME];
    int time;
};

static void run_open(struct run *r, const char *name, const struct shape *shape, int time)
{
    struct error err = { 0 };
    struct model_options options = { .batch_size = 4, .sequence_length = MOST_TIME, .train = true };
    struct rng rng;
    rng_init(&rng, 5);
    CHECK_OK(backend_open(&r->be, name, 1, &err), err);
    CHECK_OK(model_open(&r->model, r->be, shape, shape, &options, &err), err);
    CHECK_OK(saliency_open(&r->saliency, r->model, HEAD_UNIT_KV_GROUP, &err), err);
    model_init(r->model, 9);
    r->time = time;
    for (int i = 0; i < 4 * time; i++) {
        r->ids[i] = (int32_t)rng_below(&rng, (uint64_t)shape->vocab_size);
        r->targets[i] = i % 13 == 5 ? -1 : (int32_t)rng_below(&rng, (uint64_t)shape->vocab_size);
    }
}

static double run_step(struct run *r, int64_t step)
{
    struct model_batch batch = { r->ids, r->targets, 4, r->time };
    struct optim_options options = { 0.9, 0.95, 1e-8, 0.1, 1.0 };
    double loss = model_gradient(r->model, &batch, 1.0 / 256, false) / 256;
    optim_step(r->model, &options, 1e-3, step, r->saliency);
    return loss;
}

static void remove_units(struct run *r, enum group_type type, int n, const int *position)
{
    struct error err = { 0 };
    struct removal removal = { .type = type, .layer = -1, .n = n };
    memcpy(removal.position, position, (size_t)n * sizeof *position);
    CHECK_OK(surgery_remove(r->model, &removal, &err), err);
}

static void run_remove(struct run *r)
{
    static const int heads[] = { 1, 0, 3 }, ffn[] = { 7, 129, 0 }, stem[] = { 100 };
    remove_units(r, GROUP_HEADS, 3, heads);
    remove_units(r, GROUP_FFN, 3, ffn);
    remove_units(r, GROUP_STEM, 1, stem);
}

static void run_close(struct run *r)
{
    saliency_close(r->saliency);
    model_close(r->model);
    backend_close(r->be);
}

static void compare_blocks(struct run *got, struct run *want, enum model_block which,
                           double tolerance, const char *what)
{
    double worst = 0;
    for (int i = 0; i < want->model->layout.n_slots; i++) {
        const struct slot *slot = &want->model->layout.slot[i];
        /* Adam's first steps move everything at full size, whatever the size of its gradient: what
         * started at zero is then mostly rounding, K's bias even in float32 */
        bool bias = slot->kind == SLOT_Q_BIAS || slot->kind == SLOT_V_BIAS;
        if (which == MODEL_WEIGHTS && (slot->kind == SLOT_K_BIAS || (bias && tolerance > 1e-2)))
            continue;
        size_t n = (size_t)slot->rows * (size_t)slot->cols;
        float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
        model_read(want->model, which, slot, x);
        model_read(got->model, which, &got->model->layout.slot[i], y);
        double error = error_of(y, x, n);
        CHECK(error <= tolerance, "%s: %s on %s: error %g, at most %g", what, slot->name,
              got->be->name, error, tolerance);
        if (error > worst) worst = error;
        free(x), free(y);
    }
    printf("%-24s %-9s worst tensor %.2e of %.0e\n", what, got->be->name, worst, tolerance);
}

/* The sums of one step, as collected; starts them again. */
static void compare_saliency(struct run *got, struct run *want, double tolerance)
{
    int n = want->saliency->n_sums;
    struct run *runs[] = { want, got };
    double *sums[2], off = 0, size = 0;
    for (int i = 0; i < 2; i++) {
        sums[i] = calloc((size_t)n, sizeof(double));
        runs[i]->be->download_sums(runs[i]->be, sums[i], runs[i]->saliency->sums, n);
    }
    for (int i = 0; i < n; i++) {
        off += (sums[0][i] - sums[1][i]) * (sums[0][i] - sums[1][i]);
        size += sums[0][i] * sums[0][i];
    }
    CHECK(size > 0 && sqrt(off / size) <= tolerance, "saliency on %s: error %g, at most %g",
          got->be->name, sqrt(off / size), tolerance);
    for (int i = 0; i < 2; i++) {
        double *zeros = calloc((size_t)n, sizeof *zeros);
        runs[i]->be->upload_sums(runs[i]->be, runs[i]->saliency->sums, zeros, n);
        free(zeros), free(sums[i]);
    }
}

enum { STEPS = 8 };

static void compare_training(const char *name, bool tied, bool bias, int time, double gradients,
                             double weights)
{
    struct shape shape = unequal(tied, bias);
    struct run want, got;
    run_open(&want, "ref", &shape, time);
    run_open(&got, name, &shape, time);
    for (int step = 1; step <= STEPS; step++) {
        double a = run_step(&want, step), b = run_step(&got, step);
        CHECK(fabs(a - b) <= gradients * a, "loss of step %d: %g, ref %g", step, b, a);
        if (step == 1 || step == STEPS)
            compare_blocks(&got, &want, MODEL_GRADS, step == 1 ? gradients : 6 * gradients,
                           step == 1 ? "gradients" : "gradients after removals");
        compare_saliency(&got, &want, 2 * gradients);
        if (step == 4) run_remove(&want), run_remove(&got); /* after a replay, where there is one */
    }
    compare_blocks(&got, &want, MODEL_WEIGHTS, weights, "weights after 8 steps");
    run_close(&want), run_close(&got);
}

/* With an argument: only the operations whose names start so. */
int main(int argc, char **argv)
{
    struct backend *be;
    struct error err = { 0 };
    const char *only = argc > 1 ? argv[1] : "";
    if (backend_open(&be, "cuda", 1, &err)) SKIP(err.text);
    backend_close(be);
    for (int i = 0; i < (int)(sizeof ops / sizeof *ops); i++) {
        if (strncmp(ops[i].name, only, strlen(only))) continue;
        compare_op(i, "cuda-f32", ops[i].f32);
        compare_op(i, "cuda", ops[i].bf16);
        compare_op(i, "cuda-exact", ops[i].bf16);
    }
    for (int variant = 0; variant < 3 && !*only; variant++) {
        compare_training("cuda-f32", variant > 0, variant > 1, 70, 1e-4, 2e-3);
        compare_training("cuda-exact", variant > 0, variant > 1, 70, 4e-2, 8e-2);
        compare_training("cuda", variant > 0, variant > 1, 64, 4e-2, 8e-2);
    }
    printf("ok\n");
    return 0;
}
