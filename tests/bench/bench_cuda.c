/*
 * Parts of a training step on the GPU, each by itself: attention, the six products of an FFN before
 * and after a quarter of its channels is gone, what a removal costs, and steps with a removal
 * before each against steps without. One JSON object a line. Times are medians over rounds of
 * several calls, waiting for the device once a round.
 *
 *     bench_cuda [BACKEND] [attention | ffn | removal | steps]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "search/base/rng.h"
#include "trainer/model.h"
#include "trainer/optim.h"
#include "trainer/saliency.h"
#include "trainer/surgery.h"

enum { ROUNDS = 7, CALLS = 10, PAD = 64, MOST_BLOCKS = 32 };

struct bench {
    struct backend *be;
    struct block *block[MOST_BLOCKS];
    int n;
    struct rng rng;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

static void must(struct error *err)
{
    if (!err->status) return;
    fprintf(stderr, "bench_cuda: %s\n", err->text);
    exit(1);
}

static int padded(int n) { return (n + PAD - 1) / PAD * PAD; }

static struct view whole(struct bench *b, enum block_use use, int rows, int cols)
{
    struct error err = { 0 };
    int ld = padded(cols);
    if (b->n == MOST_BLOCKS) abort();
    b->be->alloc(b->be, use, (size_t)padded(rows) * (size_t)ld, &b->block[b->n], &err);
    must(&err);
    return (struct view){ b->block[b->n++], 0, rows, cols, ld };
}

/* Random numbers everywhere; a thousand rows of them, again and again. */
static struct view filled(struct bench *b, enum block_use use, int rows, int cols)
{
    struct view v = whole(b, use, rows, cols);
    int some = rows < 1000 ? rows : 1000;
    float *x = calloc((size_t)some * (size_t)cols, sizeof *x);
    for (int i = 0; i < some * cols; i++) x[i] = (float)rng_normal(&b->rng) * 0.5f;
    for (int r = 0; r < rows; r += some)
        b->be->upload(b->be, view_rows(v, r, rows - r < some ? rows - r : some), x);
    free(x);
    return v;
}

static void release(struct bench *b)
{
    while (b->n) b->be->release(b->be, b->block[--b->n]);
}

/* ---- attention ------------------------------------------------------------------------------ */

struct attention_case {
    struct attention_shape s;
    struct view q, k, v, out, lse, d_q, d_k, d_v, d_out;
};

static void forward(struct bench *b, void *user)
{
    struct attention_case *c = user;
    b->be->attention_forward(b->be, c->out, c->lse, c->q, c->k, c->v, c->s);
}

static void backward(struct bench *b, void *user)
{
    struct attention_case *c = user;
    b->be->attention_backward(b->be, c->d_q, c->d_k, c->d_v, c->d_out, c->out, c->lse, c->q, c->k,
                              c->v, c->s);
}

/* Milliseconds a call. */
static double timed(struct bench *b, void (*call)(struct bench *b, void *user), void *user)
{
    double ms[ROUNDS];
    call(b, user);
    call(b, user);
    for (int r = 0; r < ROUNDS; r++) {
        b->be->finish(b->be);
        double start = now();
        for (int i = 0; i < CALLS; i++) call(b, user);
        b->be->finish(b->be);
        ms[r] = 1e3 * (now() - start) / CALLS;
    }
    return median(ms, ROUNDS);
}

static void attention(struct bench *b, struct attention_shape s)
{
    int N = s.batch * s.time, q = s.q_heads * s.head_dim, k = s.kv_heads * s.head_dim;
    struct attention_case c = { .s = s };
    struct view qkv = filled(b, BLOCK_ACTIVATIONS, N, padded(q) + 2 * padded(k)),
                d_qkv = whole(b, BLOCK_ACTIVATIONS, N, qkv.cols);
    c.q = view_cols(qkv, 0, q), c.k = view_cols(qkv, padded(q), k),
    c.v = view_cols(qkv, padded(q) + padded(k), k);
    c.d_q = view_cols(d_qkv, 0, q), c.d_k = view_cols(d_qkv, padded(q), k),
    c.d_v = view_cols(d_qkv, padded(q) + padded(k), k);
    c.out = whole(b, BLOCK_ACTIVATIONS, N, q), c.d_out = filled(b, BLOCK_ACTIVATIONS, N, q);
    c.lse = whole(b, BLOCK_FLOATS, s.batch * s.q_heads, s.time);
    double start = now();
    forward(b, &c), backward(b, &c);
    b->be->finish(b->be);
    double first = 1e3 * (now() - start), f = timed(b, forward, &c), r = timed(b, backward, &c);
    double flops = 2.0 * s.batch * s.q_heads * s.time * (double)s.time * s.head_dim;
    printf("{\"attention\": [%d, %d, %d, %d, %d], \"forward_ms\": %.4f, \"forward_tflops\": %.0f, "
           "\"backward_ms\": %.4f, \"backward_tflops\": %.0f, \"first_ms\": %.0f}\n",
           s.batch, s.q_heads, s.kv_heads, s.time, s.head_dim, f, flops / f / 1e9, r,
           2.5 * flops / r / 1e9, first);
    fflush(stdout);
    release(b);
}

/* ---- the six products of an FFN ------------------------------------------------------------ */

struct ffn_case {
    struct view x, d_x, gate, up, act, y;
    struct projection both[2], down, d_both[2], d_down;
    int which;
};

enum { PRODUCTS = 6 };

static void product(struct backend *be, struct ffn_case *c, int i)
{
    switch (i) {
    case 0: be->linear_forward(be, c->both, 2, c->x); break;
    case 1: be->linear_forward(be, &c->down, 1, c->act); break;
    case 2: be->linear_backward_input(be, c->act, &c->down, 1); break;
    case 3: be->linear_backward_weight(be, &c->d_down, 1, c->act, false); break;
    case 4: be->linear_backward_input(be, c->d_x, c->both, 2); break;
    case 5: be->linear_backward_weight(be, c->d_both, 2, c->x, false); break;
    }
}

static void products(struct bench *b, void *user)
{
    for (int i = 0; i < PRODUCTS; i++) product(b->be, user, i);
}

static void one_product(struct bench *b, void *user)
{
    struct ffn_case *c = user;
    product(b->be, c, c->which);
}

/* F of `capacity` channels are left, as surgery leaves them: in front, up right behind gate. */
static double ffn_ms(struct bench *b, int N, int C, int capacity, int F, double each[PRODUCTS])
{
    struct ffn_case c;
    int P = padded(capacity);
    struct view w = filled(b, BLOCK_WEIGHTS, 2 * P, C), d_w = whole(b, BLOCK_GRADS, 2 * P, C);
    struct view gate_up = whole(b, BLOCK_ACTIVATIONS, N, 2 * padded(F));
    c.x = filled(b, BLOCK_ACTIVATIONS, N, C), c.d_x = whole(b, BLOCK_ACTIVATIONS, N, C);
    c.y = filled(b, BLOCK_ACTIVATIONS, N, C), c.act = filled(b, BLOCK_ACTIVATIONS, N, F);
    c.gate = view_cols(gate_up, 0, F), c.up = view_cols(gate_up, padded(F), F);
    for (int i = 0; i < 2; i++) {
        struct view out = i ? c.up : c.gate;
        c.both[i] = (struct projection){ .out = out, .weight = view_rows(w, i * padded(F), F) };
        c.d_both[i] = (struct projection){ .out = out, .weight = view_rows(d_w, i * padded(F), F) };
    }
    struct view down = view_cols(filled(b, BLOCK_WEIGHTS, C, capacity), 0, F),
                d_down = view_cols(whole(b, BLOCK_GRADS, C, capacity), 0, F);
    c.down = (struct projection){ .out = c.y, .weight = down };
    c.d_down = (struct projection){ .out = c.y, .weight = d_down };
    double ms = timed(b, products, &c);
    for (c.which = 0; c.which < PRODUCTS; c.which++) each[c.which] = timed(b, one_product, &c);
    release(b);
    return ms;
}

static void ffn(struct bench *b, const char *name, int N, int C, int F)
{
    static const int parts[] = { 16, 15, 14, 12, 8 };
    double full[3], ms[3], each[2][PRODUCTS];
    for (int p = 1; p < (int)(sizeof parts / sizeof *parts); p++) {
        int left = F * parts[p] / 16;
        for (int i = 0; i < 3; i++) /* in turns */
            full[i] = ffn_ms(b, N, C, F, F, each[0]), ms[i] = ffn_ms(b, N, C, F, left, each[1]);
        double a = median(full, 3), c = median(ms, 3);
        printf("{\"ffn\": \"%s\", \"rows\": %d, \"channels\": %d, \"left\": %d, \"full_ms\": %.4f, "
               "\"ms\": %.4f, \"ratio\": %.4f, \"by_product\": [",
               name, N, F, left, a, c, c / a);
        for (int i = 0; i < PRODUCTS; i++)
            printf("%s[%.4f, %.4f]", i ? ", " : "", each[0][i], each[1][i]);
        printf("]}\n");
        fflush(stdout);
    }
}

/* ---- removals ------------------------------------------------------------------------------ */

static struct removal first_units(enum group_type type, int layers)
{
    struct removal removal = { .type = type, .layer = -1, .n = type == GROUP_STEM ? 1 : layers };
    for (int i = 0; i < removal.n; i++) removal.position[i] = (7 * i) % 2;
    return removal;
}

static struct model *model_135m(struct bench *b, int batch, int time)
{
    struct error err = { 0 };
    struct model *model;
    struct model_options options = { .batch_size = batch,
                                     .sequence_length = time,
                                     .train = MODEL_TRAIN };
    struct shape shape;
    shape_init(&shape);
    shape.hidden_size = 576, shape.head_dim = 64, shape.vocab_size = 49152;
    shape.tie_word_embeddings = true;
    shape_set_layers(&shape, 30, (struct layer_shape){ 9, 3, 1536 });
    model_open(&model, b->be, &shape, &shape, &options, &err);
    must(&err);
    model_init(model, 1);
    return model;
}

static void removal(struct bench *b, enum group_type type, int times)
{
    struct error err = { 0 };
    struct model *model = model_135m(b, 1, 64);
    double ms[64], issue[64];
    struct removal r = first_units(type, 30);
    for (int i = 0; i < times; i++) {
        b->be->finish(b->be);
        double start = now();
        surgery_remove(model, &r, &err);
        issue[i] = 1e3 * (now() - start);
        b->be->finish(b->be);
        must(&err);
        ms[i] = 1e3 * (now() - start);
    }
    printf("{\"removal\": \"%s\", \"model\": \"135m\", \"ms\": %.4f, \"host_ms\": %.4f, "
           "\"first_ms\": %.4f}\n",
           group_names[type], median(ms + 1, times - 1), median(issue + 1, times - 1), ms[0]);
    fflush(stdout);
    model_close(model);
}

/* ---- whole steps --------------------------------------------------------------------------- */

enum { PLAIN = 16 /* too few to be recorded, like those with removals */, CUTS = 72 };

static double step_ms(struct model *model, struct saliency *sums, const struct model_batch *batch,
                      int64_t step, const struct removal *r)
{
    static const struct optim_options options = { 0.9, 0.95, 1e-8, 0.1, 1.0 };
    struct error err = { 0 };
    double start = now();
    if (r) surgery_remove(model, r, &err);
    must(&err);
    model_gradient_begin(model, batch, 1.0 / (batch->batch * batch->time), false);
    optim_begin(model, &options, 1e-4, step, sums);
    model_total(model, MODEL_LOSS);
    return 1e3 * (now() - start);
}

static void steps(struct bench *b, int batch, int time)
{
    struct error err = { 0 };
    struct model *model = model_135m(b, batch, time);
    struct saliency *sums;
    int n = batch * time;
    int32_t *ids = calloc((size_t)n + 1, sizeof *ids);
    struct model_batch data = { ids, ids + 1, batch, time };
    struct removal r = first_units(GROUP_FFN, 30);
    double plain[PLAIN], cut[CUTS];
    saliency_open(&sums, model, HEAD_UNIT_KV_GROUP, &err);
    must(&err);
    for (int i = 0; i <= n; i++) ids[i] = (int32_t)rng_below(&b->rng, 49152);
    for (int i = 0; i < 3; i++) step_ms(model, sums, &data, i + 1, NULL);
    for (int i = 0; i < PLAIN; i++) plain[i] = step_ms(model, sums, &data, i + 4, NULL);
    for (int i = 0; i < CUTS; i++) cut[i] = step_ms(model, sums, &data, i + 4 + PLAIN, &r);
    double crossing = cut[PAD - 1], wide = median(cut, PAD - 1);
    printf("{\"steps\": [%d, %d], \"plain_ms\": %.3f, \"removal_each_step_ms\": %.3f, "
           "\"step_that_passes_a_multiple_ms\": %.3f, \"after_it_ms\": %.3f}\n",
           batch, time, median(plain, PLAIN), wide, crossing, median(cut + PAD, CUTS - PAD));
    fflush(stdout);
    saliency_close(sums);
    model_close(model);
    free(ids);
}

int main(int argc, char **argv)
{
    struct bench b = { 0 };
    struct error err = { 0 };
    const char *part = argc > 2 ? argv[2] : "";
    backend_open(&b.be, argc > 1 ? argv[1] : "cuda", 1, &err);
    must(&err);
    rng_init(&b.rng, 1);
    if (!*part || !strcmp(part, "attention")) {
        attention(&b, (struct attention_shape){ 16, 2048, 9, 3, 64 });
        attention(&b, (struct attention_shape){ 8, 2048, 32, 32, 64 });
        attention(&b, (struct attention_shape){ 128, 512, 4, 4, 64 });
        attention(&b, (struct attention_shape){ 16, 512, 4, 4, 64 });
    }
    if (!*part || !strcmp(part, "ffn")) {
        ffn(&b, "135m", 32768, 576, 1536);
        ffn(&b, "1.7b", 16384, 2048, 8192);
    }
    if (!*part || !strcmp(part, "removal")) {
        removal(&b, GROUP_FFN, 21);
        removal(&b, GROUP_STEM, 21);
        removal(&b, GROUP_HEADS, 2);
    }
    if (!*part || !strcmp(part, "steps")) steps(&b, 16, 2048);
    backend_close(b.be);
    return 0;
}
