#include "trainer/bench_profile.h"

#include <stdlib.h>
#include "search/base/clock.h"

/* rows, inputs and outputs are 0 where the operation is no linear map. */
struct entry {
    const char *operation;
    int rows, inputs, outputs, calls;
    double seconds;
};

enum { MOST = 256 }; /* sizes beyond these are left out */

static struct backend plain_functions;
static struct entry entries[MOST];
static int n_entries;

static void note(struct backend *be, struct entry call, double start)
{
    be->finish(be);
    double seconds = clock_seconds() - start;
    struct entry *e = entries;
    while (e < entries + n_entries && (e->operation != call.operation || e->rows != call.rows ||
                                       e->inputs != call.inputs || e->outputs != call.outputs))
        e++;
    if (e == entries + MOST) return;
    if (e == entries + n_entries) entries[n_entries++] = call;
    e->calls++;
    e->seconds += seconds;
}

static struct entry size_of(const char *operation, const struct projection *p, int n, int rows,
                            int inputs)
{
    struct entry e = { operation, rows, inputs, 0, 0, 0 };
    for (int i = 0; i < n; i++) e.outputs += p[i].out.cols;
    return e;
}

static void linear_forward(struct backend *be, const struct projection *p, int n, struct view inp)
{
    double start = clock_seconds();
    plain_functions.linear_forward(be, p, n, inp);
    note(be, size_of("linear_forward", p, n, inp.rows, inp.cols), start);
}

static void linear_backward_input(struct backend *be, struct view d_inp, const struct projection *p,
                                  int n)
{
    double start = clock_seconds();
    plain_functions.linear_backward_input(be, d_inp, p, n);
    note(be, size_of("linear_backward_input", p, n, d_inp.rows, d_inp.cols), start);
}

static void linear_backward_weight(struct backend *be, const struct projection *p, int n,
                                   struct view inp, bool add)
{
    double start = clock_seconds();
    plain_functions.linear_backward_weight(be, p, n, inp, add);
    note(be, size_of("linear_backward_weight", p, n, inp.rows, inp.cols), start);
}

/* Every other operation of a step: its name, parameters and arguments behind `be`. */
#define OPERATIONS(X)                                                                              \
    X(copy, (struct backend * be, struct view a, struct view b), (be, a, b))                       \
    X(zero, (struct backend * be, struct view a), (be, a))                                         \
    X(embed_forward, (struct backend * be, struct view a, struct view b, struct view c),           \
      (be, a, b, c))                                                                               \
    X(embed_backward, (struct backend * be, struct view a, struct view b, struct view c),          \
      (be, a, b, c))                                                                               \
    X(rmsnorm_forward,                                                                             \
      (struct backend * be, struct view a, struct view b, struct view c, struct view d,            \
       double epsilon),                                                                            \
      (be, a, b, c, d, epsilon))                                                                   \
    X(rmsnorm_backward,                                                                            \
      (struct backend * be, struct view a, struct view b, struct view c, struct view d,            \
       struct view f, struct view g, struct view h, bool add),                                     \
      (be, a, b, c, d, f, g, h, add))                                                              \
    X(rope, (struct backend * be, struct view a, struct view b, int head_dim, int direction),      \
      (be, a, b, head_dim, direction))                                                             \
    X(attention_forward,                                                                           \
      (struct backend * be, struct view a, struct view b, struct view c, struct view d,            \
       struct view f, struct attention_shape s),                                                   \
      (be, a, b, c, d, f, s))                                                                      \
    X(attention_backward,                                                                          \
      (struct backend * be, struct view a, struct view b, struct view c, struct view d,            \
       struct view f, struct view g, struct view h, struct view i, struct view k,                  \
       struct attention_shape s),                                                                  \
      (be, a, b, c, d, f, g, h, i, k, s))                                                          \
    X(swiglu_forward, (struct backend * be, struct view a, struct view b, struct view c),          \
      (be, a, b, c))                                                                               \
    X(swiglu_backward, (struct backend * be, struct view a, struct view b, struct view c),         \
      (be, a, b, c))                                                                               \
    X(swiglu_gradient, (struct backend * be, struct view a, struct view b, struct view c),         \
      (be, a, b, c))                                                                               \
    X(cross_entropy,                                                                               \
      (struct backend * be, struct view a, struct view b, struct view c, double scale),            \
      (be, a, b, c, scale))                                                                        \
    X(sum_squares,                                                                                 \
      (struct backend * be, struct block * a, int at, struct block *b, const struct param *c,      \
       int n, double times, bool add),                                                             \
      (be, a, at, b, c, n, times, add))                                                            \
    X(adamw, (struct backend * be, const struct adamw *a), (be, a))

#define TIMED(name, parameters, arguments)                                                         \
    static void timed_##name parameters                                                            \
    {                                                                                              \
        double start = clock_seconds();                                                            \
        plain_functions.name arguments;                                                            \
        note(be, (struct entry){ .operation = #name }, start);                                     \
    }
OPERATIONS(TIMED)

void profile_begin(struct backend *be)
{
    plain_functions = *be;
    n_entries = 0;
    be->linear_forward = linear_forward;
    be->linear_backward_input = linear_backward_input;
    be->linear_backward_weight = linear_backward_weight;
    be->replay_begin = NULL; /* replayed, operations are not called */
#define PUT(name, parameters, arguments)                                                           \
    if (be->name) be->name = timed_##name;
    OPERATIONS(PUT)
}

void profile_end(struct backend *be) { *be = plain_functions; }

static int costlier(const void *a, const void *b)
{
    double x = ((const struct entry *)a)->seconds, y = ((const struct entry *)b)->seconds;
    return (x < y) - (x > y);
}

void profile_report(int steps, struct emit *e)
{
    qsort(entries, (size_t)n_entries, sizeof *entries, costlier);
    emit_key(e, "profile");
    emit_begin(e, '[');
    for (const struct entry *i = entries; i < entries + n_entries; i++) {
        emit_begin(e, '{');
        emit_kv_string(e, "operation", i->operation);
        if (i->rows) {
            emit_kv_int(e, "rows", i->rows);
            emit_kv_int(e, "inputs", i->inputs);
            emit_kv_int(e, "outputs", i->outputs);
        }
        emit_kv_int(e, "calls", i->calls / steps);
        emit_kv_double(e, "ms", 1e3 * i->seconds / steps);
        if (i->rows)
            emit_kv_double(e, "gflops",
                           2e-9 * i->rows * i->inputs * i->outputs * i->calls / i->seconds);
        emit_end(e);
    }
    emit_end(e);
}
