#ifndef TRAINER_HESSIAN_H
#define TRAINER_HESSIAN_H

#include <stdint.h>
#include "search/base/error.h"

/*
 * The Hessian of a linear map's squared output error in its inputs, H = (2 / t) X^T X over
 * the t inputs seen, and what follows when some of n inputs go (optimal brain surgeon,
 * methods.md 1.5.2). Before use 1 % of the mean of its diagonal is added to the diagonal.
 *
 * With Hi = H^-1, S the inputs that go and B = (Hi_SS)^-1, the remaining columns of W
 * that serve best are those of W - W_S B Hi_S, and the loss grows by the sum over rows
 * of (W_S B) . W_S. Pure host arithmetic; nothing here knows models.
 *
 * Weights are dense (rows, n), row-major.
 */
struct hessian {
    int n;
    float *sum; /* X^T X, (n, n); only elements (i, j) with j <= i mean something */
    double tokens;
};

/* Zero. E_MEMORY. */
enum status hessian_init(struct hessian *h, int n, struct error *err);
void hessian_release(struct hessian *h);

/* Adds x (rows, n), dense. */
void hessian_add(struct hessian *h, const float *x, int rows);

/* Multiplies sums and tokens; 0 clears. */
void hessian_fade(struct hessian *h, double keep);

/* Input i becomes what input index[i] was; n of them stay. */
void hessian_keep(struct hessian *h, const int *index, int n);

/* H^-1 with the damping, (n, n); the caller frees. E_INPUT when H is not finite. */
enum status hessian_inverse(const struct hessian *h, double **out, struct error *err);

/* loss[u] += what it costs to lose inputs u * span .. u * span + span - 1 of `w`, for each
 * of the n / span units. `inverse` is hessian_inverse's. */
void hessian_losses(const double *inverse, int n, int span, const float *w, int rows, double *loss);

/* The rows of H^-1 for the `k` inputs `gone`: (k, n), the caller frees. */
enum status hessian_solve(const struct hessian *h, const int *gone, int k, double **out,
                          struct error *err);

/* Updates `w`; its columns `gone` become 0. `solved` is hessian_solve's. */
void hessian_update(const double *solved, int n, const int *gone, int k, float *w, int rows);

/* Everything as doubles, for a checkpoint: how many, get, and set on one of the same n. */
int64_t hessian_count(const struct hessian *h);
void hessian_get(const struct hessian *h, double *out);
void hessian_set(struct hessian *h, const double *in);

#endif
