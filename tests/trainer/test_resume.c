/* A search or training that is killed again and again ends as the undisturbed one: the same
 * removals, the same shape, the same losses to the bit. */
#include "tests/trainer/killing.h"

#define SEARCH                                                                                     \
    ",\"budget\":{\"tokens\":640},\"search\":{\"schedule\":{\"warmup_steps\":4,\"steps_per_"       \
    "unit\":3,"                                                                                    \
    "\"channels_per_unit\":4},\"stop\":{\"ratio\":0.5},\"snapshots\":{\"ratios\":[0.2,0.4]}},"     \
    "\"validation\":{\"every_steps\":10,\"tokens\":512},\"checkpoint\":{\"every_steps\":5,"        \
    "\"keep\":2}"
#define TRAIN                                                                                      \
    ",\"budget\":{\"tokens\":32000},\"validation\":{\"every_steps\":10,\"tokens\":512},"           \
    "\"checkpoint\":{\"every_steps\":30,\"keep\":1}"

#define TARGETS ",\"weights\":{\"a\":1,\"b\":1},\"target_losses\":{\"a\":1.0,\"b\":3.0}"

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

/* Adapters beside the model that the training above made: their moments survive too. */
static const char *lora_job(const char *dir)
{
    static char job[8192];
    char model[256];
    static const char tail[] = "\"warmup_steps\":4", lora[] = ",\"lora\":{\"rank\":3}";
    snprintf(model, sizeof model, "{\"path\":\"%s/base/result\"}", world);
    snprintf(job, sizeof job, "%s", small_job("train", dir, model, TRAIN));
    char *at = strstr(job, tail) + strlen(tail);
    memmove(at + strlen(lora), at, strlen(at) + 1);
    memcpy(at, lora, strlen(lora));
    return job;
}

static void make_base(void)
{
    char command[256];
    snprintf(command, sizeof command, "mv %s/whole %s/base", world, world);
    CHECK(!system(command), "%s", command);
}

int main(void)
{
    world_make();
    threads_of_jobs = 2;
    kill_and_compare(search_job, 1);
    threads_of_jobs = 1;
    clear();
    kill_and_compare(search_job, 2);
    clear();
    kill_and_compare(train_job, 3);
    make_base();
    clear();
    kill_and_compare(lora_job, 5);
    clear();
    make_two_domains();
    kill_and_compare(mixed_job, 4);
    world_remove();
    puts("ok");
    return 0;
}
