#ifndef TESTS_TRAINER_KILLING_H
#define TESTS_TRAINER_KILLING_H

/* A job that is killed again and again must end as the undisturbed one: the same removals, the
 * same shape, the same losses to the bit. */
#include "tests/trainer/program.h"

#define SMALL_SHAPE_MODEL "{\"shape\":" SMALL_SHAPE "}"

/* Everything of the event but when and how fast it was told. */
static inline char *essence(const json_t *event)
{
    json_t *copy = json_deep_copy(event);
    json_object_del(copy, "seq");
    json_object_del(copy, "time");
    json_object_del(copy, "tokens_per_second");
    char *text = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return text;
}

/* The event in `whole` with the same name and the same number under `key`. */
static inline const json_t *counterpart(const struct program *whole, const json_t *event,
                                        const char *key)
{
    for (int i = 0; i < whole->n; i++)
        if (event_is(whole->event[i], event_string(event, "event")) &&
            event_int(whole->event[i], key) == event_int(event, key))
            return whole->event[i];
    return NULL;
}

static inline void same(const struct program *whole, const json_t *event, const char *key)
{
    const json_t *twin = counterpart(whole, event, key);
    CHECK(twin, "only after a resume: %s", essence(event));
    char *a = essence(twin), *b = essence(event);
    CHECK_STR(b, a);
    free(a), free(b);
}

/* Every removal, snapshot, validation and the end are what the undisturbed run told. */
static inline int compare(const struct program *whole, const struct program *part)
{
    int n = 0;
    for (int i = 0; i < part->n; i++) {
        const json_t *event = part->event[i];
        bool removal = event_is(event, "removal"), snapshot = event_is(event, "snapshot");
        if (removal || snapshot || event_is(event, "explain"))
            same(whole, event, "ordinal");
        else if (event_is(event, "validation") || event_is(event, "done"))
            same(whole, event, "step");
        else
            continue;
        n++;
    }
    return n;
}

static inline unsigned next_random(unsigned *x) { return (*x = *x * 1664525u + 1013904223u) >> 8; }

/* Kills the job after some of its events and a little while; 0 when it got to its end. */
static inline bool disturb(const char *job, const struct program *whole, unsigned *x)
{
    struct program p;
    program_start(&p, job, 0);
    for (unsigned n = 1 + next_random(x) % 16; n && program_next(&p); n--) {
    }
    usleep(next_random(x) % 4000);
    program_kill(&p, SIGKILL);
    int status = program_wait(&p);
    CHECK(status == 128 + SIGKILL || status == 0, "ended with %d", status);
    compare(whole, &p);
    program_release(&p);
    return status != 0;
}

/* `job` gives the job for a folder. */
static inline void kill_and_compare(const char *(*job_in)(const char *dir), unsigned x)
{
    char job[8192];
    struct program whole, p;
    CHECK_INT(program_run(&whole, job_in("whole")), 0);
    snprintf(job, sizeof job, "%s", job_in("killed"));
    int kills = 0;
    while (kills < 4 && disturb(job, &whole, &x)) kills++;
    CHECK(kills > 2, "only %d kills before the end", kills);
    CHECK_INT(program_run(&p, job), 0);
    CHECK(compare(&whole, &p) > 0, "nothing compared");
    CHECK(program_last(&p, "done"), "no end");
    program_release(&p);
    program_release(&whole);
}

static inline void clear(void)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s/whole %s/killed", world, world);
    CHECK(!system(command), "%s", command);
}

#endif
