#include "trainer/backend_cpu.h"
#include "trainer/backend_host.h"

#include <math.h>

/* z: of z_cross_entropy, 0 without. */
static float cross_entropy_row(float *restrict logit, int V, int target, float z, float scale)
{
    float most = logit[0], sum = 0, hit = logit[target];
#pragma omp simd reduction(max : most)
    for (int v = 0; v < V; v++) most = logit[v] > most ? logit[v] : most;
#pragma omp simd reduction(+ : sum)
    for (int v = 0; v < V; v++) sum += logit[v] = cpu_exp(logit[v] - most);
    float log_sum = most + logf(sum), factor = scale / sum * (1 + 2 * z * log_sum);
    if (scale != 0)
        for (int v = 0; v < V; v++) logit[v] *= factor;
    logit[target] -= scale;
    return log_sum - hit + z * log_sum * log_sum;
}

static void z_cross_entropy(struct backend *be, struct view losses, struct view logits,
                            struct view targets, double z, double scale)
{
#pragma omp parallel for num_threads(be->threads) schedule(dynamic, CPU_ROWS)
    for (int n = 0; n < logits.rows; n++) {
        int target = host_ids(targets)[n];
        float *loss = host_row(losses, 0) + n, *logit = host_row(logits, n);
        *loss = 0;
        if (target >= 0)
            *loss = cross_entropy_row(logit, logits.cols, target, (float)z, (float)scale);
        else
            memset(logit, 0, (size_t)logits.cols * sizeof *logit);
    }
}

static void cross_entropy(struct backend *be, struct view losses, struct view logits,
                          struct view targets, double scale)
{
    z_cross_entropy(be, losses, logits, targets, 0, scale);
}

/*
 * The two passes over all parameters. Rows of all tensors, laid end to end, are
 * cut into CPU_PARTS runs of equal numbers of elements, each with its own sums.
 */
struct walk {
    const struct param *param;
    int n_params;
    int64_t from, to; /* elements */
};

static struct walk walk_of(const struct param *param, int n_params, int i)
{
    int64_t total = 0;
    for (int p = 0; p < n_params; p++) total += (int64_t)param[p].rows * param[p].cols;
    return (struct walk){ param, n_params, total * i / CPU_PARTS, total * (i + 1) / CPU_PARTS };
}

/* The rows of a tensor whose first element is in the walk; `start` is the tensor's first. */
static struct cpu_range walk_rows(const struct walk *walk, const struct param *p, int64_t start)
{
    int64_t from = (walk->from - start + p->cols - 1) / p->cols;
    int64_t to = (walk->to - start + p->cols - 1) / p->cols;
    from = walk->from <= start ? 0 : from < p->rows ? from : p->rows;
    to = walk->to <= start ? 0 : to < p->rows ? to : p->rows;
    return (struct cpu_range){ (int)from, (int)to };
}

static struct view view_of(struct block *block, const struct param *p)
{
    return (struct view){ block, p->at, p->rows, p->cols, p->ld };
}

static struct view moments_of(const struct adamw *a, struct block *block, const struct param *p)
{
    return (struct view){ block, p->at - a->moments_at, p->rows, p->cols, p->ld };
}

static double sum_squares_row(const float *g, int n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < n; c++) sum += g[c] * g[c];
    return sum;
}

static double walk_squares(const struct walk *walk, struct block *grads)
{
    double sum = 0;
    int64_t start = 0;
    for (int i = 0; i < walk->n_params; i++) {
        const struct param *p = &walk->param[i];
        struct cpu_range rows = walk_rows(walk, p, start);
        for (int r = rows.from; r < rows.to; r++)
            sum += sum_squares_row(host_row(view_of(grads, p), r), p->cols);
        start += (int64_t)p->rows * p->cols;
    }
    return sum;
}

static void sum_squares(struct backend *be, struct block *sums, int at, struct block *grads,
                        const struct param *param, int n_params, double times, bool add)
{
    double part[CPU_PARTS], total = 0;
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < CPU_PARTS; i++) {
        struct walk walk = walk_of(param, n_params, i);
        part[i] = walk_squares(&walk, grads);
    }
    for (int i = 0; i < CPU_PARTS; i++) total += part[i];
    host_sums(sums)[at] = add ? host_sums(sums)[at] + times * total : times * total;
}

/* The constants of one step, as the loops want them. */
struct factors {
    float scale, keep, beta1, rest1, beta2, rest2, rate, root, epsilon;
};

static struct factors factors_of(const struct adamw *a, bool decay)
{
    double fix1 = 1 - pow(a->beta1, (double)a->step), fix2 = 1 - pow(a->beta2, (double)a->step);
    return (struct factors){ .scale = (float)host_grad_scale(a),
                             .keep = (float)(decay ? 1 - a->lr * a->weight_decay : 1),
                             .beta1 = (float)a->beta1,
                             .rest1 = (float)(1 - a->beta1),
                             .beta2 = (float)a->beta2,
                             .rest2 = (float)(1 - a->beta2),
                             .rate = (float)(a->lr / fix1),
                             .root = (float)(1 / sqrt(fix2)),
                             .epsilon = (float)a->epsilon };
}

static void adamw_row(float *restrict w, const float *restrict g, float *restrict m,
                      float *restrict v, int n, const struct factors *restrict factors)
{
    struct factors f = *factors;
#pragma omp simd
    for (int c = 0; c < n; c++) {
        float grad = g[c] * f.scale;
        m[c] = f.beta1 * m[c] + f.rest1 * grad;
        v[c] = f.beta2 * v[c] + f.rest2 * grad * grad;
        w[c] = w[c] * f.keep - f.rate * m[c] / (sqrtf(v[c]) * f.root + f.epsilon);
    }
}

/* The same with |w g| on the way: added to col[c], its sum over the row returned. */
static float adamw_row_saliency(float *restrict w, const float *restrict g, float *restrict m,
                                float *restrict v, float *restrict col, int n,
                                const struct factors *restrict factors)
{
    struct factors f = *factors;
    float row = 0;
#pragma omp simd reduction(+ : row)
    for (int c = 0; c < n; c++) {
        float grad = g[c] * f.scale, saliency = fabsf(w[c] * g[c]);
        row += saliency;
        col[c] += saliency;
        m[c] = f.beta1 * m[c] + f.rest1 * grad;
        v[c] = f.beta2 * v[c] + f.rest2 * grad * grad;
        w[c] = w[c] * f.keep - f.rate * m[c] / (sqrtf(v[c]) * f.root + f.epsilon);
    }
    return row;
}

/* Adds the columns' sums to the part's own and clears them. Rows between two calls are few, so
 * that single precision is enough for them. */
static void flush_columns(const struct param *p, float *col, double *sums)
{
    if (p->col_sum >= 0 && p->col_span == 1) {
        for (int c = 0; c < p->cols; c++) sums[p->col_sum + c] += col[c];
    } else if (p->col_sum >= 0) {
        for (int c = 0; c < p->cols; c++) sums[p->col_sum + c / p->col_span] += col[c];
    }
    memset(col, 0, (size_t)p->cols * sizeof *col);
}

enum { FLUSH_ROWS = 64 };

static void adamw_rows(const struct adamw *a, const struct param *p, struct cpu_range rows,
                       float *col, double *sums)
{
    struct factors f = factors_of(a, p->decay);
    struct view w = view_of(a->weights, p), g = view_of(a->grads, p);
    struct view m = moments_of(a, a->m, p), v = moments_of(a, a->v, p);
    for (int r = rows.from; r < rows.to; r++) {
        if (!sums) {
            adamw_row(host_row(w, r), host_row(g, r), host_row(m, r), host_row(v, r), p->cols, &f);
            continue;
        }
        float row = adamw_row_saliency(host_row(w, r), host_row(g, r), host_row(m, r),
                                       host_row(v, r), col, p->cols, &f);
        if (p->row_sum >= 0) sums[p->row_sum + r / p->row_span] += row;
        if (r % FLUSH_ROWS == FLUSH_ROWS - 1 || r + 1 == rows.to) flush_columns(p, col, sums);
    }
}

static void walk_adamw(const struct adamw *a, const struct walk *walk, float *col, double *sums)
{
    int64_t start = 0;
    for (int i = 0; i < walk->n_params; i++) {
        const struct param *p = &walk->param[i];
        adamw_rows(a, p, walk_rows(walk, p, start), col, sums);
        start += (int64_t)p->rows * p->cols;
    }
}

static size_t widest(const struct adamw *a)
{
    int most = 0;
    for (int i = 0; i < a->n_params; i++)
        if (a->param[i].cols > most) most = a->param[i].cols;
    return ((size_t)most + 31) / 16 * 16;
}

static void adamw(struct backend *be, const struct adamw *step)
{
    if (isnan(host_grad_scale(step))) return;
    step->weights->stale = true;
    size_t width = widest(step), stride = ((size_t)step->n_sums + 7) / 8 * 8;
    float *cols = cpu_scratch(be, CPU_PARTS * width);
    double *parts = step->sums ? cpu_sums(be, CPU_PARTS * stride) : NULL;
    memset(cols, 0, CPU_PARTS * width * sizeof *cols);
#pragma omp parallel for num_threads(be->threads) schedule(dynamic)
    for (int i = 0; i < CPU_PARTS; i++) {
        struct walk walk = walk_of(step->param, step->n_params, i);
        walk_adamw(step, &walk, cols + (size_t)i * width,
                   parts ? parts + (size_t)i * stride : NULL);
    }
    for (int i = 0; parts && i < CPU_PARTS; i++)
        for (int s = 0; s < step->n_sums; s++)
            host_sums(step->sums)[s] += parts[(size_t)i * stride + (size_t)s];
}

void cpu_step_functions(struct backend *be)
{
    be->cross_entropy = cross_entropy;
    be->z_cross_entropy = z_cross_entropy;
    be->sum_squares = sum_squares;
    be->adamw = adamw;
}
