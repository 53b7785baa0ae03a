#ifndef TRAINER_DATA_LOOSE_JSON_H
#define TRAINER_DATA_LOOSE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include "search/base/error.h"

/*
 * JSON of corpora and benchmarks, which other people's programs wrote. More is let pass than
 * field_parse does, as Python's json lets it: of members of one name the last counts, nesting may
 * be 2048 deep, and these are mended:
 *
 *     NaN, Infinity, -Infinity, numbers beyond int64 and double    null
 *     half of a surrogate pair (\ud83d)                            \ufffd
 *
 * `flags` are jansson's, as JSON_ALLOW_NUL. The caller decrefs the result; NULL on failure.
 * `*mended` says whether the text itself is not JSON.
 */
json_t *loose_json_parse(const char *text, size_t len, size_t flags, bool *mended,
                         struct error *err);

#endif
