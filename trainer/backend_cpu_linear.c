#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <assert.h>
#include <omp.h>

/*
 * The matmuls. The operand that all of a result shares (inputs of a layer; gradients of
 * its outputs) is packed once, by the whole team; then the result is cut into strips, and
 * members take the next strip when they are done with one: a member that the system has
 * put aside for a while costs one strip, not its share. A strip packs its own weights.
 *
 * Strips are cut by size alone: in the widest way that gives a few members an equal share.
 */
enum { MOST_MAPS = 3, N_WIDTHS = 8, ENOUGH_STRIPS = 12, MANY_STRIPS = 40 };
enum { AT_ONCE = 1056, DEEP = 2048 }; /* rows, and columns of many, whose panels are shared */
enum { PACK_ROWS = 48, PACK_COLS = 64 };

static const int widths[N_WIDTHS] = { 320, 256, 192, 128, 96, 64, 48, 32 };

/* The strips of n results, laid end to end. */
struct plan {
    int size[MOST_MAPS], step[MOST_MAPS], n, total;
};

struct strip {
    int map, from, size;
};

static int least(int a, int b) { return a < b ? a : b; }
static int parts(int n, int most) { return (n + most - 1) / most; }

static void cut(struct plan *plan, int width, int unit)
{
    plan->total = 0;
    for (int k = 0; k < plan->n; k++) {
        int even = parts(plan->size[k], parts(plan->size[k], width));
        plan->step[k] = parts(even, unit) * unit;
        plan->total += parts(plan->size[k], plan->step[k]);
    }
}

static void cut_well(struct plan *plan, int unit)
{
    for (int i = 0; i < N_WIDTHS; i++) {
        cut(plan, widths[i], unit);
        if (plan->total >= MANY_STRIPS) break;
        if (plan->total >= ENOUGH_STRIPS && plan->total % 4 == 0) break;
    }
}

/* As many results as maps, cut along their outputs. */
static struct plan plan_of(const struct projection *p, int n, int unit)
{
    struct plan plan = { .n = n };
    assert(n <= MOST_MAPS);
    for (int k = 0; k < n; k++) plan.size[k] = p[k].weight.rows;
    cut_well(&plan, unit);
    return plan;
}

static struct strip strip_of(const struct plan *plan, int i)
{
    int k = 0;
    while (i >= parts(plan->size[k], plan->step[k])) i -= parts(plan->size[k], plan->step[k]), k++;
    int from = i * plan->step[k];
    return (struct strip){ k, from, least(plan->step[k], plan->size[k] - from) };
}

/* Room for what is shared and for each member's own. */
struct desk {
    float *shared, *own;
};

static struct desk desk_of(struct backend *be, size_t shared)
{
    size_t each = GEMM_SCRATCH + (shared / (size_t)be->threads + 16) / 16 * 16;
    float *own = cpu_scratch(be, each);
    return (struct desk){ own + (size_t)be->threads * GEMM_SCRATCH, own };
}

static float *own_scratch(struct desk desk)
{
    return desk.own + (size_t)omp_get_thread_num() * GEMM_SCRATCH;
}

static void pack_rows(struct backend *be, float *to, struct view x)
{
    const struct gemm *gemm = cpu_gemm(be);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < x.rows; i += PACK_ROWS)
        gemm->pack_left(to + (size_t)i * (size_t)x.cols, least(x.rows - i, PACK_ROWS), x.cols,
                        plain(host_row(x, i), x.ld));
}

static void pack_cols(struct backend *be, float *to, struct view x)
{
    const struct gemm *gemm = cpu_gemm(be);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int j = 0; j < x.cols; j += PACK_COLS)
        gemm->pack_right(to + (size_t)j * (size_t)x.rows, x.rows, least(x.cols - j, PACK_COLS),
                         plain(host_row(x, 0) + j, x.ld));
}

/* Part of the rows or columns of a view. */
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
static void forward_row(struct backend *be, const struct projection *p, const struct plan *plan,
                        struct view inp)
{
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < plan->total; i++) {
        struct strip s = strip_of(plan, i);
        const struct projection *map = &p[s.map];
        bool add = prepare(map, 0, 1, s);
        gemm_row(s.size, inp.cols, plain(host_row(inp, 0), inp.ld),
                 transposed(host_row(map->weight, s.from), map->weight.ld),
                 host_row(map->out, 0) + s.from, add);
    }
}

/* Rows from.. of all maps; their inputs are `rows`. */
static void forward_rows(struct backend *be, const struct projection *p, const struct plan *plan,
                         int from, struct view rows, struct desk desk)
{
    const struct gemm *gemm = cpu_gemm(be);
    pack_rows(be, desk.shared, rows);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < plan->total; i++) {
        struct strip s = strip_of(plan, i);
        const struct projection *map = &p[s.map];
        bool add = prepare(map, from, from + rows.rows, s);
        gemm->left_product(rows.rows, s.size, rows.cols, desk.shared,
                           transposed(host_row(map->weight, s.from), map->weight.ld),
                           host_row(map->out, from) + s.from, map->out.ld, add, own_scratch(desk));
    }
}

static void linear_forward(struct backend *be, const struct projection *p, int n, struct view inp)
{
    struct plan plan = plan_of(p, n, cpu_gemm(be)->tile_cols);
    if (inp.rows == 1) {
        forward_row(be, p, &plan, inp);
        return;
    }
    struct desk desk = desk_of(be, gemm_packed_left(least(inp.rows, AT_ONCE), inp.cols));
    for (int from = 0; from < inp.rows; from += AT_ONCE)
        forward_rows(be, p, &plan, from, at_once(inp, from, AT_ONCE), desk);
}

/* d_inp = d_out @ weight, or += when `add`. */
static void input_rows(struct backend *be, struct view d_inp, struct view d_out, struct view weight,
                       bool add, const struct plan *plan, struct desk desk)
{
    const struct gemm *gemm = cpu_gemm(be);
    pack_rows(be, desk.shared, d_out);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < plan->total; i++) {
        struct strip s = strip_of(plan, i);
        gemm->left_product(d_inp.rows, s.size, d_out.cols, desk.shared,
                           plain(host_row(weight, 0) + s.from, weight.ld),
                           host_row(d_inp, 0) + s.from, d_inp.ld, add, own_scratch(desk));
    }
}

static void linear_backward_input(struct backend *be, struct view d_inp, const struct projection *p,
                                  int n)
{
    struct plan plan = { .n = 1, .size = { d_inp.cols } };
    int deepest = 0;
    for (int k = 0; k < n; k++)
        if (p[k].weight.rows > deepest) deepest = p[k].weight.rows;
    cut_well(&plan, cpu_gemm(be)->tile_cols);
    struct desk desk =
        desk_of(be, gemm_packed_left(least(d_inp.rows, AT_ONCE), least(deepest, DEEP)));
    for (int row = 0; row < d_inp.rows; row += AT_ONCE)
        for (int k = 0; k < n; k++)
            for (int from = 0; from < p[k].weight.rows; from += DEEP) {
                struct view weight = at_once(p[k].weight, from, DEEP);
                struct view d_out = view_cols(at_once(p[k].out, row, AT_ONCE), from, weight.rows);
                input_rows(be, at_once(d_inp, row, AT_ONCE), d_out, weight, k || from, &plan, desk);
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
static void weight_rows(struct backend *be, const struct projection *p, const struct plan *plan,
                        int from, struct view rows, bool add, struct desk desk)
{
    const struct gemm *gemm = cpu_gemm(be);
    pack_cols(be, desk.shared, rows);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < plan->total; i++) {
        struct strip s = strip_of(plan, i);
        const struct projection *map = &p[s.map];
        gemm->right_product(s.size, rows.cols, rows.rows,
                            transposed(host_row(map->out, from) + s.from, map->out.ld), desk.shared,
                            rows.rows, host_row(map->weight, s.from), map->weight.ld, add || from,
                            own_scratch(desk));
        if (map->bias.block && !from) bias_strip(map, s, add);
    }
}

static void linear_backward_weight(struct backend *be, const struct projection *p, int n,
                                   struct view inp, bool add)
{
    struct plan plan = plan_of(p, n, cpu_gemm(be)->tile_rows);
    struct desk desk = desk_of(be, gemm_packed(least(inp.rows, AT_ONCE), inp.cols));
    for (int from = 0; from < inp.rows; from += AT_ONCE)
        weight_rows(be, p, &plan, from, at_once(inp, from, AT_ONCE), add, desk);
}

void cpu_linear_functions(struct backend *be)
{
    be->linear_forward = linear_forward;
    be->linear_backward_input = linear_backward_input;
    be->linear_backward_weight = linear_backward_weight;
}
