#include "trainer/floor.h"

#include <omp.h>
#include <string.h>
#include "trainer/activations.h"
#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

enum { ROWS = 48 };

bool floor_exists(const struct model *model) { return !strncmp(model->be->name, "cpu", 3); }

static struct projection to_slot(const struct model *model, enum model_block which, struct view out,
                                 enum slot_kind kind, int l)
{
    const struct slot *slot = layout_slot(&model->layout, kind, l);
    return (struct projection){ .out = out, .weight = model_view(model, which, slot) };
}

/* Forward (d_inp NULL), or both products of the way back, of n maps that share an input. */
static void linears(struct model *model, int l, const enum slot_kind *kind, const struct view *out,
                    int n, struct view inp, const struct view *d_inp)
{
    struct backend *be = model->be;
    struct projection p[3], d_p[3];
    for (int i = 0; i < n; i++) {
        p[i] = to_slot(model, MODEL_WEIGHTS, out[i], kind[i], l);
        d_p[i] = to_slot(model, MODEL_GRADS, out[i], kind[i], l);
    }
    if (!d_inp) {
        be->linear_forward(be, p, n, inp);
        return;
    }
    be->linear_backward_input(be, *d_inp, p, n);
    be->linear_backward_weight(be, d_p, n, inp, false);
}

static void layer_linears(struct model *model, int l, bool back)
{
    static const enum slot_kind qkv[] = { SLOT_Q, SLOT_K, SLOT_V }, o[] = { SLOT_O };
    static const enum slot_kind ffn[] = { SLOT_GATE, SLOT_UP }, down[] = { SLOT_DOWN };
    const struct activations *at = model->at;
    const struct layer_views *v = &at->layer[l];
    const struct view *d_norm = back ? &at->d_norm : NULL;
    linears(model, l, qkv,
            back ? (struct view[]){ v->d_q, v->d_k, v->d_v } : (struct view[]){ v->q, v->k, v->v },
            3, at->norm, d_norm);
    linears(model, l, o, back ? &at->d_x : &v->mid, 1, v->att, back ? &v->d_att : NULL);
    linears(model, l, ffn, (struct view[]){ v->gate, v->up }, 2, at->norm, d_norm);
    linears(model, l, down, back ? &at->d_x : &v->y, 1, v->act, back ? &v->act : NULL);
}

static void head_products(struct model *model)
{
    const struct activations *at = model->at;
    bool tied = model_shape(model)->tie_word_embeddings;
    enum slot_kind kind = tied ? SLOT_EMBED : SLOT_HEAD;
    for (int from = 0, rows; from < at->rows; from += rows) {
        rows = at->rows - from < at->logits.rows ? at->rows - from : at->logits.rows;
        struct view logits = view_rows(at->logits, 0, rows), x = view_rows(at->norm, from, rows);
        struct view d_x = view_rows(at->d_norm, from, rows);
        linears(model, -1, &kind, &logits, 1, x, NULL);
        linears(model, -1, &kind, &logits, 1, x, &d_x);
    }
}

/* One block of query rows of one head: two products forward, five back. */
struct attention_item {
    struct operand q, k, k_columns, v, v_columns, d_out;
    float *out, *d_q, *d_k, *d_v, *p, *d_p, *scratch;
    int ld_out, ld_d_q, ld_d_k, ld_d_v, rows, keys, D;
};

static void item_products(const struct gemm *gemm, const struct attention_item *i, bool back)
{
    int R = i->rows, N = i->keys, D = i->D;
    gemm->product(R, N, D, i->q, i->k_columns, i->p, N, false, i->scratch);
    if (!back) {
        gemm->product(R, D, N, plain(i->p, N), i->v, i->out, i->ld_out, false, i->scratch);
        return;
    }
    gemm->product(R, N, D, i->d_out, i->v_columns, i->d_p, N, false, i->scratch);
    gemm->product(N, D, R, transposed(i->p, N), i->d_out, i->d_v, i->ld_d_v, true, i->scratch);
    gemm->product(R, D, N, plain(i->d_p, N), i->k, i->d_q, i->ld_d_q, false, i->scratch);
    gemm->product(N, D, R, transposed(i->d_p, N), i->q, i->d_k, i->ld_d_k, true, i->scratch);
}

static float *at_head(struct view x, int row, int col) { return host_row(x, row) + col; }

static struct attention_item item_of(const struct model *model, int l, int b, int h, int from,
                                     float *room)
{
    const struct layer_views *v = &model->at->layer[l];
    const struct layer_shape *s = &model_shape(model)->layer[l];
    int T = model->at->time, D = model_shape(model)->head_dim;
    int kv = h / (s->q_heads / s->kv_heads) * D, q = h * D, row = b * T + from, base = b * T;
    struct attention_item i = { .scratch = room, .p = room + GEMM_SCRATCH, .D = D };
    i.d_p = i.p + (size_t)ROWS * (size_t)T;
    i.q = plain(at_head(v->q, row, q), v->q.ld);
    i.k = plain(at_head(v->k, base, kv), v->k.ld);
    i.v = plain(at_head(v->v, base, kv), v->v.ld);
    i.k_columns = transposed(i.k.at, v->k.ld), i.v_columns = transposed(i.v.at, v->v.ld);
    i.d_out = plain(at_head(v->d_att, row, q), v->d_att.ld);
    i.out = at_head(v->att, row, q), i.ld_out = v->att.ld;
    i.d_q = at_head(v->d_q, row, q), i.ld_d_q = v->d_q.ld;
    i.d_k = at_head(v->d_k, base, kv), i.ld_d_k = v->d_k.ld;
    i.d_v = at_head(v->d_v, base, kv), i.ld_d_v = v->d_v.ld;
    i.rows = T - from < ROWS ? T - from : ROWS;
    i.keys = from + i.rows;
    return i;
}

/* The heads of all sequences, from the KV head down: one member of the team has all query heads
 * of a KV head, so that nobody adds to another's d_k. Uneven heads are shared out by `dynamic`. */
static void attention_products(struct model *model, int l, bool back)
{
    const struct layer_shape *s = &model_shape(model)->layer[l];
    int T = model->at->time, groups = model->at->batch * s->kv_heads, r = s->q_heads / s->kv_heads;
    const struct gemm *gemm = cpu_gemm(model->be);
    size_t each = GEMM_SCRATCH + 2 * ((size_t)ROWS * (size_t)T + 16) / 16 * 16;
    float *room = cpu_scratch(model->be, each);
#pragma omp parallel for num_threads(model->be->threads) schedule(dynamic)
    for (int g = 0; g < groups * (back ? 1 : r); g++)
        for (int k = 0; k < (back ? r : 1); k++)
            for (int from = 0; from < T; from += ROWS) {
                int head = back ? g * r + k : g;
                struct attention_item i = item_of(model, l, head / s->q_heads, head % s->q_heads,
                                                  from, room + (size_t)omp_get_thread_num() * each);
                item_products(gemm, &i, back);
            }
}

void floor_step(struct model *model)
{
    int L = model_shape(model)->n_layers;
    for (int l = 0; l < L; l++) {
        layer_linears(model, l, false);
        attention_products(model, l, false);
    }
    head_products(model);
    for (int l = L - 1; l >= 0; l--) {
        layer_linears(model, l, true);
        attention_products(model, l, true);
    }
}

double floor_flops(const struct model *model)
{
    const struct shape *shape = model_shape(model);
    double N = model->at->rows, T = model->at->time, C = shape->hidden_size, D = shape->head_dim;
    double multiplies = 3 * N * C * shape->vocab_size;
    for (int l = 0; l < shape->n_layers; l++) {
        const struct layer_shape *s = &shape->layer[l];
        multiplies += 3 * N * C * (D * (2 * s->q_heads + 2 * s->kv_heads) + 3.0 * s->ffn);
        multiplies += 7 * N * (T + 1) / 2 * D * s->q_heads;
    }
    return 2 * multiplies;
}
