#ifndef SERVER_API_ESTIMATE_H
#define SERVER_API_ESTIMATE_H

#include "search/search.h"
#include "server/api/recipe.h"

struct request;

/*
 * The reply to a dry run: what it would take, made of counts and of one measurement.
 *
 *     {"dry_run": true, "params", "tokens", "steps", "flops", "memory_bytes", "seconds",
 *      "flops_per_second"}
 *
 * flops counts every token at the source's cost, so a search takes less. memory_bytes is
 * weights, gradients and both moments (16 bytes a parameter) and the activations of one
 * batch. seconds follows from the rate of the last job that trained here, flops_per_second;
 * both are null when none did.
 */
void estimate_search(struct request *req, const struct search *search,
                     const struct training *training);

void estimate_run(struct request *req, const struct shape *shape, int64_t tokens, int n_runs,
                  const struct training *training);

/* Bytes that training a shape holds. */
int64_t estimate_memory(const struct shape *shape, const struct recipe *recipe);

#endif
