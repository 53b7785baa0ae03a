#ifndef SERVER_API_EXPLAIN_H
#define SERVER_API_EXPLAIN_H

struct request;

/*
 * How a search came to its shapes.
 *
 * GET /v1/searches/{id}/explain: what was noted at every snapshot, in order: quantiles of
 * the scores per type and layer, and the influence of every layer (trainer/explain.h).
 *
 * GET /v1/searches/{id}/stability?against=srch_2&ratio=0.5: how much two searches from one
 * source shape agree when both have come to the ratio, for instance two seeds: for every
 * type the overlap of the surviving units (with what chance would give), and the rank
 * correlation of when units went (search/stability.h; those that survive share the last place).
 */
void search_explain(struct request *req);
void search_stability(struct request *req);

#endif
