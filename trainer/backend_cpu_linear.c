#include "trainer/backend_cpu_desk.h"
#include "trainer/backend_host.h"

/*
 * The matmuls. A result is cut into strips along the longer of its sides, or along the
 * outputs of several maps that share their inputs, and members of the team take the next strip
 * when they are done with one (backend_cpu_strips.h): a member that the system has put aside
 * for a while costs one strip, not its share. The operand of the other side, which every
 * strip reads, is packed once, by all; a strip packs its own part of the one it is cut along.
 */
enum { AT_ONCE = 1056, DEEP = 2048 }; /* rows, and columns of many, whose panels are shared */
enum { SHARED_WEIGHTS = 4 << 20 };    /* floats, at most */

static int least(int a, int b) { return a < b ? a : b; }

static struct operand as_is(struct view x) { return plain(host_row(x, 0), x.ld); }
static struct operand turned(struct view x) { return transposed(host_row(x, 0), x.ld); }

/* Part of the rows of a view. */
static struct view at_once(struct view x, int from, int rows)
{
    return view_rows(x, from, least(rows, x.rows - from));
}

/* Puts what rows from..to-1 of a strip are added to in place; false when there is nothing. */
static bool prepare(const struct projection *p, int from, int to, struct strip s)
{
    size_t bytes = (size_t)s.size * sizeof(float);
    bool base = p->base.block, bias = p->bias.block;
    bool same = base && p->base.block == p->out.block && p->base.at == p->out.at;
    for (int n = from; n < to && (base || bias); n++) {
        float *out = host_row(p->out, n) + s.from;
        if (base && !same) memcpy(out, host_row(p->base, n) + s.from, bytes);
        if (!bias) continue;
        const float *b = host_row(p->bias, 0) + s.from;
        if (!base)
            memcpy(out, b, bytes);
        else
            for (int m = 0; m < s.size; m++) out[m] += b[m];
    }
    return base || bias;
}

/* One token: packing weights would cost more than the product. */
static void forward_row(struct backend *be, const struct projection *p, const struct strips *strips,
                        struct view inp)
{
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < strips->n; i++) {
        struct strip s = strips->at[i];
        const struct projection *map = &p[s.map];
        bool add = prepare(map, 0, 1, s);
        gemm_row(s.size, inp.cols, plain(host_row(inp, 0), inp.ld),
                 transposed(host_row(map->weight, s.from), map->weight.ld),
                 host_row(map->out, 0) + s.from, add);
    }
}

/* Rows from.. of all maps; their inputs are `rows`. */
static void forward_rows(struct backend *be, const struct projection *p,
                         const struct strips *strips, int from, struct view rows, struct desk desk)
{
    const struct gemm *gemm = cpu_gemm(be);
    desk_pack_left(be, desk.shared, rows.rows, rows.cols, as_is(rows));
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < strips->n; i++) {
        struct strip s = strips->at[i];
        const struct projection *map = &p[s.map];
        bool add = prepare(map, from, from + rows.rows, s);
        gemm->left_product(rows.rows, s.size, rows.cols, desk.shared,
                           transposed(host_row(map->weight, s.from), map->weight.ld),
                           host_row(map->out, from) + s.from, map->out.ld, add, desk_own(desk));
    }
}

/* More rows than outputs: the weights are shared. */
static void forward_tall(struct backend *be, const struct projection *p, struct view inp)
{
    const struct gemm *gemm = cpu_gemm(be);
    struct strips strips;
    struct view w = p->weight;
    struct desk desk = desk_of(be, gemm_packed(cpu_gemm(be), w.cols, w.rows));
    desk_cut(be, &strips, inp.rows, gemm->tile_rows);
    desk_pack_right(be, desk.shared, w.cols, w.rows, turned(w));
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < strips.n; i++) {
        struct strip s = strips.at[i];
        bool add = prepare(p, s.from, s.from + s.size, (struct strip){ 0, 0, w.rows });
        gemm->right_product(s.size, w.rows, w.cols, plain(host_row(inp, s.from), inp.ld),
                            desk.shared, w.cols, host_row(p->out, s.from), p->out.ld, add,
                            desk_own(desk));
    }
}

static bool tall(int rows, int cols, int depth)
{
    return rows > cols && (long)cols * depth <= SHARED_WEIGHTS;
}

static void linear_forward(struct backend *be, const struct projection *p, int n, struct view inp)
{
    struct strips strips;
    if (n == 1 && tall(inp.rows, p->weight.rows, inp.cols)) {
        forward_tall(be, p, inp);
        return;
    }
    desk_cut_maps(be, &strips, p, n, cpu_gemm(be)->tile_cols);
    if (inp.rows == 1) {
        forward_row(be, p, &strips, inp);
        return;
    }
    struct desk desk =
        desk_of(be, gemm_packed_left(cpu_gemm(be), least(inp.rows, AT_ONCE), inp.cols));
    for (int from = 0; from < inp.rows; from += AT_ONCE)
        forward_rows(be, p, &strips, from, at_once(inp, from, AT_ONCE), desk);
}

/* d_inp = d_out @ weight, or += when `add`. */
static void input_rows(struct backend *be, struct view d_inp, struct view d_out, struct view weight,
                       bool add, const struct strips *strips, struct desk desk)
{
    const struct gemm *gemm = cpu_gemm(be);
    desk_pack_left(be, desk.shared, d_out.rows, d_out.cols, as_is(d_out));
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < strips->n; i++) {
        struct strip s = strips->at[i];
        gemm->left_product(d_inp.rows, s.size, d_out.cols, desk.shared,
                           plain(host_row(weight, 0) + s.from, weight.ld),
                           host_row(d_inp, 0) + s.from, d_inp.ld, add, desk_own(desk));
    }
}

/* All rows and all maps, the weights of one after the other shared. */
static void input_tall(struct backend *be, struct view d_inp, const struct projection *p, bool add,
                       const struct strips *strips, struct desk desk)
{
    const struct gemm *gemm = cpu_gemm(be);
    struct view w = p->weight;
    desk_pack_right(be, desk.shared, w.rows, w.cols, as_is(w));
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < strips->n; i++) {
        struct strip s = strips->at[i];
        gemm->right_product(s.size, w.cols, w.rows, plain(host_row(p->out, s.from), p->out.ld),
                            desk.shared, w.rows, host_row(d_inp, s.from), d_inp.ld, add,
                            desk_own(desk));
    }
}

static int deepest(const struct projection *p, int n)
{
    int most = 0;
    for (int k = 0; k < n; k++)
        if (p[k].weight.rows > most) most = p[k].weight.rows;
    return most;
}

static void linear_backward_input(struct backend *be, struct view d_inp, const struct projection *p,
                                  int n)
{
    struct strips strips;
    int deep = deepest(p, n);
    if (tall(d_inp.rows, d_inp.cols, deep)) {
        struct desk desk = desk_of(be, gemm_packed(cpu_gemm(be), deep, d_inp.cols));
        desk_cut(be, &strips, d_inp.rows, cpu_gemm(be)->tile_rows);
        for (int k = 0; k < n; k++) input_tall(be, d_inp, &p[k], k > 0, &strips, desk);
        return;
    }
    desk_cut(be, &strips, d_inp.cols, cpu_gemm(be)->tile_cols);
    struct desk desk =
        desk_of(be, gemm_packed_left(cpu_gemm(be), least(d_inp.rows, AT_ONCE), least(deep, DEEP)));
    for (int row = 0; row < d_inp.rows; row += AT_ONCE)
        for (int k = 0; k < n; k++)
            for (int from = 0; from < p[k].weight.rows; from += DEEP) {
                struct view weight = at_once(p[k].weight, from, DEEP);
                struct view d_out = view_cols(at_once(p[k].out, row, AT_ONCE), from, weight.rows);
                input_rows(be, at_once(d_inp, row, AT_ONCE), d_out, weight, k || from, &strips,
                           desk);
            }
}

static void bias_strip(const struct projection *p, struct strip s, bool add)
{
    float *d_bias = host_row(p->bias, 0) + s.from;
    for (int m = 0; m < s.size && !add; m++) d_bias[m] = 0;
    for (int n = 0; n < p->out.rows; n++) {
        const float *d_out = host_row(p->out, n) + s.from;
        for (int m = 0; m < s.size; m++) d_bias[m] += d_out[m];
    }
}

/* What rows from.. of the inputs add. */
static void weight_rows(struct backend *be, const struct projection *p, const struct strips *strips,
                        int from, struct view rows, bool add, struct desk desk)
{
    const struct gemm *gemm = cpu_gemm(be);
    desk_pack_right(be, desk.shared, rows.rows, rows.cols, as_is(rows));
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < strips->n; i++) {
        struct strip s = strips->at[i];
        const struct projection *map = &p[s.map];
        gemm->right_product(s.size, rows.cols, rows.rows,
                            transposed(host_row(map->out, from) + s.from, map->out.ld), desk.shared,
                            rows.rows, host_row(map->weight, s.from), map->weight.ld, add || from,
                            desk_own(desk));
        if (map->bias.block && !from) bias_strip(map, s, add);
    }
}

/* The same for a matrix with more inputs than outputs: d_out is shared. */
static void weight_rows_wide(struct backend *be, const struct projection *p,
                             const struct strips *strips, int from, struct view rows, bool add,
                             struct desk desk)
{
    const struct gemm *gemm = cpu_gemm(be);
    struct view d_out = at_once(p->out, from, rows.rows);
    desk_pack_left(be, desk.shared, d_out.cols, d_out.rows, turned(d_out));
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < strips->n; i++) {
        struct strip s = strips->at[i];
        gemm->left_product(
            d_out.cols, s.size, rows.rows, desk.shared, plain(host_row(rows, 0) + s.from, rows.ld),
            host_row(p->weight, 0) + s.from, p->weight.ld, add || from, desk_own(desk));
    }
    if (p->bias.block && !from) bias_strip(p, (struct strip){ 0, 0, d_out.cols }, add);
}

static void linear_backward_weight(struct backend *be, const struct projection *p, int n,
                                   struct view inp, bool add)
{
    struct strips strips;
    int rows = least(inp.rows, AT_ONCE);
    bool wide = n == 1 && inp.cols > p->weight.rows;
    struct desk desk = desk_of(be, wide ? gemm_packed_left(cpu_gemm(be), p->weight.rows, rows)
                                        : gemm_packed(cpu_gemm(be), rows, inp.cols));
    if (wide)
        desk_cut(be, &strips, inp.cols, cpu_gemm(be)->tile_cols);
    else
        desk_cut_maps(be, &strips, p, n, cpu_gemm(be)->tile_rows);
    for (int from = 0; from < inp.rows; from += AT_ONCE)
        (wide ? weight_rows_wide : weight_rows)(be, p, &strips, from, at_once(inp, from, AT_ONCE),
                                                add, desk);
}

void cpu_linear_functions(struct backend *be)
{
    be->linear_forward = linear_forward;
    be->linear_backward_input = linear_backward_input;
    be->linear_backward_weight = linear_backward_weight;
}
