#include "trainer/packed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/activations.h"
#include "trainer/block.h"
#include "trainer/loss.h"
#include "trainer/rope.h"

struct packed {
    struct model *model;
    int max_position, store_rows;
    float *rope_table, *turns; /* (max_position, D) and that of a call's rows */
    int32_t *spans;
    float *logits; /* of a chunk */

    struct block *store, *floats, *ids;
    struct view *keys, *values; /* of each layer in the store */
    struct view rope, span;     /* of this call */
    const struct packed_piece *piece;
    int n_pieces;
};

static int padded(const struct packed *p, int cols)
{
    int m = p->model->be->multiple;
    return (cols + m - 1) / m * m;
}

static int max_rows(const struct packed *p) { return p->model->options.sequence_length; }

/* Where the keys and values of every layer lie; returns the elements. */
static size_t place_store(struct packed *p)
{
    const struct shape *shape = model_shape(p->model);
    size_t at = 0;
    for (int l = 0; l < shape->n_layers; l++)
        for (int value = 0; value < 2; value++) {
            int cols = shape->layer[l].kv_heads * shape->head_dim, ld = padded(p, cols);
            struct view *to = value ? &p->values[l] : &p->keys[l];
            *to = (struct view){ NULL, at, p->store_rows, cols, ld };
            at += (size_t)p->store_rows * (size_t)ld;
        }
    return at;
}

static enum status open_store(struct packed *p, struct error *err)
{
    struct backend *be = p->model->be;
    int n_layers = model_shape(p->model)->n_layers;
    p->keys = calloc((size_t)n_layers, sizeof *p->keys);
    p->values = calloc((size_t)n_layers, sizeof *p->values);
    if (!p->keys || !p->values) abort();
    if (!p->store_rows) return OK;
    if (be->alloc(be, BLOCK_ACTIVATIONS, place_store(p), &p->store, err))
        return fail_in(err, "keys and values of %d tokens", p->store_rows);
    for (int l = 0; l < n_layers; l++) p->keys[l].block = p->values[l].block = p->store;
    return OK;
}

static enum status open_blocks(struct packed *p, struct error *err)
{
    const struct shape *shape = model_shape(p->model);
    struct backend *be = p->model->be;
    size_t D = (size_t)shape->head_dim, rows = (size_t)max_rows(p);
    p->rope_table = calloc((size_t)p->max_position * D, sizeof *p->rope_table);
    p->turns = calloc(rows * D, sizeof *p->turns);
    p->spans = calloc(rows * SPAN_MEMBERS, sizeof *p->spans);
    if (!p->rope_table || !p->turns || !p->spans) abort();
    rope_table(shape, p->max_position, p->rope_table);
    TRY(be->alloc(be, BLOCK_FLOATS, rows * (size_t)padded(p, shape->head_dim), &p->floats, err));
    TRY(be->alloc(be, BLOCK_IDS, rows * SPAN_MEMBERS, &p->ids, err));
    return open_store(p, err);
}

enum status packed_open(struct packed **out, struct model *model, int max_position, int store_rows,
                        struct error *err)
{
    *out = NULL;
    assert(model->options.batch_size == 1 && !model->options.train);
    assert(max_position >= 1 && store_rows >= 0 && store_rows <= PACKED_MAX_STORE);
    if (!model->be->attention_spans)
        return fail(err, E_INPUT, "backend %s cannot run packed texts; use cpu", model->be->name);
    struct packed *p = calloc(1, sizeof *p);
    if (!p) abort();
    *p = (struct packed){ .model = model, .max_position = max_position, .store_rows = store_rows };
    if (open_blocks(p, err)) {
        packed_close(p);
        return err->status;
    }
    model->packed = p;
    *out = p;
    return OK;
}

void packed_close(struct packed *p)
{
    if (!p) return;
    struct backend *be = p->model->be;
    p->model->packed = NULL;
    be->release(be, p->store);
    be->release(be, p->floats);
    be->release(be, p->ids);
    free(p->keys);
    free(p->values);
    free(p->rope_table);
    free(p->turns);
    free(p->spans);
    free(p->logits);
    free(p);
}

/* ---- a call ------------------------------------------------------------------------------------ */

static int own_at(const struct packed *p, const struct packed_piece *i)
{
    return p->store ? i->own_at : i->row;
}

/* Checks the pieces; returns the rows of the call. */
static int count_rows(const struct packed *p, const struct packed_piece *piece, int n)
{
    int rows = 0;
    for (int i = 0; i < n; i++) {
        rows += piece[i].rows;
        assert(piece[i].rows >= 1 && piece[i].position >= 0 && piece[i].past >= 0);
        assert(piece[i].position + piece[i].rows <= p->max_position);
        assert(!p->store || (own_at(p, &piece[i]) + piece[i].rows <= p->store_rows &&
                             piece[i].past_at + piece[i].past <= p->store_rows));
    }
    assert(rows >= 1 && rows <= max_rows(p));
    return rows;
}

static void upload_pieces(struct packed *p, const struct packed_piece *piece, int n, int rows)
{
    struct backend *be = p->model->be;
    int D = model_shape(p->model)->head_dim;
    for (int i = 0; i < n; i++) {
        const struct packed_piece *at = &piece[i];
        const int32_t span[SPAN_MEMBERS] = { at->row, at->rows, at->past_at, at->past,
                                             own_at(p, at) };
        memcpy(p->spans + (size_t)i * SPAN_MEMBERS, span, sizeof span);
        memcpy(p->turns + (size_t)at->row * (size_t)D,
               p->rope_table + (size_t)at->position * (size_t)D,
               (size_t)at->rows * (size_t)D * sizeof(float));
    }
    struct view flat = { p->ids, 0, 1, n * SPAN_MEMBERS, n * SPAN_MEMBERS };
    be->upload_ids(be, flat, p->spans);
    p->span = (struct view){ p->ids, 0, n, SPAN_MEMBERS, SPAN_MEMBERS };
    p->rope = (struct view){ p->floats, 0, rows, D, padded(p, D) };
    be->upload(be, p->rope, p->turns);
}

static void check_ids(const struct packed *p, const int32_t *ids, int n)
{
    for (int i = 0; i < n; i++) assert(ids[i] >= 0 && ids[i] < model_shape(p->model)->vocab_size);
    (void)p, (void)ids, (void)n;
}

void packed_run(struct packed *p, const int32_t *ids, const struct packed_piece *piece, int n)
{
    struct model *model = p->model;
    struct backend *be = model->be;
    int rows = count_rows(p, piece, n);
    check_ids(p, ids, rows);
    model_place(model, 1, rows);
    p->piece = piece, p->n_pieces = n;
    upload_pieces(p, piece, n, rows);
    model->at->rope = p->rope;
    be->upload_ids(be, model->at->ids, ids);
    be->embed_forward(
        be, model->at->layer[0].x,
        model_view(model, MODEL_WEIGHTS, layout_slot(&model->layout, SLOT_EMBED, -1)),
        model->at->ids);
    for (int l = 0; l < model_shape(model)->n_layers; l++) block_forward(model, l);
}

void packed_attention(struct packed *p, int layer)
{
    struct backend *be = p->model->be;
    const struct shape *shape = model_shape(p->model);
    const struct layer_views *v = &p->model->at->layer[layer];
    struct attention_shape s = { .q_heads = shape->layer[layer].q_heads,
                                 .kv_heads = shape->layer[layer].kv_heads,
                                 .head_dim = shape->head_dim };
    struct view keys = v->k, values = v->v;
    for (int i = 0; p->store && i < p->n_pieces; i++) {
        const struct packed_piece *at = &p->piece[i];
        be->copy(be, view_rows(p->keys[layer], at->own_at, at->rows),
                 view_rows(v->k, at->row, at->rows));
        be->copy(be, view_rows(p->values[layer], at->own_at, at->rows),
                 view_rows(v->v, at->row, at->rows));
    }
    if (p->store) keys = p->keys[layer], values = p->values[layer];
    be->attention_spans(be, v->att, v->q, keys, values, p->span, s);
}

/* ---- what comes out -------------------------------------------------------------------------- */

/* The rows asked for, behind one another in scratch; runs of them are copied at once. */
static struct view gather(struct packed *p, const int *row, int n)
{
    struct activations *at = p->model->at;
    struct view to = view_rows(at->layer[0].mid, 0, n);
    for (int i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && row[i + run] == row[i] + run;) run++;
        p->model->be->copy(p->model->be, view_rows(to, i, run), view_rows(at->last, row[i], run));
    }
    return to;
}

void packed_logits(struct packed *p, const int *row, int n, packed_see *see, void *user)
{
    struct activations *at = p->model->at;
    assert(n >= 1 && n <= at->rows);
    at->last = gather(p, row, n);
    at->norm = view_rows(at->norm, 0, n);
    at->rstd_last = view_cols(at->rstd_last, 0, n);
    at->rows = n;
    size_t room = (size_t)at->logits.rows * (size_t)at->logits.cols;
    free(p->logits);
    p->logits = malloc(room * sizeof *p->logits);
    if (!p->logits) abort();
    loss_normalise(p->model);
    for (int from = 0, rows; from < n; from += rows) {
        rows = loss_logits_chunk(p->model, from, p->logits);
        see(user, from, rows, p->logits);
    }
}
