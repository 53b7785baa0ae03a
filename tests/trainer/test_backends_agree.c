/* Every operation on the backends of the processor against ref; and with 1, 2 and 3 threads, the
 * same bits. */
#include "tests/trainer/world.h"

static void embed(struct world *w)
{
    struct view table = world_take(w, BLOCK_WEIGHTS, 23, 37);
    struct view d_table = world_take(w, BLOCK_GRADS, 23, 37);
    struct view out = world_take(w, BLOCK_ACTIVATIONS, 50, 37);
    struct view d_out = world_take(w, BLOCK_ACTIVATIONS, 50, 37);
    struct view ids = world_ids(w, 50, 23);
    w->be->embed_forward(w->be, out, table, ids);
    w->be->embed_backward(w->be, d_table, d_out, ids);
}

static void rmsnorm(struct world *w, int N, int C, bool add, bool again)
{
    struct view gain = world_take(w, BLOCK_WEIGHTS, 1, C),
                d_gain = world_take(w, BLOCK_GRADS, 1, C);
    struct view inp = world_take(w, BLOCK_ACTIVATIONS, N, C);
    struct view out = world_take(w, BLOCK_ACTIVATIONS, N, C);
    struct view d_out = world_take(w, BLOCK_ACTIVATIONS, N, C);
    struct view d_inp = world_take(w, BLOCK_ACTIVATIONS, N, C);
    struct view remade = world_take(w, BLOCK_ACTIVATIONS, N, C), none = { 0 };
    struct view rstd = world_take(w, BLOCK_FLOATS, 1, N);
    w->be->rmsnorm_forward(w->be, out, rstd, inp, gain, 1e-5);
    w->be->rmsnorm_backward(w->be, d_inp, d_gain, again ? remade : none, d_out, inp, gain, rstd,
                            add);
}

static void rmsnorm_add(struct world *w) { rmsnorm(w, 33, 70, true, true); }
static void rmsnorm_write(struct world *w) { rmsnorm(w, 2, 129, false, false); }
static void rmsnorm_one(struct world *w) { rmsnorm(w, 1, 1, false, true); }

/* Projections first..first+n-1 of three of unequal widths, side by side; base and bias on some. */
static void some_linear(struct world *w, int first, int n, int N, int K, bool add)
{
    static const int outs[] = { 40, 7, 19 };
    struct view inp = world_take(w, BLOCK_ACTIVATIONS, N, K);
    struct view d_inp = world_take(w, BLOCK_ACTIVATIONS, N, K);
    struct projection p[3], d_p[3];
    for (int i = first; i < first + n; i++) {
        struct view beside = world_take(w, BLOCK_ACTIVATIONS, N, 2 * outs[i]);
        struct view d_out = world_take(w, BLOCK_ACTIVATIONS, N, outs[i]), none = { 0 };
        p[i] =
            (struct projection){ .out = view_cols(beside, 0, outs[i]),
                                 .weight = world_take(w, BLOCK_WEIGHTS, outs[i], K),
                                 .bias = i != 1 ? world_take(w, BLOCK_WEIGHTS, 1, outs[i]) : none,
                                 .base = i ? view_cols(beside, outs[i], outs[i]) : none };
        if (i == 2) p[i].base = p[i].out;
        d_p[i] =
            (struct projection){ .out = d_out,
                                 .weight = world_take(w, BLOCK_GRADS, outs[i], K),
                                 .bias = i != 1 ? world_take(w, BLOCK_GRADS, 1, outs[i]) : none };
    }
    w->be->linear_forward(w->be, p + first, n, inp);
    w->be->linear_backward_weight(w->be, d_p + first, n, inp, add);
    for (int i = first; i < first + n; i++) d_p[i].weight = p[i].weight;
    w->be->linear_backward_input(w->be, d_inp, d_p + first, n);
}

static void linear(struct world *w, int N, int K, bool add) { some_linear(w, 0, 3, N, K, add); }
static void linear_single(struct world *w) { some_linear(w, 0, 1, 130, 90, true); }
static void linear_added(struct world *w) { some_linear(w, 2, 1, 70, 20, false); }
static void linear_tall(struct world *w) { linear(w, 130, 31, false); }
static void linear_wide(struct world *w) { linear(w, 9, 150, true); }
static void linear_row(struct world *w) { linear(w, 1, 150, false); }
static void linear_one(struct world *w) { linear(w, 1, 1, false); }

static void rope(struct world *w)
{
    struct view x = world_take(w, BLOCK_ACTIVATIONS, 3 * 11, 5 * 12);
    struct view y = world_take(w, BLOCK_ACTIVATIONS, 3 * 11, 2 * 12);
    struct view table = world_take(w, BLOCK_FLOATS, 11, 12);
    w->be->rope(w->be, x, table, 12, 1);
    w->be->rope(w->be, y, table, 12, -1);
}

static void swiglu(struct world *w)
{
    struct view gate = world_take(w, BLOCK_ACTIVATIONS, 31, 45);
    struct view up = world_take(w, BLOCK_ACTIVATIONS, 31, 45);
    struct view out = world_take(w, BLOCK_ACTIVATIONS, 31, 45);
    struct view d_out = world_take(w, BLOCK_ACTIVATIONS, 31, 45);
    w->be->swiglu_forward(w->be, out, gate, up);
    w->be->swiglu_backward(w->be, d_out, gate, up);
}

static void attention(struct world *w, struct attention_shape s)
{
    int N = s.batch * s.time, nq = s.q_heads * s.head_dim, nk = s.kv_heads * s.head_dim;
    struct view qkv = world_take(w, BLOCK_ACTIVATIONS, N, nq + 2 * nk);
    struct view d_qkv = world_take(w, BLOCK_ACTIVATIONS, N, nq + 2 * nk);
    struct view out = world_take(w, BLOCK_ACTIVATIONS, N, nq);
    struct view d_out = world_take(w, BLOCK_ACTIVATIONS, N, nq);
    struct view lse = world_take(w, BLOCK_FLOATS, s.batch * s.q_heads, s.time);
    struct view q = view_cols(qkv, 0, nq), k = view_cols(qkv, nq, nk);
    struct view v = view_cols(qkv, nq + nk, nk);
    w->be->attention_forward(w->be, out, lse, q, k, v, s);
    w->be->attention_backward(w->be, view_cols(d_qkv, 0, nq), view_cols(d_qkv, nq, nk),
                              view_cols(d_qkv, nq + nk, nk), d_out, out, lse, q, k, v, s);
}

static void attention_mha(struct world *w)
{
    attention(w, (struct attention_shape){ 2, 40, 3, 3, 8 });
}
static void attention_gqa(struct world *w)
{
    attention(w, (struct attention_shape){ 1, 150, 6, 2, 4 });
}
static void attention_mqa(struct world *w)
{
    attention(w, (struct attention_shape){ 1, 65, 5, 1, 6 });
}
static void attention_t1(struct world *w)
{
    attention(w, (struct attention_shape){ 3, 1, 4, 2, 10 });
}

/* A beginning of 30 rows that two endings share, a text of its own, and two rows that go on from
 * keys 60..69 of the store, their own being put at 70 and 71. */
static void attention_spans(struct world *w, struct attention_shape s)
{
    static const int32_t spans[][SPAN_MEMBERS] = { { 0, 30, 0, 0, 0 },
                                                   { 30, 7, 0, 30, 30 },
                                                   { 37, 1, 0, 30, 37 },
                                                   { 38, 17, 0, 0, 38 },
                                                   { 55, 2, 60, 10, 70 } };
    int nq = s.q_heads * s.head_dim, nk = s.kv_heads * s.head_dim;
    struct view q = world_take(w, BLOCK_ACTIVATIONS, 57, nq);
    struct view k = world_take(w, BLOCK_ACTIVATIONS, 72, nk);
    struct view v = world_take(w, BLOCK_ACTIVATIONS, 72, nk);
    struct view out = world_take(w, BLOCK_ACTIVATIONS, 57, nq);
    struct view ids = world_ids(w, 5 * SPAN_MEMBERS, 2);
    w->be->upload_ids(w->be, ids, spans[0]);
    ids.rows = 5, ids.cols = ids.ld = SPAN_MEMBERS;
    w->be->attention_spans(w->be, out, q, k, v, ids, s);
}

static void spans_mha(struct world *w)
{
    attention_spans(w, (struct attention_shape){ .q_heads = 3, .kv_heads = 3, .head_dim = 16 });
}
static void spans_gqa(struct world *w)
{
    attention_spans(w, (struct attention_shape){ .q_heads = 6, .kv_heads = 2, .head_dim = 4 });
}

static void cross_entropy(struct world *w, double scale)
{
    struct view logits = world_take(w, BLOCK_ACTIVATIONS, 37, 51);
    struct view losses = world_take(w, BLOCK_FLOATS, 1, 37);
    struct view targets = world_ids(w, 37, 51);
    int32_t none = -1;
    w->be->upload_ids(w->be, view_cols(targets, 5, 1), &none);
    w->be->cross_entropy(w->be, losses, logits, targets, scale);
    if (scale == 0) w->be->zero(w->be, logits); /* unspecified */
}

static void cross_entropy_back(struct world *w) { cross_entropy(w, 0.25); }
static void cross_entropy_only(struct world *w) { cross_entropy(w, 0); }

/* Moments of squares must not be negative: v starts as zeros. */
static void adamw(struct world *w)
{
    struct view v = world_take(w, BLOCK_MOMENTS, 1, 20000),
                sums = world_take(w, BLOCK_FLOATS, 1, 64);
    struct param param[] = {
        { .at = 0,
          .rows = 70,
          .cols = 33,
          .ld = 48,
          .decay = true,
          .row_sum = 40,
          .row_span = 10,
          .col_sum = 0,
          .col_span = 1 },
        { .at = 70 * 48,
          .rows = 1,
          .cols = 33,
          .ld = 48,
          .row_sum = -1,
          .col_sum = 0,
          .col_span = 1 },
        { .at = 71 * 48,
          .rows = 33,
          .cols = 21,
          .ld = 32,
          .decay = true,
          .row_sum = 0,
          .row_span = 1,
          .col_sum = 33,
          .col_span = 3 },
    };
    struct block *m, *block, *squares;
    struct error err = { 0 };
    double got[48] = { 1, 2, 3 };
    float as_floats[64] = { 0 };
    w->be->zero(w->be, v);
    CHECK_OK(w->be->alloc(w->be, BLOCK_MOMENTS, 20000, &m, &err), err);
    CHECK_OK(w->be->alloc(w->be, BLOCK_SUMS, 48, &block, &err), err);
    w->be->upload_sums(w->be, block, got, 48);
    CHECK_OK(w->be->alloc(w->be, BLOCK_SUMS, 2, &squares, &err), err);
    w->be->sum_squares(w->be, squares, 1, w->block[BLOCK_GRADS], param, 2, 0.5, false);
    w->be->sum_squares(w->be, squares, 1, w->block[BLOCK_GRADS], param + 2, 1, 2, true);
    struct adamw step = { .weights = w->block[BLOCK_WEIGHTS],
                          .grads = w->block[BLOCK_GRADS],
                          .m = m,
                          .v = w->block[BLOCK_MOMENTS],
                          .param = param,
                          .n_params = 3,
                          .lr = 1e-2,
                          .beta1 = 0.9,
                          .beta2 = 0.95,
                          .epsilon = 1e-8,
                          .weight_decay = 0.1,
                          .clip_norm = 0.5,
                          .squares = squares,
                          .squares_at = 1,
                          .n_sums = 48 };
    for (step.step = 1; step.step <= 3; step.step++) {
        step.sums = step.step == 2 ? NULL : block;
        w->be->adamw(w->be, &step);
    }
    w->be->download_sums(w->be, got, block, 48);
    for (int i = 0; i < 48; i++) as_floats[i] = (float)got[i];
    w->be->download_sums(w->be, got, squares, 2);
    as_floats[60] = (float)got[1];
    w->be->upload(w->be, sums, as_floats);
    w->be->release(w->be, m);
    w->be->release(w->be, block);
    w->be->release(w->be, squares);
}

static void memory(struct world *w)
{
    struct view a = world_take(w, BLOCK_WEIGHTS, 20, 30);
    w->be->copy(w->be, view_rows(a, 3, 4), view_rows(a, 16, 4));
    w->be->copy(w->be, view_cols(a, 2, 1), view_cols(a, 29, 1));
    w->be->zero(w->be, view_cols(a, 29, 1));
    w->be->zero(w->be, view_rows(a, 19, 1));
    struct view b = world_take(w, BLOCK_WEIGHTS, 90, 30), c = world_take(w, BLOCK_MOMENTS, 50, 30);
    struct shift shifts[] = { { view_rows(b, 16, 40), 16 },
                              { view_rows(b, 80, 10), 20 },
                              { view_rows(c, 3, 47), 2 } };
    w->be->shift(w->be, shifts, 3);
}

static const struct {
    const char *name;
    void (*run)(struct world *w);
} cases[] = {
    { "embed", embed },
    { "rmsnorm_add", rmsnorm_add },
    { "rmsnorm_write", rmsnorm_write },
    { "rmsnorm_one", rmsnorm_one },
    { "linear_tall", linear_tall },
    { "linear_wide", linear_wide },
    { "linear_row", linear_row },
    { "linear_one", linear_one },
    { "linear_single", linear_single },
    { "linear_added", linear_added },
    { "rope", rope },
    { "swiglu", swiglu },
    { "attention_mha", attention_mha },
    { "attention_gqa", attention_gqa },
    { "attention_mqa", attention_mqa },
    { "attention_t1", attention_t1 },
    { "spans_mha", spans_mha },
    { "spans_gqa", spans_gqa },
    { "cross_entropy_back", cross_entropy_back },
    { "cross_entropy_only", cross_entropy_only },
    { "adamw", adamw },
    { "memory", memory },
};

static float got[WORLD_USES][WORLD_FLOATS], want[WORLD_USES][WORLD_FLOATS];

static void run_case(int i, const char *backend, int threads, float result[][WORLD_FLOATS])
{
    struct world w;
    world_open(&w, backend, threads);
    cases[i].run(&w);
    for (int use = 0; use < BLOCK_IDS; use++) world_read(&w, (enum block_use)use, result[use]);
    world_close(&w);
}

static const struct {
    const char *name;
    double tolerance;
    bool everywhere;
} backends[] = { { "cpu", 2e-5, true }, { "cpu-blas", 2e-5, true }, { "cpu-bf16x3", 4e-4, false } };

static void compare(const char *name, const char *backend, double tolerance)
{
    for (int use = 0; use < BLOCK_IDS; use++)
        for (int i = 0; i < WORLD_FLOATS; i++) {
            double wanted = want[use][i], error = fabs(got[use][i] - wanted);
            CHECK(error <= tolerance * (1 + fabs(wanted)),
                  "%s on %s, block %d, element %d: %g, ref %g", name, backend, use, i, got[use][i],
                  wanted);
        }
}

static bool there_is(const char *backend)
{
    struct backend *be;
    struct error err = { 0 };
    enum status status = backend_open(&be, backend, 1, &err);
    backend_close(be);
    CHECK(!status || (status == E_MISSING && strstr(err.text, "float32")), "%s", err.text);
    if (status) printf("%s\n", err.text);
    return !status;
}

static void test_backend(const char *backend, double tolerance)
{
    static float again[WORLD_USES][WORLD_FLOATS];
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        run_case(i, "ref", 1, want);
        run_case(i, backend, 1, got);
        compare(cases[i].name, backend, tolerance);
        for (int threads = 2; threads <= 3; threads++) { /* the same bits with any number */
            run_case(i, backend, threads, again);
            CHECK(!memcmp(got, again, sizeof got), "%s on %s: %d threads change bits",
                  cases[i].name, backend, threads);
        }
        printf("ok %s: %s\n", backend, cases[i].name);
    }
}

int main(void)
{
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++)
        if (backends[b].everywhere || there_is(backends[b].name))
            test_backend(backends[b].name, backends[b].tolerance);
    return 0;
}
