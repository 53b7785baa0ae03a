#ifndef SERVER_API_SUBJECT_H
#define SERVER_API_SUBJECT_H

#include "search/base/field.h"
#include "search/shape.h"
#include "server/api/ask.h"

/*
 * What is exported or evaluated: in a body exactly one of
 *
 *     "run": "run_3"             its weights, once it has succeeded
 *     "architecture": "arch_9"   the weights its search kept there, if it did
 *     "model": "mod_1"           the model as it was imported
 *
 * subject_read, then subject_find, which calls `found` or replies: what does not exist is 422, a
 * model whose shape is not known (it is not imported yet, or could not be) is 409.
 */
enum subject_kind { SUBJECT_RUN, SUBJECT_ARCHITECTURE, SUBJECT_MODEL, SUBJECT_KINDS };

extern const char *const subject_members[]; /* "run", "architecture", "model", NULL */

struct subject {
    enum subject_kind kind;
    const char *number; /* in its id */

    struct request *req;
    void (*found)(struct subject *subject);
    void *data;

    /* found: */
    struct shape shape;
    bool has_weights;
    const char *state;   /* of a run or a model */
    const char *nearest; /* "arch_5 (ratio 0.100), ..." that have weights, or "" */
};

void subject_read(struct subject *subject, struct field *body);
void subject_find(struct subject *subject);

/* The reply when weights are needed and not there: 409, and what to do instead. */
void subject_refuse(const struct subject *subject);

/* Members run_id, architecture_id, model_id and shape_hash of an open object. */
void subject_emit(const struct subject *subject, struct emit *e);

/* Filters of a listing of a table aliased x: query members run, architecture and model. */
#define SUBJECT_FILTERS                                                                            \
    { "run", "x.run_id = @::bigint", .prefix = "run" },                                            \
    { "architecture", "x.architecture_id = @::bigint", .prefix = "arch" },                         \
    { "model", "x.model_id = @::bigint", .prefix = "mod" }

/* The columns that show it, of a table aliased x. */
#define SUBJECT_COLUMNS                                                                            \
    "subject_of(x.run_id, x.architecture_id, x.model_id) as subject, 'run_' || x.run_id as run,"   \
    " 'arch_' || x.architecture_id as architecture, 'mod_' || x.model_id as model, x.shape_hash"

#endif
