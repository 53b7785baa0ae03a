#include "search/stability.h"

#include <math.h>
#include <stdlib.h>

/* ---- ranks --------------------------------------------------------------------------------- */

struct item {
    double value;
    int i;
};

static int by_value(const void *a, const void *b)
{
    double x = ((const struct item *)a)->value, y = ((const struct item *)b)->value;
    return (x > y) - (x < y);
}

/* rank[i] from 0; equal values share the mean of their places. */
static void rank_of(const double *values, int n, double *rank)
{
    struct item *items = malloc((size_t)n * sizeof *items);
    if (!items) abort();
    for (int i = 0; i < n; i++) items[i] = (struct item){ values[i], i };
    qsort(items, (size_t)n, sizeof *items, by_value);
    for (int from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && items[to].value == items[from].value;) to++;
        for (int k = from; k < to; k++) rank[items[k].i] = (from + to - 1) / 2.0;
    }
    free(items);
}

static double correlation(const double *a, const double *b, int n)
{
    double middle = (n - 1) / 2.0, ab = 0, aa = 0, bb = 0; /* ranks always have this mean */
    for (int i = 0; i < n; i++) {
        ab += (a[i] - middle) * (b[i] - middle);
        aa += (a[i] - middle) * (a[i] - middle);
        bb += (b[i] - middle) * (b[i] - middle);
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

double stability_rank_correlation(const double *a, const double *b, int n)
{
    if (n < 2) return NAN;
    double *ranks = malloc(2 * (size_t)n * sizeof *ranks);
    if (!ranks) abort();
    rank_of(a, n, ranks);
    rank_of(b, n, ranks + n);
    double r = correlation(ranks, ranks + n, n);
    free(ranks);
    return r;
}

/* ---- sets ---------------------------------------------------------------------------------- */

static int by_int(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Both in one sorted list: a common element stands twice. */
double stability_overlap(const int *a, int n_a, const int *b, int n_b)
{
    int n = n_a + n_b, common = 0;
    if (!n) return 1;
    int *all = malloc((size_t)n * sizeof *all);
    if (!all) abort();
    for (int i = 0; i < n; i++) all[i] = i < n_a ? a[i] : b[i - n_a];
    qsort(all, (size_t)n, sizeof *all, by_int);
    for (int i = 1; i < n; i++) common += all[i] == all[i - 1];
    free(all);
    return (double)common / (n - common);
}

double stability_chance_overlap(int n_a, int n_b, int n)
{
    double common = (double)n_a * n_b / n;
    return common / (n_a + n_b - common);
}
