#ifndef SERVER_API_RUNS_H
#define SERVER_API_RUNS_H

#include "search/base/emit.h"
#include "search/shape.h"
#include "server/api/recipe.h"

/*
 * /v1/runs: training of one shape.
 *
 *     {"name": "...", "architecture": "arch_9" or "shape": {...}, "init": "inherit" | "reinit",
 *      "dataset": "data_1", "budget": {"tokens": 1000000}, "recipe": {...}, "seed": 1, ...}
 *
 * An architecture brings its search's data set and recipe along; a body says what differs.
 * inherit needs the weights to be kept at that architecture.
 */
extern const char *const run_inits[]; /* "inherit", "reinit", NULL */

struct run_plan {
    const char *name, *architecture, *dataset; /* numbers; architecture NULL: none */
    int init;                                  /* index of run_inits */
    struct shape shape;
    int64_t budget_tokens;
    struct training training;
};

/* The object that run_create (sql/0004) takes. */
void run_emit(const struct run_plan *run, struct emit *e);

#endif
