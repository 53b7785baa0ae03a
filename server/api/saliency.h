#ifndef SERVER_API_SALIENCY_H
#define SERVER_API_SALIENCY_H

struct request;

/*
 * GET /v1/searches/{id}/saliency?x=ordinal|step|tokens&max_points=1000: the lowest score of
 * every type at each decision, over the trajectory; the type with the lowest went.
 *
 *     {"x": "ordinal", "series": [{"key": "heads", "points": [[1, 2.6e-4], ...]}, ...]}
 */
void search_saliency(struct request *req);

#endif
