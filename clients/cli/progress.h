#ifndef CLIENTS_CLI_PROGRESS_H
#define CLIENTS_CLI_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "search/base/buf.h"

/*
 * Where something that is being watched stands: fed with the resource as the
 * service describes it and with events as they come, printed as lines for people.
 * No clocks and no connections here. Numbers that are not known are NaN.
 *
 * Removals are counted by type from their ordinals: event n+1 after n counts,
 * one at or below n is old, and one beyond n+1 means that some were missed:
 * `behind` turns true, and the owner reads the trajectory from ordinal n+1 on
 * and feeds it to progress_removal before going on.
 */
enum progress_type { PROGRESS_HEADS, PROGRESS_FFN, PROGRESS_STEM, PROGRESS_TYPES };

extern const char *const progress_type_names[PROGRESS_TYPES + 1];

struct progress {
    char id[64], name[128], state[24], phase[24], reason[256];
    double step, tokens, tokens_planned, loss, validation_loss, tokens_per_second;
    double params, params_source, stop_params, eta_seconds;
    double done, total; /* of a dataset */
    int64_t ordinal;    /* the last removal counted */
    int64_t removed[PROGRESS_TYPES];
    double min_score[PROGRESS_TYPES]; /* at the last removal */
    bool is_search, behind;
    bool changed; /* state or phase, since progress_line was last asked for */
};

void progress_init(struct progress *p, bool is_search);

/* The resource (GET /v1/searches/{id}, /runs/{id}, ...). */
void progress_resource(struct progress *p, json_t *resource);

/* An event by its name. The members stand in `data` itself. */
void progress_event(struct progress *p, const char *name, json_t *data);

/* A removal, from an event or the trajectory. */
void progress_removal(struct progress *p, json_t *removal);

bool progress_is_over(const struct progress *p);

/* 0..1 of the phase under way (training the source; pruning; a run's tokens); NaN unknown. */
double progress_share(const struct progress *p);

/* One line for logs, without the newline. */
void progress_line(struct progress *p, struct buf *out);

/* A few lines with a bar, for a screen of `columns`. */
void progress_block(const struct progress *p, int columns, bool utf8, struct buf *out);

#endif
