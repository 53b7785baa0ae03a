#ifndef SEARCH_PARETO_H
#define SEARCH_PARETO_H

#include <stdbool.h>

/*
 * The Pareto front of points with two costs, both the smaller the better (negate what
 * should be large). A point is on the front when no other is at least as good in both and
 * better in one; equal points are on it together. Points with a NAN are never on it.
 */
struct pareto_point {
    double x, y;
};

/* Sets on_front[i] for every point; returns how many are on it. O(n log n). */
int pareto_front(const struct pareto_point *points, int n, bool *on_front);

#endif
