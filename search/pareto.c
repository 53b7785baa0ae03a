#include "search/pareto.h"

#include <math.h>
#include <stdlib.h>

struct ranked {
    struct pareto_point at;
    int i;
};

static int by_x_then_y(const void *a, const void *b)
{
    const struct pareto_point *p = &((const struct ranked *)a)->at;
    const struct pareto_point *q = &((const struct ranked *)b)->at;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return (p->y > q->y) - (p->y < q->y);
}

/* From left to right a point is on the front when it is lower than all before it, or the
 * same as the last one that was. */
int pareto_front(const struct pareto_point *points, int n, bool *on_front)
{
    struct ranked *sorted = calloc((size_t)n + 1, sizeof *sorted);
    if (!sorted) abort();
    int m = 0, count = 0;
    for (int i = 0; i < n; i++) {
        on_front[i] = false;
        if (!isnan(points[i].x) && !isnan(points[i].y))
            sorted[m++] = (struct ranked){ points[i], i };
    }
    qsort(sorted, (size_t)m, sizeof *sorted, by_x_then_y);
    struct pareto_point last = { 0, 0 };
    for (int k = 0; k < m; k++) {
        struct pareto_point p = sorted[k].at;
        bool same = count && p.x == last.x && p.y == last.y;
        if (count && !same && p.y >= last.y) continue;
        on_front[sorted[k].i] = true;
        last = p;
        count++;
    }
    free(sorted);
    return count;
}
