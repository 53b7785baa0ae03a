#include "trainer/activations.h"

/* Rows of logits at a time: at least this many (fewer cost speed), more while the backend likes. */
enum { CHUNK_ROWS = 256 };

/* Hands out a block from front to back. */
struct shelf {
    struct block *block;
    size_t at;
    int multiple;
};

/* What is left of a block of gradients, handed out from back to front. */
struct loan {
    struct block *block;
    size_t from, to;
};

static int least(int a, int b) { return a < b ? a : b; }
static int padded(int cols, int multiple) { return (cols + multiple - 1) / multiple * multiple; }

static struct view take(struct shelf *shelf, int rows, int cols)
{
    int ld = padded(cols, shelf->multiple);
    struct view view = { shelf->block, shelf->at, rows, cols, ld };
    shelf->at += (size_t)rows * (size_t)ld;
    return view;
}

struct places {
    struct activations *a;
    const struct shape *shape;
    const struct activations_room *room;
    struct shelf *main, *floats;
    struct loan loan;
    int logits_rows;     /* at most, of any call */
    size_t wide, narrow; /* where the scratch for d_act and for d_q, d_k, d_v starts */
};

/* What a layer keeps: on loan until something does not fit, so that a smaller shape or batch never
 * needs more beside it. */
static struct view take_kept(struct places *p, int cols)
{
    int rows = p->a->rows, ld = padded(cols, p->main->multiple);
    size_t n = (size_t)rows * (size_t)ld;
    if (p->loan.to - p->loan.from < n) {
        p->loan.to = p->loan.from;
        return take(p->main, rows, cols);
    }
    p->loan.to -= n;
    return (struct view){ p->loan.block, p->loan.to, rows, cols, ld };
}

/* Matrices side by side, each starting at a multiple: how wide all of them are, and where. */
static int width_of(int multiple, int n, const int *cols)
{
    int all = 0;
    for (int i = 0; i < n; i++) all += padded(cols[i], multiple);
    return all;
}

static void cut(struct view whole, int multiple, int n, struct view **to, const int *cols)
{
    for (int i = 0, at = 0; i < n; at += padded(cols[i++], multiple))
        *to[i] = view_cols(whole, at, cols[i]);
}

struct qkv {
    int cols[3];
};

static struct qkv qkv_of(const struct shape *shape, int l)
{
    int nq = shape->layer[l].q_heads * shape->head_dim;
    int nk = shape->layer[l].kv_heads * shape->head_dim;
    return (struct qkv){ { nq, nk, nk } };
}

/* What is each layer's own under KEEP_ALL and KEEP_OUTPUTS. */
static void place_kept(struct places *p, int l)
{
    struct layer_views *v = &p->a->layer[l];
    const struct layer_shape *at = &p->shape->layer[l];
    int N = p->a->rows, C = p->shape->hidden_size, multiple = p->main->multiple;
    struct qkv qkv = qkv_of(p->shape, l);
    cut(take_kept(p, width_of(multiple, 3, qkv.cols)), multiple, 3,
        (struct view *[]){ &v->q, &v->k, &v->v }, qkv.cols);
    v->att = take_kept(p, at->q_heads * p->shape->head_dim);
    v->mid = take_kept(p, C);
    cut(take_kept(p, width_of(multiple, 2, (int[]){ at->ffn, at->ffn })), multiple, 2,
        (struct view *[]){ &v->gate, &v->up }, (int[]){ at->ffn, at->ffn });
    if (p->a->keep == KEEP_OUTPUTS) {
        v->norm_attn = take_kept(p, C);
        v->norm_ffn = take_kept(p, C);
        v->act = take_kept(p, at->ffn);
    }
    v->rstd_attn = take(p->floats, 1, N);
    v->rstd_ffn = take(p->floats, 1, N);
    v->lse = take(p->floats, p->a->batch * at->q_heads, p->a->time);
}

static void place_scratch(struct places *p, int l)
{
    struct layer_views *v = &p->a->layer[l];
    int N = p->a->rows, multiple = p->main->multiple;
    struct qkv qkv = qkv_of(p->shape, l);
    struct shelf wide = { p->main->block, p->wide, p->main->multiple };
    struct shelf narrow = { p->main->block, p->narrow, p->main->multiple };
    v->d_act = take(&wide, N, p->shape->layer[l].ffn);
    if (p->a->keep != KEEP_OUTPUTS) v->act = v->d_act, v->norm_attn = v->norm_ffn = p->a->norm;
    wide.at = p->wide;
    v->d_att = take(&wide, N, p->shape->layer[l].q_heads * p->shape->head_dim);
    cut(take(&narrow, N, width_of(multiple, 3, qkv.cols)), multiple, 3,
        (struct view *[]){ &v->d_q, &v->d_k, &v->d_v }, qkv.cols);
}

/* Every layer starts at the same place; nothing of it is on loan. */
static void place_together(struct places *p)
{
    struct shelf main = *p->main, floats = *p->floats;
    p->loan.to = p->loan.from;
    for (int l = 0; l < p->shape->n_layers; l++) {
        struct shelf most_main = *p->main, most_floats = *p->floats;
        *p->main = main, *p->floats = floats;
        place_kept(p, l);
        if (p->main->at < most_main.at) p->main->at = most_main.at;
        if (p->floats->at < most_floats.at) p->floats->at = most_floats.at;
    }
}

/* From the last layer down, as the gradients are written. */
static void place_layers(struct places *p)
{
    struct activations *a = p->a;
    int C = p->shape->hidden_size;
    struct view x = a->last = take(p->main, a->rows, C);
    for (int l = p->shape->n_layers - 1; l >= 0; l--) {
        struct layer_views *v = &a->layer[l];
        if (p->room->lent) {
            size_t end = layout_layer_at(p->room->lent, l);
            if (p->loan.to > end) p->loan.to = end;
        }
        v->y = x;
        if (a->keep != KEEP_NONE) x = take_kept(p, C);
        v->x = x;
        if (a->keep >= KEEP_ALL) place_kept(p, l);
    }
    if (a->keep < KEEP_ALL) place_together(p);
}

static int widest_qkv(const struct shape *shape, int multiple)
{
    int most = 0;
    for (int l = 0; l < shape->n_layers; l++) {
        int width = width_of(multiple, 3, qkv_of(shape, l).cols);
        if (most < width) most = width;
    }
    return most;
}

static int widest_act(const struct shape *shape)
{
    int most = 0;
    for (int l = 0; l < shape->n_layers; l++) {
        int q = shape->layer[l].q_heads * shape->head_dim, f = shape->layer[l].ffn;
        if (most < (q > f ? q : f)) most = q > f ? q : f;
    }
    return most;
}

/* Scratch wide enough for every layer. No layer is at work while there are logits: unless these are
 * on loan, they lie in the same place as what is a layer's alone. */
static void place_shared(struct places *p)
{
    struct activations *a = p->a;
    int C = p->shape->hidden_size, multiple = p->main->multiple;
    a->norm = take(p->main, a->rows, C);
    a->d_norm = take(p->main, a->rows, C);
    a->rstd_last = take(p->floats, 1, a->rows);
    a->losses = take(p->floats, 1, a->rows);
    if (a->keep != KEEP_NONE) a->d_x = take(p->main, a->rows, C);
    struct shelf logits = *p->main;
    p->wide = take(p->main, a->rows, widest_act(p->shape)).at;
    if (a->keep != KEEP_NONE)
        p->narrow = take(p->main, a->rows, widest_qkv(p->shape, multiple)).at;
    if (a->logits.rows) return;
    a->logits = take(&logits, least(p->logits_rows, a->rows), p->shape->vocab_size);
    if (p->main->at < logits.at) p->main->at = logits.at;
}

/* The gradients of the layers, and of a table that the LM head does not write, are not needed
 * before a layer goes back, nor are logits after that. Whether they fit there does not depend on
 * the call. */
static void open_loan(struct places *p)
{
    const struct layout *lent = p->room->lent;
    bool tied = p->shape->tie_word_embeddings;
    int V = p->shape->vocab_size, ld = padded(V, p->main->multiple);
    size_t logits = (size_t)p->logits_rows * (size_t)ld;
    p->a->logits = (struct view){ 0 };
    p->a->lent = lent != NULL;
    if (!lent) return;
    p->loan = (struct loan){ p->room->gradients, tied ? layout_layer_at(lent, 0) : 0,
                             layout_layer_at(lent, p->shape->n_layers) };
    if (p->loan.to - p->loan.from < logits) return;
    p->loan.to -= logits;
    int rows = least(p->logits_rows, p->a->rows);
    p->a->logits = (struct view){ p->loan.block, p->loan.to, rows, V, ld };
}

static int most_logits_rows(const struct activations_room *room, const struct backend *be, int V)
{
    int rows = (int)(be->logits_at_once / (size_t)V);
    return least(rows < CHUNK_ROWS ? CHUNK_ROWS : rows, room->max_batch * room->max_time);
}

struct activations_sizes activations_place(struct activations *a, const struct shape *shape,
                                           const struct activations_room *room,
                                           const struct backend *be, int batch, int time)
{
    struct shelf main = { room->activations, 0, be->multiple },
                 floats = { room->floats, 0, be->multiple };
    struct shelf ids = { room->ids, 0, be->multiple };
    struct places places = { .a = a,
                             .shape = shape,
                             .room = room,
                             .main = &main,
                             .floats = &floats,
                             .logits_rows = most_logits_rows(room, be, shape->vocab_size) };
    a->batch = batch, a->time = time, a->rows = batch * time, a->keep = room->keep;
    a->rope = view_rows(take(&floats, room->max_time, shape->head_dim), 0, time);
    a->ids = take(&ids, 1, a->rows);
    a->targets = take(&ids, 1, a->rows);
    open_loan(&places);
    place_layers(&places);
    place_shared(&places);
    for (int l = 0; l < shape->n_layers; l++) place_scratch(&places, l);
    return (struct activations_sizes){ main.at, floats.at, ids.at };
}
