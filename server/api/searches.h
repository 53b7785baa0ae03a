#ifndef SERVER_API_SEARCHES_H
#define SERVER_API_SEARCHES_H

struct request;

/*
 * /v1/searches. searches.c shows and lists them and asks things of them; search_create.c
 * makes them; search_shapes.c replays them.
 *
 *     {"name": "...", "dataset": "data_1",
 *      "source": {"shape": {...}, "train": {"tokens": 1000000}} or {"model": "mod_1"},
 *                 or {"architecture": "arch_9"}: its kept weights
 *      "space": {...}, "criterion": {...}, "update": "none", "schedule": {...}, "stop": {...},
 *      "snapshots": {...},                       search/search_options.h
 *      "recover": {"tokens": 500000},            trained on afterwards, 0 by default; the
 *                                                search then leaves a result (job.h)
 *      "recipe": {...}, "seed": 1, ...}          server/api/recipe.h
 *
 * The data set need not be ready: the search waits in the queue until it is, and fails with
 * it. A model must be, since its shape decides whether the search makes sense.
 *
 * fork makes the search with the same body again, save for the members in its own body; within
 * "recipe" each member by itself.
 */
extern const char search_select[]; /* one search by its number as $1 */

void search_create(struct request *req);
void search_fork(struct request *req);
void search_trajectory(struct request *req);
void search_shapes(struct request *req);

#endif
