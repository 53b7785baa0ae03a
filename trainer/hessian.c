#include "trainer/hessian.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK, which OpenBLAS brings along. Matrices are symmetric, so that rows and columns are the
 * same to it; right-hand sides lie one after the other. */
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda,
             double *b, const int *ldb, int *info);
void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);

static const double DAMPING = 0.01;

/* ---- life -------------------------------------------------------------------------------- */

enum status hessian_init(struct hessian *h, int n, struct error *err)
{
    *h = (struct hessian){ .n = n, .sum = calloc((size_t)n * (size_t)n, sizeof(float)) };
    if (h->sum) return OK;
    return fail(err, E_MEMORY, "no memory for the Hessian of %d inputs, %.2f GB", n,
                4e-9 * (double)n * n);
}

void hessian_release(struct hessian *h)
{
    free(h->sum);
    *h = (struct hessian){ 0 };
}

static float *element(const struct hessian *h, int i, int j)
{
    size_t row = (size_t)(i > j ? i : j), col = (size_t)(i > j ? j : i);
    return &h->sum[row * (size_t)h->n + col];
}

void hessian_add(struct hessian *h, const float *x, int rows)
{
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, h->n, rows, 1, x, h->n, 1, h->sum, h->n);
    h->tokens += rows;
}

void hessian_fade(struct hessian *h, double keep)
{
    size_t all = (size_t)h->n * (size_t)h->n;
    for (size_t i = 0; i < all; i++) h->sum[i] = keep == 0 ? 0 : (float)(h->sum[i] * keep);
    h->tokens *= keep;
}

void hessian_keep(struct hessian *h, const int *index, int n)
{
    float *kept = calloc((size_t)n * (size_t)n, sizeof *kept);
    if (!kept) abort();
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            kept[(size_t)i * (size_t)n + (size_t)j] = *element(h, index[i], index[j]);
    free(h->sum);
    h->sum = kept;
    h->n = n;
}

/* ---- for checkpoints ------------------------------------------------------------------------ */

int64_t hessian_count(const struct hessian *h) { return 1 + (int64_t)h->n * (h->n + 1) / 2; }

void hessian_get(const struct hessian *h, double *out)
{
    *out++ = h->tokens;
    for (int i = 0; i < h->n; i++)
        for (int j = 0; j <= i; j++) *out++ = *element(h, i, j);
}

void hessian_set(struct hessian *h, const double *in)
{
    h->tokens = *in++;
    for (int i = 0; i < h->n; i++)
        for (int j = 0; j <= i; j++) *element(h, i, j) = (float)*in++;
}

/* ---- solving -------------------------------------------------------------------------------- */

/* (n, n) in full, damped; where nothing was ever seen, the identity. */
static double *damped(const struct hessian *h)
{
    size_t n = (size_t)h->n;
    double *full = malloc(n * n * sizeof *full), mean = 0;
    if (!full) return NULL;
    double scale = h->tokens > 0 ? 2 / h->tokens : 0;
    for (int i = 0; i < h->n; i++)
        for (int j = 0; j <= i; j++)
            full[(size_t)i * n + (size_t)j] = full[(size_t)j * n + (size_t)i] =
                scale * *element(h, i, j);
    for (size_t i = 0; i < n; i++) mean += full[i * n + i] / (double)n;
    for (size_t i = 0; i < n; i++) full[i * n + i] += mean > 0 ? DAMPING * mean : 1;
    return full;
}

static enum status factor(double **out, const struct hessian *h, struct error *err)
{
    int info = 0;
    *out = damped(h);
    if (!*out) return fail(err, E_MEMORY, "no memory to factor the Hessian of %d inputs", h->n);
    double trace = 0;
    for (int i = 0; i < h->n; i++) trace += (*out)[(size_t)i * (size_t)h->n + (size_t)i];
    if (isfinite(trace)) dpotrf_("L", &h->n, *out, &h->n, &info);
    if (isfinite(trace) && !info) return OK;
    free(*out);
    *out = NULL;
    return fail(err, E_INPUT, "the activations are not finite: no Hessian of %d inputs", h->n);
}

enum status hessian_inverse(const struct hessian *h, double **out, struct error *err)
{
    int info;
    TRY(factor(out, h, err));
    dpotri_("L", &h->n, *out, &h->n, &info);
    for (size_t i = 0, n = (size_t)h->n; i < n; i++) /* LAPACK's lower is our upper triangle */
        for (size_t j = 0; j < i; j++) (*out)[i * n + j] = (*out)[j * n + i];
    return OK;
}

enum status hessian_solve(const struct hessian *h, const int *gone, int k, double **out,
                          struct error *err)
{
    double *factored;
    int info;
    size_t n = (size_t)h->n;
    *out = NULL;
    TRY(factor(&factored, h, err));
    double *z = calloc((size_t)k * n, sizeof *z);
    if (!z) abort();
    for (int i = 0; i < k; i++) z[(size_t)i * n + (size_t)gone[i]] = 1;
    dpotrs_("L", &h->n, &k, factored, &h->n, z, &h->n, &info);
    free(factored);
    *out = z;
    return OK;
}

/* ---- what goes ------------------------------------------------------------------------------- */

/* The factored block Hi_SS: row i of it lies at from + i * ld, its columns at gone[j]. */
static double *factored_block(const double *from, size_t ld, const int *gone, int k)
{
    int info;
    double *block = malloc((size_t)k * (size_t)k * sizeof *block);
    if (!block) abort();
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++)
            block[(size_t)i * (size_t)k + (size_t)j] = from[(size_t)i * ld + (size_t)gone[j]];
    dpotrf_("L", &k, block, &k, &info);
    return block;
}

/* y = B w_S for one row of weights. */
static void weigh(const double *block, const float *w, const int *gone, int k, double *y)
{
    int info, one = 1;
    for (int i = 0; i < k; i++) y[i] = w[gone[i]];
    dpotrs_("L", &k, &one, block, &k, y, &k, &info);
}

static double unit_loss(const double *inverse, int n, const int *gone, int k, const float *w,
                        int rows, double *y)
{
    double *block = factored_block(inverse + (size_t)gone[0] * (size_t)n, (size_t)n, gone, k);
    double loss = 0;
    for (int r = 0; r < rows; r++) {
        const float *row = w + (size_t)r * (size_t)n;
        weigh(block, row, gone, k, y);
        for (int i = 0; i < k; i++) loss += y[i] * row[gone[i]];
    }
    free(block);
    return loss;
}

static void column_losses(const double *inverse, int n, const float *w, int rows, double *loss)
{
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < n; c++) {
            double x = w[(size_t)r * (size_t)n + (size_t)c];
            loss[c] += x * x / inverse[(size_t)c * (size_t)n + (size_t)c];
        }
}

void hessian_losses(const double *inverse, int n, int span, const float *w, int rows, double *loss)
{
    if (span == 1) {
        column_losses(inverse, n, w, rows, loss);
        return;
    }
    int *gone = malloc((size_t)span * sizeof *gone);
    double *y = malloc((size_t)span * sizeof *y);
    if (!gone || !y) abort();
    for (int u = 0; u < n / span; u++) {
        for (int i = 0; i < span; i++) gone[i] = u * span + i;
        loss[u] += unit_loss(inverse, n, gone, span, w, rows, y);
    }
    free(gone);
    free(y);
}

static void update_row(const double *solved, int n, const int *gone, int k, const double *y,
                       float *row)
{
    for (int i = 0; i < k; i++)
        for (int c = 0; c < n; c++)
            row[c] = (float)(row[c] - y[i] * solved[(size_t)i * (size_t)n + (size_t)c]);
    for (int i = 0; i < k; i++) row[gone[i]] = 0;
}

void hessian_update(const double *solved, int n, const int *gone, int k, float *w, int rows)
{
    double *block = factored_block(solved, (size_t)n, gone, k);
    double *y = malloc((size_t)k * sizeof *y);
    if (!y) abort();
    for (int r = 0; r < rows; r++) {
        float *row = w + (size_t)r * (size_t)n;
        weigh(block, row, gone, k, y);
        update_row(solved, n, gone, k, y, row);
    }
    free(block);
    free(y);
}
