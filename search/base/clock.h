#ifndef SEARCH_BASE_CLOCK_H
#define SEARCH_BASE_CLOCK_H

#include <stdint.h>

/*
 * How long something took: a clock that is never set and only goes forward (CLOCK_MONOTONIC).
 * Only differences of it mean anything.
 */
int64_t clock_ns(void);
double clock_seconds(void);

#endif
