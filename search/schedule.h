#ifndef SEARCH_SCHEDULE_H
#define SEARCH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include "search/group.h"
#include "search/space.h"

/*
 * When a choice is due. Training never pauses; only choosing does.
 *
 *     |-- source's training --|-- warm-up, W steps --|-- unit, N steps --|-- unit --| ...
 *     0                   start_step                              ^ choice   ^ choice
 *
 * After the warm-up time runs in units of N steps. Each unit that ends pays in
 * `channels_per_unit` (c) credits; a removal costs its type's credit; choices are made
 * at the end of a unit, one after the other, while the balance is positive:
 *
 *     balance = c * units ended - credits spent
 *
 * So with c = 1 and credits head_dim / 1 / 2 an FFN channel goes per unit, and a head is
 * followed by head_dim - 1 units without a choice. This is EfficientLLM's pace: at
 * the moment when the last removal is paid for,
 *
 *     steps = W + N * ((F0 - F) + head_dim (H0 - H) + 2 (d0 - d))   (methods.md, 1.2)
 *
 * The position in the schedule is a function of (step, credits spent): nothing else
 * needs to be remembered across a restart.
 *
 * credits: 0 means the rule: heads head_dim, ffn 1, stem 2; in scope per_layer, where
 * the first two live in one layer, a stem channel costs 2 * layers.
 * fit_steps: when not 0, N and c follow from the number of steps the pruning
 * should take: with U the credits a proportional descent to the target would spend,
 * N = floor(steps / U), and if that is 0, N = 1 and c = ceil(U / steps).
 *
 * rounds: when not 0, the pace of pruning after training instead: k units, and at the end of
 * unit i as many removals as bring the parameters to
 *     P_source - (P_source - P_target) * i / k,
 * with no credits. k = 1 is one shot. Needs a stop by ratio or params.
 * calibration_steps: when not 0, only the last so many steps of a unit count for the scores;
 * the others let the model recover from the round before. Not with ema.
 *
 * JSON: {"warmup_steps": 500, "steps_per_unit": 9, "channels_per_unit": 1,
 *        "credits": {"heads": 64, "ffn": 1, "stem": 2}} or {"fit_steps": 2000}, or
 *        {"rounds": 4, "steps_per_unit": 300, "calibration_steps": 20}; all optional.
 */
struct schedule {
    int64_t warmup_steps;         /* default 500 */
    int64_t steps_per_unit;       /* N, default 1 */
    int64_t channels_per_unit;    /* c, default 1 */
    int64_t credits[GROUP_TYPES]; /* default 0: by the rule */
    int64_t fit_steps;            /* default 0: off */
    int64_t rounds;               /* default 0: off */
    int64_t calibration_steps;    /* default 0: all steps of the unit */
};

void schedule_init(struct schedule *schedule);

/* Reads an object that the caller opened, and ends it. */
enum status schedule_read(struct schedule *schedule, struct field *f);
void schedule_emit(const struct schedule *schedule, struct emit *e);

/* What one removal of a type costs. */
int64_t schedule_credit(const struct schedule *schedule, const struct shape *source,
                        enum scope scope, enum group_type type);

/* Units that have ended `step` steps after the schedule's start (0 in the warm-up). */
int64_t schedule_units(const struct schedule *schedule, int64_t step);

/* Is a step that begins there among those of its unit whose scores count? */
bool schedule_calibrates(const struct schedule *schedule, int64_t step);

/* Does a unit end exactly there? */
bool schedule_unit_ends(const struct schedule *schedule, int64_t step);

#endif
