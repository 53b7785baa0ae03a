/* Ways of searching, through the program: rounds, one shot, recovery in the same job, a search
 * that forks from a snapshot of another, and what is explained at snapshots. */
#include <math.h>
#include "tests/trainer/program.h"

#define MODEL "{\"shape\":" SMALL_SHAPE "}"

static struct program p;

/* A search with these options and this budget; it must end well. */
static void search(const char *dir, const char *model, const char *budget, const char *options)
{
    char more[2048];
    snprintf(more, sizeof more,
             ",\"budget\":%s,\"search\":%s,\"validation\":{\"every_steps\":0,\"tokens\":512}",
             budget, options);
    program_release(&p);
    CHECK_INT(program_run(&p, small_job("search", dir, model, more)), 0);
    CHECK(program_last(&p, "done"), "no end");
}

/* The steps at which something was removed, without repetition. */
static int removal_steps(long long *step, int room)
{
    int n = 0;
    for (int i = 0; i < p.n; i++) {
        if (!event_is(p.event[i], "removal")) continue;
        long long at = event_int(p.event[i], "step");
        if (n && step[n - 1] == at) continue;
        CHECK(n < room, "removals at more than %d steps", room);
        step[n++] = at;
    }
    return n;
}

/* Parameters after the last removal of a step. */
static double params_at(long long step)
{
    double params = 0;
    for (int i = 0; i < p.n; i++)
        if (event_is(p.event[i], "removal") && event_int(p.event[i], "step") == step)
            params = event_number(p.event[i], "params");
    return params;
}

static void test_rounds(void)
{
    long long step[4];
    search("rounds", MODEL, "{\"tokens\":0}",
           "{\"stop\":{\"ratio\":0.4},\"criterion\":{\"name\":\"wanda_sp\",\"normalise\":\"z_"
           "score\"},\"update\":\"obs\","
           "\"schedule\":{\"warmup_steps\":2,\"rounds\":4,\"steps_per_unit\":5,"
           "\"calibration_steps\":2}}");
    double source = event_number(program_last(&p, "start"), "params");
    CHECK_INT(removal_steps(step, 4), 4);
    for (int i = 0; i < 4; i++) {
        double target = source * (1 - 0.1 * (i + 1)), now = params_at(step[i]);
        CHECK_INT(step[i], 2 + 5 * (i + 1));
        CHECK(now <= target + 1 && now > target - 0.05 * source, "round %d: %g, target %g", i, now,
              target);
    }
    search("shot", MODEL, "{\"tokens\":640}",
           "{\"stop\":{\"ratio\":0.3},\"criterion\":{\"name\":\"magnitude_l1\"},"
           "\"schedule\":{\"warmup_steps\":0,\"rounds\":1,\"steps_per_unit\":1}}");
    CHECK_INT(removal_steps(step, 4), 1);
    CHECK_INT(step[0], 11);
}

/* The rate's schedule spans the job; the search's end does not stop it. */
static void test_recovery(void)
{
    long long step[4];
    search("recover", MODEL, "{\"tokens\":640,\"recover_tokens\":1280}",
           "{\"stop\":{\"ratio\":0.2},\"space\":{\"types\":[\"ffn\"]},"
           "\"schedule\":{\"warmup_steps\":0,\"rounds\":2,\"steps_per_unit\":5}}");
    const json_t *done = program_last(&p, "done");
    CHECK_INT(removal_steps(step, 4), 2);
    CHECK_INT(event_int(done, "step"), 10 + 10 + 20);
    CHECK_STR(event_string(done, "path"), "result");
    CHECK(isfinite(event_number(done, "validation_loss")), "not validated");
    for (int i = 0; i < p.n; i++) {
        if (!event_is(p.event[i], "step") || event_int(p.event[i], "step") < 4) continue;
        long long at = event_int(p.event[i], "step");
        double want = at <= 32 ? 1e-3 : 1e-3 * (double)(41 - at) / 8; /* wsd: the last fifth */
        CHECK_NEAR(event_number(p.event[i], "lr"), want, 1e-9);
        CHECK_STR(event_string(p.event[i], "phase"), at <= 10   ? "source"
                                                     : at <= 20 ? "prune"
                                                                : "train");
    }
}

static void test_fork(void)
{
    char model[512];
    search("trunk", MODEL, "{\"tokens\":320}",
           "{\"stop\":{\"ratio\":0.4},\"snapshots\":{\"ratios\":[0.2]},"
           "\"schedule\":{\"warmup_steps\":1,\"channels_per_unit\":10}}");
    for (int i = 0; i < p.n; i++)
        if (event_is(p.event[i], "snapshot") && event_number(p.event[i], "ratio") > 0.1) {
            snprintf(model, sizeof model, "{\"path\":\"%s/trunk/%s\"}", world,
                     event_string(p.event[i], "path"));
            break;
        }
    double trunk = event_number(program_last(&p, "start"), "params");
    search("fork", model, "{\"tokens\":0}",
           "{\"stop\":{\"ratio\":0.2},\"space\":{\"scope\":\"per_layer\"},"
           "\"criterion\":{\"name\":\"fisher\",\"embedding_in_stem\":false},"
           "\"schedule\":{\"warmup_steps\":1,\"channels_per_unit\":20}}");
    double fork = event_number(program_last(&p, "start"), "params");
    CHECK(fork < 0.81 * trunk && fork > 0.7 * trunk, "%g of %g", fork, trunk);
    CHECK(event_number(program_last(&p, "done"), "params") <= 0.8 * fork, "not pruned further");
}

static int ascending(const json_t *numbers)
{
    int n = (int)json_array_size(numbers);
    for (int i = 1; i < n; i++)
        CHECK(json_number_value(json_array_get(numbers, (size_t)i)) >=
                  json_number_value(json_array_get(numbers, (size_t)i - 1)),
              "quantiles fall");
    return n;
}

/* Every snapshot is explained; scores are there where a choice led to it. */
static void test_explain(void)
{
    int scored = 0;
    search("explain", MODEL, "{\"tokens\":320}",
           "{\"stop\":{\"ratio\":0.4},\"snapshots\":{\"ratios\":[0.1,0.2]},"
           "\"criterion\":{\"name\":\"flap\"},\"schedule\":{\"warmup_steps\":1}}");
    for (int i = 0; i < p.n; i++) {
        if (!event_is(p.event[i], "explain")) continue;
        const json_t *influence = json_object_get(p.event[i], "influence");
        const json_t *ffn = json_object_get(p.event[i], "ffn");
        CHECK_INT(json_array_size(influence), 3);
        for (size_t l = 0; l < 3; l++) {
            double x = json_number_value(json_array_get(influence, l));
            CHECK(x > 0 && x < 1, "influence %g", x);
        }
        if (!json_array_size(ffn)) continue;
        CHECK_INT(json_array_size(ffn), 3);
        CHECK_INT(ascending(json_array_get(ffn, 2)), 7);
        CHECK_INT(ascending(json_object_get(p.event[i], "stem")), 7);
        scored++;
    }
    CHECK(scored >= 2, "%d snapshots with scores", scored);
}

int main(void)
{
    world_make();
    test_rounds();
    test_recovery();
    test_fork();
    test_explain();
    program_release(&p);
    world_remove();
    puts("ok");
    return 0;
}
