#ifndef SEARCH_SCORING_H
#define SEARCH_SCORING_H

#include <stdbool.h>
#include "search/keep.h"
#include "search/score.h"

struct search;

/*
 * What the score of a unit is: which criterion (criterion.h), and how its raw numbers are
 * reduced over the unit's parameters, made comparable between units of different kinds,
 * and averaged over time.
 *
 *   reduce     sum (default), mean or max over the unit's parameters. max only for
 *              param_first.
 *   normalise  what the reduced number is divided by; the default is the criterion's own:
 *                none
 *                parameter    the unit's parameters; sum and parameter are the mean
 *                flop         FLOPs per token of training that the unit costs at `context`
 *                kv_byte      bytes of KV cache per token that the unit costs; only for a
 *                             space of KV groups alone, for nothing else has any
 *                millisecond  unit_milliseconds: what somebody measured one unit to take
 *                             (heads, ffn: in one layer; stem: in the model); or latency, the
 *                             milliseconds that the model takes with so many units of a type
 *                             in every layer and all else as in the source: a unit then
 *                             costs the slope at the current count, over the layers (the
 *                             lines between the points measured; a slope below 1e-6 is noise
 *                             and counts as 1e-6)
 *                z_score      minus the mean, over the standard deviation, of the units of
 *                             the same type (and layer)
 *                share        for methods that rank inside a type and prune all types alike
 *                             (Wanda-sp and Minitron do by default): the share of the source's
 *                             units of this type (and layer) that is gone, plus at most one
 *                             unit's share by rank. So the type (and layer) that has lost
 *                             least loses next, and its least unit goes
 *   ema        0 (default): a window, the scores of a unit of the schedule are forgotten at
 *              its end. Above 0: they are multiplied by ema then, and go on counting.
 *   abs        before (default): |.| in every step, then the average; after: the average
 *              of w g over the window for every single weight, then |.|; param_first only,
 *              and it costs the trainer one number per weight.
 *   keep       of bypass alone: {"rate", "masks", "learning_rate"}, keep.h
 *   embedding_in_stem  true (default): a stem unit includes its column of the embedding and
 *              of the head, in the sums and in its parameters.
 *
 * JSON (under "criterion"): {"name": "param_first", "reduce": "sum", "normalise":
 * "parameter", "ema": 0.9, "abs": "before", "embedding_in_stem": true, "context": 2048,
 * "unit_milliseconds": {"heads": 0.2, "ffn": 0.004, "stem": 0.02}}; all optional. latency:
 * {"ffn": {"units": [1024, 1280, 1536], "milliseconds": [31.0, 33.5, 36.2]}, "heads": ...},
 * counts ascending; a type without an entry costs what unit_milliseconds says.
 */
enum reduce { REDUCE_SUM, REDUCE_MEAN, REDUCE_MAX };

enum normalise {
    NORMALISE_NONE,
    NORMALISE_PARAMETER,
    NORMALISE_FLOP,
    NORMALISE_KV_BYTE,
    NORMALISE_MILLISECOND,
    NORMALISE_Z_SCORE,
    NORMALISE_SHARE,
};

enum { LATENCY_MAX_POINTS = 32 };

/* What was measured of one type; n is 0 or at least 2. */
struct latency {
    int n, units[LATENCY_MAX_POINTS];
    double milliseconds[LATENCY_MAX_POINTS];
};

struct scoring {
    char name[32]; /* of the criterion */
    enum reduce reduce;
    enum normalise normalise;
    double ema;
    bool abs_after, embedding_in_stem;
    int context;
    double unit_milliseconds[GROUP_TYPES];
    struct latency latency[GROUP_TYPES];
    struct keep_options keep;
};

/* param_first and the defaults. */
void scoring_init(struct scoring *scoring);

/* Reads an object that the caller opened, and ends it. Knows the criteria by name. */
enum status scoring_read(struct scoring *scoring, struct field *f);
void scoring_emit(const struct scoring *scoring, struct emit *e);

/* The score of an entry of the table is (sum - offset) / divisor. */
struct scale {
    double offset, divisor;
};

/* For the entries of a type in layer l. The table fits the search's current shape. */
struct scale scoring_scale(const struct scoring *scoring, const struct search *search,
                           const struct scores *scores, enum group_type type, int l);

#endif
