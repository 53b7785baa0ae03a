#ifndef SEARCH_POLICY_H
#define SEARCH_POLICY_H

#include "search/search.h"

/*
 * Which unit goes next: the rule at the head of search.h, as a function of the shape, the
 * index maps and the scores. Fills type, unit, layer, n, position, source_index,
 * min_score and runner_up of `out`. False when nothing may be removed.
 *
 * `stopped`: the search's stop was reached, and only what stop.round_to asks for may go.
 *
 * A score that is not a number counts as infinite.
 */
bool policy_choose(const struct search *search, const struct scores *scores, bool stopped,
                   struct removal *out);

/* May anything be removed at all? */
bool policy_can_choose(const struct search *search, bool stopped);

/* May this type lose a unit: the stem, one of layer l, or (uniform, l = -1) one of every
 * layer that is not frozen? */
bool policy_allows(const struct search *search, bool stopped, enum group_type type, int l);

#endif
