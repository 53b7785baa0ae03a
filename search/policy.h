#ifndef SEARCH_POLICY_H
#define SEARCH_POLICY_H

#include "search/search.h"

/*
 * Which unit goes next: the rule at the head of search.h, as a function of the shape, the
 * index maps and the scores. Fills type, unit, layer, n, position, source_index,
 * min_score and runner_up of `out`. False when nothing may be removed.
 *
 * A score that is not a number counts as infinite.
 */
bool policy_choose(const struct search *search, const struct scores *scores, struct removal *out);

/* May anything be removed at all? */
bool policy_can_choose(const struct search *search);

#endif
