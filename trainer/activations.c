#include "trainer/activations.h"

/* Rows of logits at a time: at least this many (fewer cost speed), more while the backend likes. */
enum { CHUNK_ROWS = 256 };

/* Hands out a block from front to back. */
struct shelf {
    struct block *block;
    size_t at;
    int multiple;
};

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
    struct shelf *main, *floats;
    size_t logits_at_once;
    size_t wide, narrow; /* where the scratch for d_act and for d_q, d_k, d_v starts */
};

/* Matrices side by side: rows of all of them together, each starting at a multiple. */
static void take_beside(struct shelf *shelf, int rows, int n, struct view **to, const int *cols)
{
    int all = 0;
    for (int i = 0; i < n; i++) all += padded(cols[i], shelf->multiple);
    struct view whole = take(shelf, rows, all);
    for (int i = 0, at = 0; i < n; at += padded(cols[i++], shelf->multiple))
        *to[i] = view_cols(whole, at, cols[i]);
}

static void take_qkv(struct shelf *shelf, int rows, const struct shape *shape, int l,
                     struct view *q, struct view *k, struct view *v)
{
    int nq = shape->layer[l].q_heads * shape->head_dim;
    int nk = shape->layer[l].kv_heads * shape->head_dim;
    take_beside(shelf, rows, 3, (struct view *[]){ q, k, v }, (int[]){ nq, nk, nk });
}

/* What is each layer's own under KEEP_ALL and KEEP_OUTPUTS. */
static void place_kept(struct places *p, int l)
{
    struct layer_views *v = &p->a->layer[l];
    const struct layer_shape *at = &p->shape->layer[l];
    int N = p->a->rows;
    take_qkv(p->main, N, p->shape, l, &v->q, &v->k, &v->v);
    v->att = take(p->main, N, at->q_heads * p->shape->head_dim);
    v->mid = take(p->main, N, p->shape->hidden_size);
    take_beside(p->main, N, 2, (struct view *[]){ &v->gate, &v->up }, (int[]){ at->ffn, at->ffn });
    if (p->a->keep == KEEP_OUTPUTS) {
        v->norm_attn = take(p->main, N, p->shape->hidden_size);
        v->norm_ffn = take(p->main, N, p->shape->hidden_size);
        v->act = take(p->main, N, at->ffn);
    }
    v->rstd_attn = take(p->floats, 1, N);
    v->rstd_ffn = take(p->floats, 1, N);
    v->lse = take(p->floats, p->a->batch * at->q_heads, p->a->time);
}

static void place_scratch(struct places *p, int l)
{
    struct layer_views *v = &p->a->layer[l];
    int N = p->a->rows;
    struct shelf wide = { p->main->block, p->wide, p->main->multiple };
    struct shelf narrow = { p->main->block, p->narrow, p->main->multiple };
    v->d_act = take(&wide, N, p->shape->layer[l].ffn);
    if (p->a->keep != KEEP_OUTPUTS) v->act = v->d_act, v->norm_attn = v->norm_ffn = p->a->norm;
    wide.at = p->wide;
    v->d_att = take(&wide, N, p->shape->layer[l].q_heads * p->shape->head_dim);
    take_qkv(&narrow, N, p->shape, l, &v->d_q, &v->d_k, &v->d_v);
}

static void place_layers(struct places *p)
{
    struct activations *a = p->a;
    int L = p->shape->n_layers, C = p->shape->hidden_size;
    struct view x = take(p->main, a->rows, C);
    for (int l = 0; l < L; l++) {
        struct layer_views *v = &a->layer[l];
        v->x = x;
        if (a->keep != KEEP_NONE) x = take(p->main, a->rows, C);
        v->y = x;
        if (a->keep >= KEEP_ALL) place_kept(p, l);
    }
    a->last = x;
    if (a->keep >= KEEP_ALL) return;
    struct shelf main = *p->main, floats = *p->floats; /* shared: every layer starts here */
    for (int l = 0; l < L; l++) {
        struct shelf most_main = *p->main, most_floats = *p->floats;
        *p->main = main, *p->floats = floats;
        place_kept(p, l);
        if (p->main->at < most_main.at) p->main->at = most_main.at;
        if (p->floats->at < most_floats.at) p->floats->at = most_floats.at;
    }
}

static int widest_qkv(const struct shape *shape, int multiple)
{
    int most = 0;
    for (int l = 0; l < shape->n_layers; l++) {
        int q = padded(shape->layer[l].q_heads * shape->head_dim, multiple);
        int k = padded(shape->layer[l].kv_heads * shape->head_dim, multiple);
        if (most < q + 2 * k) most = q + 2 * k;
    }
    return most;
}

/* Scratch wide enough for every layer. */
static void place_shared(struct places *p)
{
    struct activations *a = p->a;
    const struct shape *shape = p->shape;
    int wide = 0, C = shape->hidden_size, multiple = p->main->multiple;
    for (int l = 0; l < shape->n_layers; l++) {
        int q = shape->layer[l].q_heads * shape->head_dim, f = shape->layer[l].ffn;
        if (wide < (q > f ? q : f)) wide = q > f ? q : f;
    }
    p->wide = take(p->main, a->rows, wide).at;
    a->norm = take(p->main, a->rows, C);
    a->d_norm = take(p->main, a->rows, C);
    a->rstd_last = take(p->floats, 1, a->rows);
    a->losses = take(p->floats, 1, a->rows);
    if (a->keep != KEEP_NONE) {
        p->narrow = take(p->main, a->rows, widest_qkv(shape, multiple)).at;
        a->d_x = take(p->main, a->rows, C);
    }
    int rows = (int)(p->logits_at_once / (size_t)shape->vocab_size);
    if (rows < CHUNK_ROWS) rows = CHUNK_ROWS;
    a->logits = take(p->main, rows < a->rows ? rows : a->rows, shape->vocab_size);
}

struct activations_sizes activations_place(struct activations *a, const struct shape *shape,
                                           struct activations_blocks blocks,
                                           const struct backend *be, int batch, int time,
                                           int max_time, enum activations_keep keep)
{
    struct shelf main = { blocks.activations, 0, be->multiple },
                 floats = { blocks.floats, 0, be->multiple };
    struct shelf ids = { blocks.ids, 0, be->multiple };
    struct places places = { .a = a,
                             .shape = shape,
                             .main = &main,
                             .floats = &floats,
                             .logits_at_once = be->logits_at_once };
    a->batch = batch, a->time = time, a->rows = batch * time, a->keep = keep;
    a->rope = view_rows(take(&floats, max_time, shape->head_dim), 0, time);
    a->ids = take(&ids, 1, a->rows);
    a->targets = take(&ids, 1, a->rows);
    place_layers(&places);
    place_shared(&places);
    for (int l = 0; l < shape->n_layers; l++) place_scratch(&places, l);
    return (struct activations_sizes){ main.at, floats.at, ids.at };
}
