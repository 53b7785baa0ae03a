#include "search/depth.h"

#include <math.h>

double depth_influence(double sum_of_cosines, double tokens)
{
    return tokens > 0 ? 1 - sum_of_cosines / tokens : 0;
}

double depth_angle(double sum_of_cosines, double tokens)
{
    double mean = tokens > 0 ? sum_of_cosines / tokens : 1;
    return acos(fmax(-1, fmin(1, mean))) / acos(-1);
}

int depth_least_block(const double *angle, int n_layers, int n)
{
    int best = 0;
    for (int l = 1; l + n <= n_layers; l++)
        if (angle[l] < angle[best]) best = l;
    return best;
}
