#include <string.h>
#include "clients/cli/command.h"
#include "clients/cli/look.h"
#include "clients/cli/print.h"
#include "clients/cli/shapes.h"
#include "clients/cli/spec.h"

/* architectures: what comes out of searches, and shapes from elsewhere. */

static const struct show architecture_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "search", "search", SHOW_TEXT },
    { "ordinal", "ordinal", SHOW_WHOLE },
    { "removed", "ratio", SHOW_PERCENT },
    { "params", "totals.params", SHOW_COUNT },
    { "FLOPs/token", "totals.flops_per_token", SHOW_COUNT },
    { "KV bytes/token", "totals.kv_bytes_per_token", SHOW_WHOLE },
    { "weights", "weights", SHOW_TEXT },
    { "shape hash", "shape_hash", SHOW_TEXT },
    { NULL, NULL, 0 },
};

static const struct show architecture_card[] = {
    { "search", "search", SHOW_TEXT },
    { "ordinal", "ordinal", SHOW_WHOLE },
    { "step", "step", SHOW_WHOLE },
    { "tokens", "tokens", SHOW_WHOLE },
    { "removed", "ratio", SHOW_PERCENT },
    { "params", "totals.params", SHOW_WHOLE },
    { "without embeddings", "totals.params_non_embedding", SHOW_WHOLE },
    { "FLOPs/token", "totals.flops_per_token", SHOW_COUNT },
    { "KV bytes/token", "totals.kv_bytes_per_token", SHOW_WHOLE },
    { "weights", "weights", SHOW_TEXT },
    { "shape hash", "shape_hash", SHOW_TEXT },
    { "hidden size", "shape.hidden_size", SHOW_WHOLE },
    { "vocabulary", "shape.vocab_size", SHOW_WHOLE },
    { NULL, NULL, 0 },
};

static int architecture_list(struct context *ctx)
{
    static const char *const filters[] = { "search",     "ratio",     "min-params",
                                           "max-params", "min-ratio", "max-ratio",
                                           "weights",    "source",    NULL };
    return command_list(ctx, "architectures", filters, architecture_columns);
}

static int architecture_get(struct context *ctx)
{
    char path[HTTP_MAX_PATH];
    json_t *it = NULL;
    bool human = args_has(ctx->args, "human");
    if (command_path(ctx, path, "architectures", ctx->args->operands[0], ""))
        return command_fail(ctx);
    if (http_get(&ctx->http, path, &it, &ctx->err)) return command_fail(ctx);
    json_t *shape = look_at(it, human ? "human_shape" : "shape");
    if (args_has(ctx->args, "shape") || human) {
        print_json(shape, stdout);
    } else if (!command_print_json(ctx, it)) {
        show_card(it, architecture_card, stdout);
        putchar('\n');
        shapes_print_layers(shape, stdout);
    }
    json_decref(it);
    return 0;
}

/* One operand: a config.json of Hugging Face, or with --shape our own document. */
static int architecture_import(struct context *ctx)
{
    json_t *document, *body;
    static const struct spec specs[] = { { "name", "name", SPEC_STRING },
                                         { "context", "context", SPEC_COUNT },
                                         { NULL, NULL, 0 } };
    if (spec_build(ctx->args, specs, &body, &ctx->err)) return command_fail(ctx);
    if (spec_read(ctx->args->operands[0], &document, &ctx->err)) {
        json_decref(body);
        return command_fail(ctx);
    }
    json_object_set_new(body, args_has(ctx->args, "shape") ? "shape" : "config", document);
    return command_create(ctx, "architectures", body, "run create --architecture",
                          architecture_card);
}

static const struct show front_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "search", "search", SHOW_TEXT },
    { "removed", "ratio", SHOW_PERCENT },
    { "params", "totals.params", SHOW_COUNT },
    { "FLOPs/token", "totals.flops_per_token", SHOW_COUNT },
    { "KV bytes/token", "totals.kv_bytes_per_token", SHOW_WHOLE },
    { "validation", "pareto.validation_loss", SHOW_LOSS },
    { "latency ms", "pareto.latency_ms", SHOW_LOSS },
    { NULL, NULL, 0 },
};

/* "/v1/architectures/ID<rest>?member=<option of that name>" */
static int show_view(struct context *ctx, const char *rest, const char *member)
{
    char base[HTTP_MAX_PATH];
    struct buf path;
    if (command_path(ctx, base, "architectures", ctx->args->operands[0], rest))
        return command_fail(ctx);
    buf_init(&path, HTTP_MAX_PATH);
    buf_puts(&path, base);
    http_query(&path, member,
               ctx->args->n_operands > 1 ? ctx->args->operands[1] : args_get(ctx->args, member));
    int code = command_document(ctx, path.bytes);
    buf_release(&path);
    return code;
}

static int architecture_config(struct context *ctx) { return show_view(ctx, "/config", "format"); }
static int architecture_diff(struct context *ctx) { return show_view(ctx, "/diff", "against"); }

static int architecture_pareto(struct context *ctx)
{
    static const char *const filters[] = { "pareto",     "search",    "dataset",   "min-params",
                                           "max-params", "min-ratio", "max-ratio", "weights",
                                           "source",     NULL };
    return command_list(ctx, "architectures", filters, front_columns);
}

static const struct opt architecture_list_opts[] = {
    { "search", 's', "ID", "only those of one search" },
    { "ratio", 'r', "SHARE", "of each search the first that has lost this share" },
    { "min-ratio", 0, "SHARE", "those that have lost at least so much" },
    { "max-ratio", 0, "SHARE", "those that have lost at most so much" },
    { "weights", 'w', "WHICH", "only those with a snapshot, or none" },
    { "source", 0, "HASH", "only of searches whose source has this shape hash" },
    { "min-params", 0, "N", "at least so many parameters" },
    { "max-params", 0, "N", "at most so many parameters" },
    COMMAND_LIST_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt architecture_get_opts[] = {
    { "shape", 0, NULL, "print its shape document alone, for 'run create --shape'" },
    { "human", 0, NULL, "print the shape a human would have drawn at this size" },
    { NULL, 0, NULL, NULL },
};

static const struct opt import_opts[] = {
    { "name", 'N', "NAME", "what to call it" },
    { "shape", 0, NULL, "the file is a shape document, not a config.json" },
    { "context", 0, "N", "tokens of a sequence, what costs are stated for" },
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt config_opts[] = {
    { "format", 0, "FORMAT", "hf (the default), per_layer_config, decilm or gguf" },
    { NULL, 0, NULL, NULL },
};

static const struct opt pareto_opts[] = {
    { "pareto", 'p', "A,B",
      "two of params, flops_per_token, kv_bytes_per_token,\nvalidation_loss, latency_ms" },
    { "search", 's', "ID", "only those of one search" },
    { "dataset", 'd', "ID", "whose validation loss" },
    { "min-params", 0, "N", "at least so many parameters" },
    { "max-params", 0, "N", "at most so many parameters" },
    { "min-ratio", 0, "SHARE", "those that have lost at least so much" },
    { "max-ratio", 0, "SHARE", "those that have lost at most so much" },
    { "weights", 'w', "WHICH", "only those with a snapshot, or none" },
    { "source", 0, "HASH", "only of searches whose source has this shape hash" },
    { NULL, 0, NULL, NULL },
};

const struct verb architecture_verbs[] = {
    { "list", "", "show architectures",
      "Example\n  lathe architectures --search srch_1 --ratio 0.5\n", architecture_list_opts, 0, 0,
      architecture_list },
    { "get", "ID", "show one, layer by layer", NULL, architecture_get_opts, 1, 1,
      architecture_get },
    { "pareto", "", "those that no other one beats in two costs",
      "Example\n  lathe architectures pareto --pareto params,validation_loss --dataset data_1\n",
      pareto_opts, 0, 0, architecture_pareto },
    { "import", "FILE", "bring in a shape from a config.json",
      "Example\n  lathe architectures import --name smol smol/config.json\n", import_opts, 1, 1,
      architecture_import },
    { "config", "ID", "print its config.json, or another program's", NULL, config_opts, 1, 1,
      architecture_config },
    { "diff", "ID ID", "where two differ, layer by layer", NULL, NULL, 2, 2, architecture_diff },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
