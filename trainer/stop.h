#ifndef TRAINER_STOP_H
#define TRAINER_STOP_H

#include <stdbool.h>

/*
 * How a trainer is asked to stop: SIGTERM and SIGINT, or nobody reading our events
 * any more. Whoever works in steps asks stop_wanted() between them, puts away what
 * it has and ends with E_CANCELLED, which is exit code 75.
 */
void stop_install(void); /* signal handlers; ignores SIGPIPE and SIGXFSZ */
bool stop_wanted(void);

/* Asks, and ends the process if that has not happened `seconds` later. */
void stop_within(unsigned seconds);

#endif
