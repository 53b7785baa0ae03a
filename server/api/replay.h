#ifndef SERVER_API_REPLAY_H
#define SERVER_API_REPLAY_H

#include "search/human.h"
#include "search/search_options.h"
#include "server/pg/pg_query.h"

/*
 * The shape after the first n removals of a search. How wide a layer is depends only on how
 * many removals of each kind it saw, not on their order, so PostgreSQL counts them and the
 * source is narrowed by the counts:
 *
 *     [{"type": "ffn", "layer": -1, "unit": null, "n": 112}, {"type": "heads", ...}, ...]
 *
 * (REPLAY_COUNTS is that expression for table architecture a.) The result is checked
 * against the hash that was stored with the removal: a replay that differs is an error.
 */
#define REPLAY_COUNTS(search, above, upto)                                                         \
    "(select coalesce(json_agg(c), '[]') from (select type, layer, unit, count(*)::int as n"       \
    "   from architecture where search_id = " search " and ordinal > " above                       \
    "    and ordinal <= " upto " and ordinal > 0 group by type, layer, unit) c)"

/* What it starts from: the search's source, or the shape that was brought in. */
#define REPLAY_SOURCE  "coalesce(s.source_shape, a.shape)"
#define REPLAY_OPTIONS "coalesce(s.options, '{\"stop\": {\"ratio\": 0.5}}')"

struct replay {
    struct shape source, shape;
    struct search_options options;
};

/* Reads the stored source and options; the shape is the source's. */
enum status replay_open(struct replay *replay, const char *source, const char *options,
                        struct error *err);

/* Narrows the shape by `n` removals of a kind: `layer` -1 for those that span all. */
void replay_narrow(struct replay *replay, int type, bool by_query, int layer, int n);

/* Compares the shape with a stored hash; E_DB when it differs. */
enum status replay_check(const struct replay *replay, const char *hash, struct error *err);

/* Narrows the shape by counts, and compares with the stored hash; E_DB when it differs. */
enum status replay_apply(struct replay *replay, const char *counts, const char *hash,
                         struct error *err);

#endif
