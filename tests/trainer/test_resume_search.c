/* Searches in other ways of choosing, killed again and again: what a checkpoint keeps of their
 * statistics, Hessians and running means is all that matters. */
#include "tests/trainer/killing.h"

/* `more` are further members of the options. Checkpoints fall into the middle of units. */
#define SEARCH_BY(more)                                                                            \
    ",\"budget\":{\"tokens\":640},\"search\":{\"schedule\":{\"warmup_steps\":4,\"steps_per_"       \
    "unit\":7,\"channels_per_unit\":12},\"stop\":{\"ratio\":0.4},\"snapshots\":{\"ratios\":[0.2]}" \
    "," more                                                                                       \
    "},\"validation\":{\"every_steps\":10,\"tokens\":512},\"checkpoint\":{\"every_steps\":"        \
    "3,\"keep\":2}"
#define FLAP_AND_BIAS                                                                              \
    "\"criterion\":{\"name\":\"flap\"},\"update\":\"bias\",\"space\":{\"scope\":\"per_layer\"}"
#define FLAP_AND_OBS "\"criterion\":{\"name\":\"flap\",\"ema\":0.5},\"update\":\"obs\""
#define MEAN_PER_LAYER                                                                             \
    "\"criterion\":{\"name\":\"param_first\",\"abs\":\"after\"},\"space\":{\"scope\":\"per_"       \
    "layer\"}"
#define BYPASS(scope)                                                                              \
    "\"criterion\":{\"name\":\"bypass\",\"keep\":{\"learning_rate\":0.1}},\"space\":{\"types\":["  \
    "\"heads\","                                                                                   \
    "\"ffn\"],\"scope\":\"" scope "\"}"
#define SAAP_SHARED                                                                                \
    "\"criterion\":{\"name\":\"saap\",\"ema\":0.7},\"space\":{\"index\":\"shared\",\"head_unit\":" \
    "\"query\"}"
#define RECOVERY                                                                                   \
    ",\"budget\":{\"tokens\":640,\"recover_tokens\":2560},\"search\":{\"schedule\":{\"warmup_"     \
    "steps\":2,\"rounds\":2,\"steps_per_unit\":6},\"stop\":{\"ratio\":0.3}},\"validation\":{"      \
    "\"every_steps\":8,\"tokens\":512},\"checkpoint\":{\"every_steps\":4,\"keep\":2}"
static const char *flap_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH_BY(FLAP_AND_OBS));
}

static const char *recovery_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, RECOVERY);
}

static const char *mean_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH_BY(MEAN_PER_LAYER));
}

static const char *bias_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH_BY(FLAP_AND_BIAS));
}

static const char *bypass_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH_BY(BYPASS("uniform")));
}

static const char *bypass_per_layer_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH_BY(BYPASS("per_layer")));
}

static const char *saap_job(const char *dir)
{
    return small_job("search", dir, SMALL_SHAPE_MODEL, SEARCH_BY(SAAP_SHARED));
}

int main(void)
{
    world_make();
    threads_of_jobs = 2;
    kill_and_compare(bias_job, 1);
    threads_of_jobs = 1;
    clear();
    kill_and_compare(bypass_job, 2);
    clear();
    kill_and_compare(bypass_per_layer_job, 3);
    clear();
    kill_and_compare(saap_job, 4);
    clear();
    kill_and_compare(flap_job, 5);
    clear();
    kill_and_compare(mean_job, 6);
    clear();
    kill_and_compare(recovery_job, 7);
    world_remove();
    puts("ok");
    return 0;
}
