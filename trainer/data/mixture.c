#include "trainer/data/mixture.h"

#include <math.h>

static const double SHARE_OF_ALL = 1e-4;

void mixture_update(const struct mixture *m, const double *loss, double *weight)
{
    double sum = 0, most = -INFINITY;
    for (int d = 0; d < m->n; d++) most = fmax(most, loss[d] - m->target[d]);
    for (int d = 0; d < m->n; d++) {
        weight[d] *= exp(loss[d] - m->target[d] - most);
        sum += weight[d];
    }
    for (int d = 0; d < m->n; d++)
        weight[d] = (1 - SHARE_OF_ALL) * weight[d] / sum + SHARE_OF_ALL / m->n;
}
