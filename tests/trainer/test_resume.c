/* A search or training that is killed again and again ends as the undisturbed one: the same
 * removals, the same shape, the same losses to the bit. */
#include "tests/trainer/program.h"

#define SMALL_SHAPE_MODEL "{\"shape\":" SMALL_SHAPE "}"
#define SEARCH                                                                                     \
    ",\"budget\":{\"tokens\":640},\"search\":{\"schedule\":{\"warmup_steps\":4,\"steps_per_"       \
    "unit\":3,"                                                                                    \
    "\"channels_per_unit\":4},\"stop\":{\"ratio\":0.5},\"snapshots\":{\"ratios\":[0.2,0.4]}},"     \
    "\"validation\":{\"every_steps\":10,\"tokens\":512},\"checkpoint\":{\"every_steps\":5,"        \
    "\"keep\":2}"
/* As above, in another way of choosing: `more` are further members of the options. */
#define SEARCH_BY(more)                                                                            \
    ",\"budget\":{\"tokens\":640},\"search\":{\"schedule\":{\"warmup_steps\":4,\"steps_per_"       \
    "unit\":7,\"channels_per_unit\":12},\"stop\":{\"ratio\":0.4},\"snapshots\":{\"ratios\":[0.2]}" \
    "," more                                                                                       \
    "},\"validation\":{\"every_steps\":10,\"tokens\":512},\"checkpoint\":{\"every_steps\":"        \
    "3,\"keep\":2}"
#define FLAP_AND_OBS "\"criterion\":{\"name\":\"flap\",\"ema\":0.5},\"update\":\"obs\""
#define MEAN_PER_LAYER                                                                             \
    "\"criterion\":{\"name\":\"param_first\",\"abs\":\"after\"},\"space\":{\"scope\":\"per_"       \
    "layer\"}"
#define TRAIN                                                                                      \
    ",\"budget\":{\"tokens\":32000},\"validation\":{\"every_steps\":10,\"tokens\":512},"           \
    "\"checkpoint\":{\"every_steps\":30,\"keep\":1}"

#define TARGETS ",\"weights\":{\"a\":1,\"b\":1},\"target_losses\":{\"a\":1.0,\"b\":3.0}"

/* Everything of the event but when and how fast it was told. */
static char *essence(const json_t *event)
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
static const json_t *counterpart(const struct program *whole, const json_t *event, const char *key)
{
    for (int i = 0; i < whole->n; i++)
        if (event_is(whole->event[i], event_string(event, "event")) &&
            event_int(whole->event[i], key) == event_int(event, key))
            return whole->event[i];
    return NULL;
}

static void same(const struct program *whole, const json_t *event, const char *key)
{
    const json_t *twin = counterpart(whole, event, key);
    CHECK(twin, "only after a resume: %s", essence(event));
    char *a = essence(twin), *b = essence(event);
    CHECK_STR(b, a);
    free(a), free(b);
}

/* Every removal, snapshot, validation and the end are what the undisturbed run told. */
static int compare(const struct program *whole, const struct program *part)
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

static unsigned next_random(unsigned *x) { return (*x = *x * 1664525u + 1013904223u) >> 8; }

/* Kills the job after some of its events and a little while; 0 when it got to its end. */
static bool disturb(const char *job, const struct program *whole, unsigned *x)
{
    struct program p;
    program_start(&p, job, 0);
    for (unsigned n = 1 + next_random(x) % 16; n && program_next(&p); n--) {
    }
    usleep(next_random(x) % 4000);
    kill(p.pid, SIGKILL);
    int status = program_wait(&p);
    CHECK(status == 128 + SIGKILL || status == 0, "ended with %d", status);
    compare(whole, &p);
    program_release(&p);
    return status != 0;
}

/* `job` gives the job for a folder. */
static void kill_and_compare(const char *(*job_in)(const char *dir), unsigned x)
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

/* Two domains whose mixture follows their losses; the state of the mixture survives too. */
static void make_two_domains(void)
{
    char job[2048];
    struct program p;
    snprintf(job, sizeof job,
             "{\"schema\":\"lathe.job/1\",\"kind\":\"dataset\",\"work_dir\":\"%s/"
             "data\",\"name\":\"two\","
             "\"files\":[{\"path\":\"%s/text.jsonl\",\"format\":\"jsonl\",\"domain\":\"a\"},"
             "{\"path\":\"%s/text.jsonl\",\"format\":\"jsonl\",\"domain\":\"b\"}],"
             "\"tokenizer\":{\"kind\":\"bytes\"},\"validation_fraction\":0.3}",
             world, world, world);
    CHECK_INT(program_run(&p, job), 0);
    program_release(&p);
}

static const char *search_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH);
}

static const char *flap_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH_BY(FLAP_AND_OBS));
}

static const char *mean_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH_BY(MEAN_PER_LAYER));
}

static const char *train_job(const char *dir)
{
    return small_job("train", dir, SMALL_SHAPE_MODEL, TRAIN);
}

static const char *mixed_job(const char *dir)
{
    static char job[8192];
    static const char tail[] = "data/result\"";
    snprintf(job, sizeof job, "%s", small_job("train", dir, SMALL_SHAPE_MODEL, TRAIN));
    char *at = strstr(job, tail) + strlen(tail);
    memmove(at + strlen(TARGETS), at, strlen(at) + 1);
    memcpy(at, TARGETS, strlen(TARGETS));
    return job;
}

static void clear(void)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s/whole %s/killed", world, world);
    CHECK(!system(command), "%s", command);
}

int main(void)
{
    world_make();
    kill_and_compare(search_job, 1);
    clear();
    kill_and_compare(search_job, 2);
    clear();
    kill_and_compare(train_job, 3);
    clear();
    kill_and_compare(flap_job, 5);
    clear();
    kill_and_compare(mean_job, 6);
    clear();
    make_two_domains();
    kill_and_compare(mixed_job, 4);
    world_remove();
    puts("ok");
    return 0;
}
