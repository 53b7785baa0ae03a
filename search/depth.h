#ifndef SEARCH_DEPTH_H
#define SEARCH_DEPTH_H

/*
 * Depth scores (methods.md, section 16). Depth is not pruned here; the scores are reported.
 * The trainer adds, over tokens t, the cosines of the residual stream before and after
 * layers; h[l] is the stream that enters layer l, h[n_layers] the one that leaves the last.
 */

/* Block influence of one layer, 1 - mean cos(h[l], h[l + 1]): 0 changes nothing. */
double depth_influence(double sum_of_cosines, double tokens);

/* Angular distance across a block of layers, arccos(mean cos(h[l], h[l + n])) / pi. */
double depth_angle(double sum_of_cosines, double tokens);

/* Where the block of n layers with the least angle starts; angle[l] spans l .. l + n - 1. */
int depth_least_block(const double *angle, int n_layers, int n);

#endif
