#include "search/base/sample.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sample_sort(double *x, int n)
{
    if (n > 0) qsort(x, (size_t)n, sizeof *x, ascending);
}

double sample_median(double *x, int n)
{
    if (n < 1) return 0;
    sample_sort(x, n);
    return (x[(n - 1) / 2] + x[n / 2]) / 2;
}
