#ifndef SEARCH_BASE_SAMPLE_H
#define SEARCH_BASE_SAMPLE_H

/*
 * A sample: n measurements of one thing, in any order.
 */

/* Puts it in ascending order. No NaN may be among them. */
void sample_sort(double *x, int n);

/* Sorts it. The mean of the two in the middle where n is even; 0 where it is 0. */
double sample_median(double *x, int n);

#endif
