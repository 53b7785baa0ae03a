#ifndef SEARCH_STABILITY_H
#define SEARCH_STABILITY_H

/*
 * How much two searches agree, for instance two seeds of one.
 */

/* Spearman's rank correlation of two lists of n numbers, ties at their mean rank: 1 the same
 * order, -1 the opposite; NAN when n < 2 or one list is all the same. */
double stability_rank_correlation(const double *a, const double *b, int n);

/* Overlap of two sets of surviving source indices, each without repetition: common over all. */
double stability_overlap(const int *a, int n_a, const int *b, int n_b);

/* The overlap to expect of two sets of these sizes drawn at random from n units (common taken
 * at its mean n_a n_b / n). */
double stability_chance_overlap(int n_a, int n_b, int n);

#endif
