#include <stdlib.h>
#include <string.h>
#include "clients/cli/arms.h"
#include "clients/cli/command.h"
#include "clients/cli/look.h"
#include "clients/cli/print.h"
#include "clients/cli/spec.h"
#include "clients/cli/watch.h"

/* run, compare: what is made of an architecture. */

static const struct show run_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "state", "state", SHOW_TEXT },
    { "architecture", "architecture", SHOW_TEXT },
    { "init", "init", SHOW_TEXT },
    { "params", "params", SHOW_COUNT },
    { "seed", "seed", SHOW_WHOLE },
    { "tokens", "tokens", SHOW_COUNT },
    { "loss", "loss", SHOW_LOSS },
    { "validation", "validation_loss", SHOW_LOSS },
    { "tok/s", "tokens_per_second", SHOW_COUNT },
    { "eta", "eta_seconds", SHOW_SECONDS },
    { NULL, NULL, 0 },
};

static const struct show run_card[] = {
    { "state", "state", SHOW_TEXT },
    { "reason", "reason", SHOW_TEXT },
    { "attempt", "attempt", SHOW_WHOLE },
    { "architecture", "architecture", SHOW_TEXT },
    { "init", "init", SHOW_TEXT },
    { "params", "params", SHOW_WHOLE },
    { "seed", "seed", SHOW_WHOLE },
    { "budget in tokens", "budget.tokens", SHOW_WHOLE },
    { "step", "step", SHOW_WHOLE },
    { "tokens", "tokens", SHOW_WHOLE },
    { "loss", "loss", SHOW_LOSS },
    { "validation loss", "validation_loss", SHOW_LOSS },
    { "tokens/s", "tokens_per_second", SHOW_WHOLE },
    { "eta", "eta_seconds", SHOW_SECONDS },
    { "created", "created_at", SHOW_TIME },
    { "finished", "finished_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct spec run_specs[] = {
    { "name", "name", SPEC_STRING },
    { "architecture", "architecture", SPEC_STRING },
    { "shape", "shape", SPEC_SHAPE },
    { "init", "init", SPEC_STRING },
    { "dataset", "dataset", SPEC_STRING },
    { "tokens", "budget.tokens", SPEC_COUNT },
    { "batch-size", "recipe.batch_size", SPEC_COUNT },
    { "sequence-length", "recipe.sequence_length", SPEC_COUNT },
    { "learning-rate", "recipe.learning_rate", SPEC_NUMBER },
    { "seed", "seed", SPEC_COUNT },
    { NULL, NULL, 0 },
};

static int run_create(struct context *ctx)
{
    json_t *body;
    if (spec_build(ctx->args, run_specs, &body, &ctx->err)) return command_fail(ctx);
    return command_create(ctx, "runs", body, "run watch", run_card);
}

static int run_list(struct context *ctx)
{
    static const char *const filters[] = { "state", "architecture", NULL };
    return command_list(ctx, "runs", filters, run_columns);
}

static int run_get(struct context *ctx) { return command_get(ctx, "runs", run_card); }
static int run_watch(struct context *ctx)
{
    return watch_resource(ctx, "runs", ctx->args->operands[0]);
}
static int run_wish(struct context *ctx) { return command_wish(ctx, "runs", run_card); }

static const struct show comparison_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "state", "state", SHOW_TEXT },
    { "architecture", "architecture", SHOW_TEXT },
    { "tokens", "budget.tokens", SHOW_COUNT },
    { "created", "created_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct spec comparison_specs[] = {
    { "name", "name", SPEC_STRING },
    { "architecture", "architecture", SPEC_STRING },
    { "arms", "arms", SPEC_STRINGS },
    { "seeds", "seeds", SPEC_NUMBERS },
    { "tokens", "budget.tokens", SPEC_COUNT },
    { "budget-rule", "budget_rule", SPEC_STRING },
    { "dataset", "dataset", SPEC_STRING },
    { "batch-size", "recipe.batch_size", SPEC_COUNT },
    { "sequence-length", "recipe.sequence_length", SPEC_COUNT },
    { "learning-rate", "recipe.learning_rate", SPEC_NUMBER },
    { NULL, NULL, 0 },
};

static const struct show comparison_card[] = {
    { "state", "state", SHOW_TEXT },
    { "architecture", "architecture", SHOW_TEXT },
    { "budget rule", "budget_rule", SHOW_TEXT },
    { "budget in tokens", "budget.tokens", SHOW_WHOLE },
    { NULL, NULL, 0 },
};

static int compare_create(struct context *ctx)
{
    json_t *body;
    if (spec_build(ctx->args, comparison_specs, &body, &ctx->err)) return command_fail(ctx);
    return command_create(ctx, "comparisons", body, "compare watch", comparison_card);
}

static int compare_list(struct context *ctx)
{
    return command_list(ctx, "comparisons", NULL, comparison_columns);
}

static int compare_get(struct context *ctx)
{
    char path[HTTP_MAX_PATH];
    json_t *it = NULL;
    if (command_path(ctx, path, "comparisons", ctx->args->operands[0], ""))
        return command_fail(ctx);
    if (http_get(&ctx->http, path, &it, &ctx->err)) return command_fail(ctx);
    if (!command_print_json(ctx, it)) arms_print(it, stdout);
    json_decref(it);
    return 0;
}

static int compare_watch(struct context *ctx)
{
    int code = watch_resource(ctx, "comparisons", ctx->args->operands[0]);
    if (code || ctx->json || ctx->quiet) return code;
    putchar('\n');
    return compare_get(ctx);
}

static int compare_wish(struct context *ctx)
{
    return command_wish(ctx, "comparisons", comparison_card);
}

/* Markdown, as the service wrote it. */
static int compare_report(struct context *ctx)
{
    char path[HTTP_MAX_PATH], *text = NULL;
    if (command_path(ctx, path, "comparisons", ctx->args->operands[0], "/report"))
        return command_fail(ctx);
    if (http_text(&ctx->http, path, &text, &ctx->err)) return command_fail(ctx);
    fputs(text, stdout);
    free(text);
    return 0;
}

#define RECIPE_OPTS                                                                                \
    { "batch-size", 0, "N", "sequences a step" },                                                  \
        { "sequence-length", 0, "N", "tokens a sequence" },                                        \
    {                                                                                              \
        "learning-rate", 0, "X", "the peak"                                                        \
    }

static const struct opt run_opts[] = {
    { "name", 'N', "NAME", "what to call it" },
    { "architecture", 'a', "ID", "what to train" },
    { "shape", 0, "FILE", "what to train: a shape document instead" },
    { "init", 'i', "INIT",
      "inherit: keep the search's weights (needs a snapshot);\n"
      "reinit: start afresh" },
    { "dataset", 'd', "ID", "what to train on" },
    { "tokens", 0, "COUNT", "how long" },
    { "seed", 0, "N", "of weights and data order (default 1)" },
    RECIPE_OPTS,
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt run_list_opts[] = {
    { "state", 0, "STATE", "only those queued, running, succeeded, failed, cancelled..." },
    { "architecture", 'a', "ID", "only those of one architecture" },
    COMMAND_LIST_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt compare_opts[] = {
    { "name", 'N', "NAME", "what to call it" },
    { "architecture", 'a', "ID", "what to compare" },
    { "arms", 0, "LIST", "inherit,reinit,human (default all)" },
    { "seeds", 0, "LIST", "one run of each arm for each seed; 1,2,3" },
    { "tokens", 0, "COUNT", "how long every arm trains" },
    { "budget-rule", 0, "RULE", "train_matched: every arm sees the same tokens" },
    { "dataset", 'd', "ID", "what to train on (default: the search's)" },
    RECIPE_OPTS,
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt list_opts[] = { COMMAND_LIST_OPTS, { NULL, 0, NULL, NULL } };
static const struct opt watch_opts[] = { WATCH_OPTS, { NULL, 0, NULL, NULL } };

const struct verb run_verbs[] = {
    { "create", "", "train an architecture or a shape",
      "Example\n  lathe run create --architecture arch_57 --init reinit --dataset data_1 --tokens "
      "2M\n",
      run_opts, 0, 0, run_create },
    { "list", "", "show runs", NULL, run_list_opts, 0, 0, run_list },
    { "get", "ID", "show one", NULL, NULL, 1, 1, run_get },
    { "watch", "ID", "follow one until it is over", NULL, watch_opts, 1, 1, run_watch },
    { "pause", "ID", "stop one at a checkpoint", NULL, NULL, 1, 1, run_wish },
    { "resume", "ID", "go on with a paused or failed one", NULL, NULL, 1, 1, run_wish },
    { "cancel", "ID", "stop one", NULL, NULL, 1, 1, run_wish },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

const struct verb compare_verbs[] = {
    { "create", "", "train arms of one architecture at equal tokens",
      "Example\n  lathe compare create --architecture arch_57 --tokens 400k --seeds 1,2,3\n",
      compare_opts, 0, 0, compare_create },
    { "list", "", "show comparisons", NULL, list_opts, 0, 0, compare_list },
    { "get", "ID", "show the arms and their differences", NULL, NULL, 1, 1, compare_get },
    { "watch", "ID", "follow the arms, then show their differences", NULL, watch_opts, 1, 1,
      compare_watch },
    { "report", "ID", "what it found, as Markdown", NULL, NULL, 1, 1, compare_report },
    { "pause", "ID", "stop the arms at a checkpoint", NULL, NULL, 1, 1, compare_wish },
    { "resume", "ID", "go on with the arms", NULL, NULL, 1, 1, compare_wish },
    { "cancel", "ID", "stop the arms", NULL, NULL, 1, 1, compare_wish },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
