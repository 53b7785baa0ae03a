#include "server/jobs/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include "server/jobs/work_dir.h"

void verdict_set(struct verdict *verdict, const char *how, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(verdict->why, sizeof verdict->why, fmt, args);
    va_end(args);
    verdict->how = how;
}

static void crashed(struct verdict *verdict, const struct child_end *end, const char *said)
{
    verdict_set(verdict, "crash", "the trainer ended %s %d%s%s",
                end->signal ? "by signal" : "with exit status",
                end->signal ? end->signal : end->exit_status, *said ? ": " : "", said);
}

void verdict_of_end(struct verdict *verdict, const struct child_end *end, const char *work_dir,
                    const char *last_words)
{
    int status = end->signal ? -1 : end->exit_status;
    if (status == 0)
        verdict_set(verdict, "done", "the trainer ended without a done event");
    else if (end->stopped)
        verdict_set(verdict, "again", "stopped; it goes on from its checkpoint");
    else if (status != 2 && work_dir_is_full(work_dir))
        verdict_set(verdict, "full",
                    "the disk is full; it goes on from its checkpoint once there is room");
    else if (status == 75)
        verdict_set(verdict, "again", "the trainer asked to be started again");
    else if (status == 2)
        verdict_set(verdict, "bad_input", "the trainer did not accept its job");
    else
        crashed(verdict, end, last_words);
}
