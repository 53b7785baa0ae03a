#ifndef SERVER_API_ORIGIN_H
#define SERVER_API_ORIGIN_H

#include "server/api/ask.h"
#include "server/api/recipe.h"
#include "server/api/replay.h"

/*
 * Where a run or a comparison comes from: an architecture with its shape, its search's
 * recipe and data set, and the data set that is to be used. One question to PostgreSQL.
 */
struct origin {
    struct request *req;
    const char *architecture, *dataset; /* numbers, as asked; either may be NULL */
    void (*found)(struct origin *origin);
    void *data;

    /* found: */
    bool has_architecture;
    struct replay replay; /* shape: of the architecture */
    const char *recipe;   /* JSON of the search's, or NULL */
    bool has_weights;
    const char *nearest;   /* "arch_5 (ratio 0.100), ..." that do, or "" */
    int64_t search_tokens; /* tokens its search had seen by then */
    const char *data_id;   /* number of the data set in force */
    int vocab_size;        /* of the data set, 0 when not known yet */
};

/* Looks it up and calls found, or replies: what does not exist is 422, a data set that failed
 * is 409. */
void origin_find(struct origin *origin);

/* The reply for weights that are not there: 409 with the nearest that are. */
void origin_refuse_inherit(const struct origin *origin, const char *pointer);

/* A vocabulary too small for the data set; false when it replied. */
bool origin_vocabulary_fits(const struct origin *origin, const struct shape *shape);

#endif
