#ifndef SEARCH_SHARED_INDEX_H
#define SEARCH_SHARED_INDEX_H

#include "search/search.h"

/*
 * The choice of space.index shared: one index of the source for all layers that are not
 * frozen. Since the same indices went before, all layers hold the same ones.
 *
 *     score(i) = mean over the layers of the score of their unit i
 *
 * By query, unit i of a layer is query head i of every KV group, and its score the mean
 * over the groups.
 */
struct shared_pick {
    double score, second; /* the least, and the least of the others (infinite: none) */
    int index;            /* equal scores go by the lower one */
};

/* For heads or ffn. */
struct shared_pick shared_index_pick(const struct search *search, const struct scores *scores,
                                     enum group_type type);

/* Where index i lies in layer l: one position, by query one for each KV group. */
void shared_index_positions(const struct search *search, enum group_type type, int l, int index,
                            int *position);

#endif
