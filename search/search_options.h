#ifndef SEARCH_SEARCH_OPTIONS_H
#define SEARCH_SEARCH_OPTIONS_H

#include "search/schedule.h"
#include "search/scoring.h"
#include "search/space.h"

/*
 * Everything that a person decides about a search.
 *
 *     {"space": {...}, "criterion": {"name": "param_first", ...}, "update": "none",
 *      "schedule": {...}, "stop": {"ratio": 0.7}, "snapshots": {"ratios": [0.1, 0.5]}}
 *
 * space: space.h, criterion: scoring.h, schedule: schedule.h.
 * update: what happens to the weights that remain: none (default); obs, the trainer's
 * least-squares update of the matrices that lose inputs; or bias, FLAP's compensation:
 * what goes is made up for by its mean, in biases of Wo and Wdown that the model then has
 * from the start (search_source), at zero if the source had none.
 * `stop` is required and has exactly one member: params (the first removal with
 * P <= params ends the search), ratio (the same with P <= P_source - ratio * P_source),
 * tokens or steps (counted from the start of the warm-up; the source's own training is
 * not in it). A search also ends when every type is at its floor.
 * stop.round_to (8, 32, 64, 128 or 256; none by default): after the stop the search goes
 * on, at the same pace, taking FFN and stem channels until their counts are multiples of
 * it, as far as the floors allow. Heads are not rounded.
 * snapshots.ratios: ascending, each above 0 and below 1, at most SEARCH_MAX_SNAPSHOTS.
 *
 * Two members are no option but follow from the job; whoever opens a search sets them:
 * start_step, how many steps the source trains before the warm-up, and
 * tokens_per_step. With tokens_per_step 0 the schedule is unknown: such a search can
 * replay removals but checks nothing about their steps and tokens.
 */
enum { SEARCH_MAX_SNAPSHOTS = 64 };

enum stop_kind { STOP_PARAMS, STOP_RATIO, STOP_TOKENS, STOP_STEPS };

enum update { UPDATE_NONE, UPDATE_OBS, UPDATE_BIAS };

struct search_stop {
    enum stop_kind kind;
    double ratio;  /* kind STOP_RATIO */
    int64_t count; /* the other kinds */
    int round_to;  /* 0: not */
};

struct search_options {
    struct space space;
    struct scoring scoring; /* the trainer knows which criteria it can feed */
    enum update update;
    struct schedule schedule;
    struct search_stop stop;
    int n_snapshots;
    double snapshots[SEARCH_MAX_SNAPSHOTS];
    int64_t start_step, tokens_per_step; /* of the job, not in JSON */
};

/* Defaults, and stop at ratio 0.5. */
void search_options_init(struct search_options *options);

/* What the options make of a model before it is searched: the shape to open a search with. */
void search_source(const struct search_options *options, struct shape *source);

/* Reads an object that the caller opened, and ends it. */
enum status search_options_read(struct search_options *options, struct field *f);

/* One object that reads back as the same options. */
void search_options_emit(const struct search_options *options, struct emit *e);

#endif
