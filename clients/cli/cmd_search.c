#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "clients/cli/command.h"
#include "clients/cli/look.h"
#include "clients/cli/shapes.h"
#include "clients/cli/spec.h"
#include "clients/cli/watch.h"

/* search: create, list, get, watch, shapes, trajectory, cancel. */

static const struct show columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "state", "state", SHOW_TEXT },
    { "source", "params_source", SHOW_COUNT },
    { "now", "params_now", SHOW_COUNT },
    { "removed", "ratio", SHOW_PERCENT },
    { "tokens", "tokens", SHOW_COUNT },
    { "loss", "loss", SHOW_LOSS },
    { "tok/s", "tokens_per_second", SHOW_COUNT },
    { "eta", "eta_seconds", SHOW_SECONDS },
    { "created", "created_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct show card[] = {
    { "state", "state", SHOW_TEXT },
    { "reason", "reason", SHOW_TEXT },
    { "attempt", "attempt", SHOW_WHOLE },
    { "dataset", "dataset", SHOW_TEXT },
    { "source params", "params_source", SHOW_WHOLE },
    { "params now", "params_now", SHOW_WHOLE },
    { "removed", "ratio", SHOW_PERCENT },
    { "removals", "removals", SHOW_WHOLE },
    { "stops at ratio", "stop.ratio", SHOW_PERCENT },
    { "stops at params", "stop.params", SHOW_WHOLE },
    { "step", "step", SHOW_WHOLE },
    { "tokens", "tokens", SHOW_WHOLE },
    { "loss", "loss", SHOW_LOSS },
    { "validation loss", "validation_loss", SHOW_LOSS },
    { "tokens/s", "tokens_per_second", SHOW_WHOLE },
    { "eta", "eta_seconds", SHOW_SECONDS },
    { "seed", "seed", SHOW_WHOLE },
    { "job", "job", SHOW_TEXT },
    { "created", "created_at", SHOW_TIME },
    { "started", "started_at", SHOW_TIME },
    { "finished", "finished_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct spec specs[] = {
    { "name", "name", SPEC_STRING },
    { "dataset", "dataset", SPEC_STRING },
    { "shape", "source.shape", SPEC_SHAPE },
    { "uniform", "source.shape", SPEC_UNIFORM },
    { "train-tokens", "source.train.tokens", SPEC_COUNT },
    { "model", "source.model", SPEC_STRING },
    { "types", "space.types", SPEC_STRINGS },
    { "scope", "space.scope", SPEC_STRING },
    { "warmup-steps", "schedule.warmup_steps", SPEC_COUNT },
    { "steps-per-unit", "schedule.steps_per_unit", SPEC_NUMBER },
    { "ratio", "stop.ratio", SPEC_NUMBER },
    { "params", "stop.params", SPEC_COUNT },
    { "snapshots", "snapshots.ratios", SPEC_NUMBERS },
    { "batch-size", "recipe.batch_size", SPEC_COUNT },
    { "sequence-length", "recipe.sequence_length", SPEC_COUNT },
    { "learning-rate", "recipe.learning_rate", SPEC_NUMBER },
    { "seed", "seed", SPEC_COUNT },
    { "threads", "threads", SPEC_COUNT },
    { "backend", "backend", SPEC_STRING },
    { NULL, NULL, 0 },
};

/* A shape without vocab_size takes the dataset's. */
static enum status complete_shape(struct context *ctx, json_t *body)
{
    char path[HTTP_MAX_PATH];
    json_t *dataset = NULL, *shape = look_at(body, "source.shape");
    const char *id = look_string(body, "dataset", NULL);
    if (!json_is_object(shape) || json_object_get(shape, "vocab_size") || !id) return OK;
    TRY(command_path(ctx, path, "datasets", id, ""));
    TRY(http_get(&ctx->http, path, &dataset, &ctx->err));
    json_t *vocabulary = look_at(dataset, "vocab_size");
    if (json_is_integer(vocabulary)) json_object_set(shape, "vocab_size", vocabulary);
    json_decref(dataset);
    return OK;
}

static int search_create(struct context *ctx)
{
    json_t *body;
    if (spec_build(ctx->args, specs, &body, &ctx->err)) return command_fail(ctx);
    if (complete_shape(ctx, body)) {
        json_decref(body);
        return command_fail(ctx);
    }
    return command_create(ctx, "searches", body, "search watch", card);
}

static int search_list(struct context *ctx)
{
    static const char *const filters[] = { "state", "dataset", "name", NULL };
    return command_list(ctx, "searches", filters, columns);
}

static int search_get(struct context *ctx) { return command_get(ctx, "searches", card); }
static int search_watch(struct context *ctx)
{
    return watch_resource(ctx, "searches", ctx->args->operands[0]);
}
static int search_wish(struct context *ctx) { return command_wish(ctx, "searches", card); }

/* The body says what differs. */
static int search_fork(struct context *ctx)
{
    static const struct spec changes[] = {
        { "name", "name", SPEC_STRING },
        { "seed", "seed", SPEC_COUNT },
        { "dataset", "dataset", SPEC_STRING },
        { "ratio", "stop.ratio", SPEC_NUMBER },
        { NULL, NULL, 0 },
    };
    char path[HTTP_MAX_PATH];
    json_t *body;
    if (command_path(ctx, path, "searches", ctx->args->operands[0], "/fork") ||
        spec_build(ctx->args, changes, &body, &ctx->err))
        return command_fail(ctx);
    return command_create(ctx, path + strlen("/v1/"), body, "search watch", card);
}

static int search_shapes(struct context *ctx)
{
    char base[HTTP_MAX_PATH];
    struct buf path;
    json_t *reply = NULL;
    const char *ratios = args_get(ctx->args, "ratios");
    if (!ratios) ratios = "0.1,0.2,0.3,0.4,0.5,0.6,0.7";
    if (command_path(ctx, base, "searches", ctx->args->operands[0], "/shapes"))
        return command_fail(ctx);
    buf_init(&path, HTTP_MAX_PATH);
    buf_puts(&path, base);
    http_query(&path, "ratios", ratios);
    enum status status = http_get(&ctx->http, path.bytes, &reply, &ctx->err);
    buf_release(&path);
    if (status) return command_fail(ctx);
    if (!command_print_json(ctx, reply)) shapes_print(look_at(reply, "items"), stdout);
    json_decref(reply);
    return 0;
}

static const struct show removal_columns[] = {
    { "ordinal", "ordinal", SHOW_WHOLE },
    { "step", "step", SHOW_WHOLE },
    { "tokens", "tokens", SHOW_COUNT },
    { "type", "type", SHOW_TEXT },
    { "layer", "layer", SHOW_TEXT },
    { "params", "params", SHOW_WHOLE },
    { "score heads", "min_score.heads", SHOW_TEXT },
    { "score ffn", "min_score.ffn", SHOW_TEXT },
    { "score stem", "min_score.stem", SHOW_TEXT },
    { "shape", "shape_hash", SHOW_TEXT },
    { NULL, NULL, 0 },
};

static enum status get_removals(struct context *ctx, const char *id, int64_t limit, json_t **items)
{
    char base[HTTP_MAX_PATH];
    struct buf path;
    TRY(command_path(ctx, base, "searches", id, "/trajectory"));
    buf_init(&path, HTTP_MAX_PATH);
    buf_puts(&path, base);
    http_query(&path, "from_ordinal", args_get(ctx->args, "from-ordinal"));
    http_query(&path, "from_step", args_get(ctx->args, "from-step"));
    http_query(&path, "to_step", args_get(ctx->args, "to-step"));
    http_query(&path, "every", args_get(ctx->args, "every"));
    enum status status = command_pages(ctx, path.bytes, limit, items);
    buf_release(&path);
    return status;
}

static enum status print_order(struct context *ctx, const char *id, json_t *removals)
{
    char path[HTTP_MAX_PATH];
    json_t *search = NULL;
    int64_t rows = args_int(ctx->args, "rows", 1, 1000, 10, &ctx->err);
    TRY(ctx->err.status);
    TRY(command_path(ctx, path, "searches", id, ""));
    TRY(http_get(&ctx->http, path, &search, &ctx->err));
    shapes_print_order(removals, look_number(search, "params_source"), (int)rows, stdout);
    json_decref(search);
    return OK;
}

static int search_trajectory(struct context *ctx)
{
    const char *id = ctx->args->operands[0];
    bool by_type = args_has(ctx->args, "by-type");
    json_t *items = NULL;
    int64_t limit = args_int(ctx->args, "limit", 0, 10000000, by_type ? 0 : 50, &ctx->err);
    if (ctx->err.status || get_removals(ctx, id, limit ? limit : 10000000, &items))
        return command_fail(ctx);
    json_t *document = json_pack("{sO}", "items", items);
    if (!command_print_json(ctx, document)) {
        if (by_type)
            print_order(ctx, id, items);
        else
            show_list(items, removal_columns, stdout);
    }
    json_decref(document);
    json_decref(items);
    return ctx->err.status ? command_fail(ctx) : 0;
}

static const struct opt create_opts[] = {
    { "name", 'N', "NAME", "what to call it" },
    { "dataset", 'd', "ID", "what to train on" },
    { "shape", 0, "FILE", "the source, as a shape document" },
    { "uniform", 0, "L,H,Q,K,F",
      "the source: layers, hidden size, query heads, KV heads,\n"
      "FFN width, every layer alike; such as 8,128,4,4,352" },
    { "train-tokens", 0, "COUNT", "tokens the source is trained on before it is pruned" },
    { "model", 'm', "ID", "the source: an imported model instead of a shape" },
    { "types", 0, "LIST", "what may be removed: heads,ffn,stem (default all)" },
    { "scope", 0, "SCOPE", "uniform: layers stay alike; per_layer: each its own shape" },
    { "warmup-steps", 0, "N", "steps that gather scores before the first removal" },
    { "steps-per-unit", 0, "N", "steps of training that one unit of credit lasts" },
    { "ratio", 'r', "SHARE", "stop when this share of the parameters is gone (0.7)" },
    { "params", 0, "COUNT", "stop at this many parameters instead" },
    { "snapshots", 0, "LIST", "ratios whose weights are kept (0.1,0.2,...)" },
    { "batch-size", 0, "N", "sequences a step" },
    { "sequence-length", 0, "N", "tokens a sequence" },
    { "learning-rate", 0, "X", "the peak" },
    { "seed", 0, "N", "of weights and data order (default 1)" },
    { "threads", 0, "N", "of the trainer" },
    { "backend", 0, "NAME", "cpu, ref, cuda, or cuda-exact: the same bits every time" },
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt list_opts[] = {
    { "state", 0, "STATE", "only those queued, running, succeeded, failed, cancelled..." },
    { "dataset", 0, "ID", "only those on this dataset" },
    { "name", 0, "NAME", "only those of this name" },
    COMMAND_LIST_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt shapes_opts[] = {
    { "ratios", 0, "LIST", "shares of the parameters removed (default 0.1,0.2,...0.7)" },
    { NULL, 0, NULL, NULL },
};

static const struct opt trajectory_opts[] = {
    { "by-type", 0, NULL,
      "count removals by type over equal stretches: the order in which\n"
      "the types went" },
    { "rows", 0, "N", "stretches for --by-type (default 10)" },
    { "from-ordinal", 0, "N", "from this removal on" },
    { "from-step", 0, "N", "from this step on" },
    { "to-step", 0, "N", "up to this step" },
    { "every", 0, "N", "each Nth only" },
    { "limit", 'n', "N", "at most so many (default 50; 0: all)" },
    { NULL, 0, NULL, NULL },
};

static const struct opt watch_opts[] = { WATCH_OPTS, { NULL, 0, NULL, NULL } };

static const struct opt fork_opts[] = {
    { "name", 'N', "NAME", "what to call it" },
    { "seed", 0, "N", "another seed" },
    { "dataset", 'd', "ID", "another data set" },
    { "ratio", 'r', "SHARE", "stop when this share is removed" },
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

const struct verb search_verbs[] = {
    { "create", "", "start a search",
      "Examples\n"
      "  lathe search create --dataset data_1 --uniform 8,128,4,4,352 --train-tokens 400k \\\n"
      "      --ratio 0.7 --snapshots 0.1,0.3,0.5,0.7 --seed 1\n"
      "  lathe search create -f search.json --set seed=2\n"
      "\n"
      "A shape without vocab_size gets the dataset's. Everything the service knows can be set\n"
      "with --set; GET /v1/openapi.json describes the body.\n",
      create_opts, 0, 0, search_create },
    { "list", "", "show searches", NULL, list_opts, 0, 0, search_list },
    { "get", "ID", "show one", NULL, NULL, 1, 1, search_get },
    { "watch", "ID", "follow one until it is over", "^C ends the watching, not the search.\n",
      watch_opts, 1, 1, search_watch },
    { "shapes", "ID", "the shapes at several ratios, side by side", NULL, shapes_opts, 1, 1,
      search_shapes },
    { "trajectory", "ID", "every removal, or the order in which the types went", NULL,
      trajectory_opts, 1, 1, search_trajectory },
    { "fork", "ID", "the same search again, with changes",
      "Example\n  lathe search fork srch_1 --seed 2 --set recipe.learning_rate=5e-4\n", fork_opts,
      1, 1, search_fork },
    { "pause", "ID", "stop one at a checkpoint", NULL, NULL, 1, 1, search_wish },
    { "resume", "ID", "go on with a paused or failed one", NULL, NULL, 1, 1, search_wish },
    { "cancel", "ID", "stop one; what it found stays", NULL, NULL, 1, 1, search_wish },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
