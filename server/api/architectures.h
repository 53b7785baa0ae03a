#ifndef SERVER_API_ARCHITECTURES_H
#define SERVER_API_ARCHITECTURES_H

#include <libpq-fe.h>
#include "search/base/emit.h"
#include "server/api/replay.h"

/*
 * /v1/architectures: every removal of every search is one, and the source is ordinal 0.
 * Their rows are stored; shapes are replayed when asked for.
 */

/* The columns that lists, items of /shapes and single architectures share, of architecture a
 * and search s (all null for one that was brought in). */
#define ARCHITECTURE_COLUMNS                                                                       \
    "a.ordinal, a.step, a.tokens, a.ratio, a.type, a.params as \"totals.params\","                 \
    " a.params_non_embedding as \"totals.params_non_embedding\","                                  \
    " a.flops_per_token as \"totals.flops_per_token\","                                            \
    " a.kv_bytes_per_token as \"totals.kv_bytes_per_token\","                                      \
    " coalesce(s.context, a.context) as \"totals.context\","                                       \
    " a.shape_hash, case when a.snapshot is null then 'none' else 'snapshot' end as weights"

#define ARCHITECTURE_LISTED                                                                        \
    "'arch_' || a.architecture_id as id, a.name, 'srch_' || a.search_id as "                       \
    "search, " ARCHITECTURE_COLUMNS

struct request;
void architecture_list(struct request *req);
void architecture_create(struct request *req); /* import */
void architecture_config(struct request *req); /* /config?format= */
void architecture_diff(struct request *req);   /* /diff?against= */

/* Members "shape" and "human_shape" (null where the source cannot be scaled to that size). */
void architecture_emit_shapes(const struct replay *replay, struct emit *e);

#endif
