/* The update of what remains is the least-squares optimum, and its price is what is predicted. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/rng.h"
#include "tests/support/check.h"
#include "trainer/hessian.h"

enum { INPUTS = 24, TOKENS = 90, ROWS = 7 };

static float x[TOKENS * INPUTS], w[ROWS * INPUTS];

/* Correlated inputs of unequal size: neither independent nor alike. */
static void draw(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < INPUTS; i++)
            x[t * INPUTS + i] =
                (float)(rng_normal(&rng) * (1 + i % 5) + (i ? 0.8 * x[t * INPUTS + i - 1] : 0));
    for (int i = 0; i < ROWS * INPUTS; i++) w[i] = (float)rng_normal(&rng);
}

static void naive(double H[INPUTS][INPUTS])
{
    double mean = 0;
    memset(H, 0, sizeof(double[INPUTS][INPUTS]));
    for (int i = 0; i < INPUTS; i++)
        for (int j = 0; j < INPUTS; j++)
            for (int t = 0; t < TOKENS; t++)
                H[i][j] += 2.0 / TOKENS * x[t * INPUTS + i] * x[t * INPUTS + j];
    for (int i = 0; i < INPUTS; i++) mean += H[i][i] / INPUTS;
    for (int i = 0; i < INPUTS; i++) H[i][i] += 0.01 * mean;
}

/* d H d^T over all rows, d what the update changed. */
static double price(double H[INPUTS][INPUTS], const float *now)
{
    double sum = 0;
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < INPUTS; i++)
            for (int j = 0; j < INPUTS; j++)
                sum += ((double)now[r * INPUTS + i] - w[r * INPUTS + i]) * H[i][j] *
                       ((double)now[r * INPUTS + j] - w[r * INPUTS + j]);
    return sum;
}

static bool is_in(const int *set, int n, int value)
{
    for (int i = 0; i < n; i++)
        if (set[i] == value) return true;
    return false;
}

/* At the optimum the slope along every column that remains is zero. */
static void check_slopes(double H[INPUTS][INPUTS], const float *now, const int *gone, int k)
{
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < INPUTS; c++) {
            double slope = 0, size = 0;
            for (int i = 0; i < INPUTS; i++) {
                double part = ((double)now[r * INPUTS + i] - w[r * INPUTS + i]) * H[i][c];
                slope += part;
                size += fabs(part);
            }
            if (is_in(gone, k, c))
                CHECK(now[r * INPUTS + c] == 0, "column %d stays", c);
            else
                CHECK(fabs(slope) <= 1e-5 * size, "row %d column %d: slope %g of %g", r, c, slope,
                      size);
        }
}

static void check_update(const int *gone, int k, int span)
{
    struct error err = { 0 };
    struct hessian h;
    double H[INPUTS][INPUTS], *solved, *inverse, loss[INPUTS] = { 0 };
    float now[ROWS * INPUTS];
    memcpy(now, w, sizeof now);
    naive(H);
    CHECK_OK(hessian_init(&h, INPUTS, &err), err);
    hessian_add(&h, x, TOKENS / 2); /* in two batches */
    hessian_add(&h, x + TOKENS / 2 * INPUTS, TOKENS - TOKENS / 2);
    CHECK_OK(hessian_solve(&h, gone, k, &solved, &err), err);
    hessian_update(solved, INPUTS, gone, k, now, ROWS);
    check_slopes(H, now, gone, k);
    CHECK_OK(hessian_inverse(&h, &inverse, &err), err);
    hessian_losses(inverse, INPUTS, span, w, ROWS, loss);
    if (k == span) CHECK_NEAR(loss[gone[0] / span], price(H, now), 1e-5 * price(H, now));
    free(solved), free(inverse);
    hessian_release(&h);
}

/* Keeping some inputs, in any order, is as if only they had been seen. */
static void check_keep(void)
{
    static const int index[] = { 5, 0, 23, 7, 2, 11 };
    enum { KEPT = 6 };
    struct error err = { 0 };
    struct hessian all, few;
    static float y[TOKENS * KEPT];
    double a[1 + KEPT * (KEPT + 1) / 2], b[1 + KEPT * (KEPT + 1) / 2];
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < KEPT; i++) y[t * KEPT + i] = x[t * INPUTS + index[i]];
    CHECK_OK(hessian_init(&all, INPUTS, &err), err);
    CHECK_OK(hessian_init(&few, KEPT, &err), err);
    hessian_add(&all, x, TOKENS);
    hessian_add(&few, y, TOKENS);
    hessian_keep(&all, index, KEPT);
    CHECK_INT(hessian_count(&all), hessian_count(&few));
    hessian_get(&all, a);
    hessian_get(&few, b);
    for (int i = 0; i < hessian_count(&few); i++) CHECK_NEAR(a[i], b[i], 1e-2);
    hessian_set(&few, a);
    hessian_fade(&few, 0.5);
    hessian_get(&few, b);
    for (int i = 0; i < hessian_count(&few); i++) CHECK_NEAR(b[i], a[i] / 2, 0);
    hessian_release(&all);
    hessian_release(&few);
}

/* Inputs that were never anything but zero cost nothing and spoil nothing. */
static void check_dead(void)
{
    static const int gone[] = { 3 };
    struct error err = { 0 };
    struct hessian h;
    double *solved;
    float now[ROWS * INPUTS];
    for (int t = 0; t < TOKENS; t++) x[t * INPUTS + 3] = 0;
    memcpy(now, w, sizeof now);
    CHECK_OK(hessian_init(&h, INPUTS, &err), err);
    hessian_add(&h, x, TOKENS);
    CHECK_OK(hessian_solve(&h, gone, 1, &solved, &err), err);
    hessian_update(solved, INPUTS, gone, 1, now, ROWS);
    for (int i = 0; i < ROWS * INPUTS; i++) CHECK_NEAR(now[i], i % INPUTS == 3 ? 0 : w[i], 1e-6);
    x[0] = NAN;
    hessian_add(&h, x, 1);
    free(solved);
    CHECK_INT(hessian_solve(&h, gone, 1, &solved, &err), E_INPUT);
    hessian_release(&h);
}

int main(void)
{
    static const int one[] = { 4 }, last[] = { 23 }, block[] = { 8, 9, 10, 11 },
                     spread[] = { 1, 6, 20 };
    for (uint64_t seed = 1; seed <= 5; seed++) {
        draw(seed);
        check_update(one, 1, 1);
        check_update(last, 1, 1);
        check_update(block, 4, 4);
        check_update(spread, 3, 4);
    }
    check_keep();
    check_dead();
    puts("ok");
    return 0;
}
