#include <string.h>
#include "clients/cli/command.h"
#include "clients/cli/download.h"
#include "clients/cli/fetch.h"
#include "clients/cli/targets.h"
#include "clients/cli/look.h"
#include "clients/cli/spec.h"
#include "clients/cli/watch.h"

/* export: models in the forms of others, made, shown and fetched. */

static const struct show columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "state", "state", SHOW_TEXT },
    { "of", "subject", SHOW_TEXT },
    { "created", "created_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct show card[] = {
    { "state", "state", SHOW_TEXT },
    { "reason", "reason", SHOW_TEXT },
    { "of", "subject", SHOW_TEXT },
    { "shape hash", "shape_hash", SHOW_TEXT },
    { "tokenizer", "tokenizer.kind", SHOW_TEXT },
    { "tokenizer hash", "tokenizer.sha256", SHOW_TEXT },
    { "job", "job", SHOW_TEXT },
    { "created", "created_at", SHOW_TIME },
    { "finished", "finished_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

/* ---- creating ------------------------------------------------------------------------ */

static const struct spec specs[] = {
    { "name", "name", SPEC_STRING },
    { NULL, NULL, 0 },
};

/* --format gguf:q8_0; what names no dtype has --dtype. */
static void add_target(struct context *ctx, json_t *targets, const char *text)
{
    const char *colon = strchr(text, ':'), *dtype = args_get(ctx->args, "dtype");
    json_t *target = json_object();
    json_object_set_new(target, "format",
                        json_stringn(text, colon ? (size_t)(colon - text) : strlen(text)));
    if (colon) dtype = colon + 1;
    if (dtype) json_object_set_new(target, "dtype", json_string(dtype));
    json_array_append_new(targets, target);
}

static enum status add_options(struct context *ctx, json_t *body)
{
    const char *text;
    json_t *targets = json_object_get(body, "targets");
    if (ctx->args->n_operands) TRY(spec_subject(body, ctx->args->operands[0], &ctx->err));
    if (!targets) json_object_set_new(body, "targets", targets = json_array());
    for (int i = 0; (text = args_each(ctx->args, "format", i)); i++) add_target(ctx, targets, text);
    if (!json_array_size(targets)) add_target(ctx, targets, "hf");
    json_t *prompts = json_array();
    for (int i = 0; (text = args_each(ctx->args, "prompt", i)); i++)
        json_array_append_new(prompts, json_string(text));
    if (json_array_size(prompts)) json_object_set(body, "prompts", prompts);
    json_decref(prompts);
    return OK;
}

static const struct show size_columns[] = {
    { "format", "format", SHOW_TEXT },
    { "dtype", "dtype", SHOW_TEXT },
    { "params", "params", SHOW_WHOLE },
    { "stored", "params_stored", SHOW_WHOLE },
    { "more", "overhead", SHOW_PERCENT },
    { "size", "bytes", SHOW_BYTES },
    { NULL, NULL, 0 },
};

static int show_sizes(struct context *ctx, json_t *body)
{
    json_t *sizes = NULL;
    enum status status = http_post(&ctx->http, "/v1/exports?dry_run=true", body, &sizes, &ctx->err);
    json_decref(body);
    if (status) return command_fail(ctx);
    if (!command_print_json(ctx, sizes)) show_list(look_at(sizes, "targets"), size_columns, stdout);
    json_decref(sizes);
    return 0;
}

static int show_one(struct context *ctx, const char *id);

static int export_create(struct context *ctx)
{
    json_t *body;
    char id[WATCH_MAX_ID];
    if (spec_build(ctx->args, specs, &body, &ctx->err)) return command_fail(ctx);
    if (add_options(ctx, body)) {
        json_decref(body);
        return command_fail(ctx);
    }
    if (args_has(ctx->args, "dry-run")) return show_sizes(ctx, body);
    int code = watch_created(ctx, "exports", "export show", body, card, id);
    if (code || !*id || ctx->json || ctx->quiet) return code;
    putchar('\n');
    return show_one(ctx, id);
}

/* ---- showing ------------------------------------------------------------------------- */

static int show_one(struct context *ctx, const char *id)
{
    char path[HTTP_MAX_PATH];
    json_t *it = NULL;
    if (command_path(ctx, path, "exports", id, "")) return command_fail(ctx);
    if (http_get(&ctx->http, path, &it, &ctx->err)) return command_fail(ctx);
    json_t *targets = look_at(it, "targets");
    if (!command_print_json(ctx, it)) {
        show_card(it, card, stdout);
        putchar('\n');
        targets_print(targets, stdout);
        if (args_has(ctx->args, "files"))
            targets_print_files(targets, stdout);
        else
            targets_print_runtimes(targets, stdout);
        if (!strcmp(look_string(it, "state", ""), "succeeded"))
            fprintf(stderr, "\nnext: lathe export get %s --output DIR\n", id);
    }
    json_decref(it);
    return 0;
}

static int export_show(struct context *ctx) { return show_one(ctx, ctx->args->operands[0]); }

static int export_list(struct context *ctx)
{
    static const char *const filters[] = { "state", "run", "architecture", "model", NULL };
    return command_list(ctx, "exports", filters, columns);
}

static int export_watch(struct context *ctx)
{
    return watch_resource(ctx, "exports", ctx->args->operands[0]);
}
static int export_cancel(struct context *ctx) { return command_wish(ctx, "exports", card); }

/* ---- fetching ------------------------------------------------------------------------ */

/* Each target into a folder of its own, DIR/gguf-q8_0. */
static enum status fetch_targets(struct context *ctx, json_t *targets, const char *output,
                                 struct fetched *fetched)
{
    char name[128], folder[4096];
    const char *wanted = args_get(ctx->args, "target");
    json_t *target;
    size_t i;
    json_array_foreach(targets, i, target)
    {
        snprintf(name, sizeof name, "%s-%s", look_string(target, "format", ""),
                 look_string(target, "dtype", ""));
        if (wanted && strcmp(wanted, name)) continue;
        if (!download_name_is_plain(name) ||
            snprintf(folder, sizeof folder, "%s/%s", output, name) >= (int)sizeof folder)
            return fail(&ctx->err, E_INPUT, "'%.60s' is no name for a folder here", name);
        TRY(fetch_files(ctx, look_at(target, "files"), folder, fetched));
    }
    if (!fetched->files)
        return fail(&ctx->err, E_MISSING, "there are no files %s%s", wanted ? "of target " : "yet",
                    wanted ? wanted : "");
    return OK;
}

static int export_get(struct context *ctx)
{
    char path[HTTP_MAX_PATH];
    struct fetched fetched = { 0 };
    json_t *it = NULL;
    const char *id = ctx->args->operands[0], *output = args_get(ctx->args, "output");
    if (!output) output = id;
    if (command_path(ctx, path, "exports", id, "")) return command_fail(ctx);
    if (http_get(&ctx->http, path, &it, &ctx->err)) return command_fail(ctx);
    enum status status = fetch_targets(ctx, look_at(it, "targets"), output, &fetched);
    if (!status) {
        command_print_json(ctx, it);
        fetch_report(ctx, &fetched, output);
    }
    json_decref(it);
    return status ? command_fail(ctx) : 0;
}

static int export_delete(struct context *ctx) { return command_delete(ctx, "exports"); }

/* ---- the table ----------------------------------------------------------------------- */

static const struct opt create_opts[] = {
    { "format", 0, "FORMAT",
      "hf (the default), hf_padded, decilm, gguf, safetensors or shape;\n"
      "gguf:q8_0 says the dtype too; may be repeated" },
    { "dtype", 0, "DTYPE",
      "float32 (the default), float16, bfloat16; for gguf also q8_0\n"
      "and q4_0" },
    { "prompt", 'p', "TEXT", "compare logits on this text; may be repeated" },
    { "name", 'N', "NAME", "what to call it" },
    { "dry-run", 0, NULL, "say how large it would be, make nothing" },
    { "wait", 'w', NULL, "stay until it is done, then show it" },
    WATCH_OPTS,
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt list_opts[] = {
    COMMAND_SUBJECT_LIST_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt show_opts[] = {
    { "files", 0, NULL, "list its files with their checksums" },
    { NULL, 0, NULL, NULL },
};

static const struct opt get_opts[] = {
    { "output", 'o', "DIR", "where to put them (default: a folder named by the id)" },
    { "target", 't', "NAME", "only one, such as gguf-q8_0" },
    { NULL, 0, NULL, NULL },
};

static const struct opt watch_opts[] = { WATCH_OPTS, { NULL, 0, NULL, NULL } };

const struct verb export_verbs[] = {
    { "create", "SUBJECT", "write a run, an architecture or a model",
      "Examples\n"
      "  lathe export run_3 --format gguf --dtype q8_0 --wait\n"
      "  lathe export arch_57 --format hf_padded --format gguf:q4_0 --dry-run\n",
      create_opts, 0, 1, export_create },
    { "list", "", "show exports", NULL, list_opts, 0, 0, export_list },
    { "show", "ID", "show one: what it loads as, how exact it is, where it loads", NULL, show_opts,
      1, 1, export_show },
    { "get", "ID", "fetch its files",
      "Every target goes into a folder of its own. Checksums are compared; what an earlier call\n"
      "left unfinished is gone on with.\n",
      get_opts, 1, 1, export_get },
    { "watch", "ID", "follow one until it is over", NULL, watch_opts, 1, 1, export_watch },
    { "cancel", "ID", "stop one", NULL, NULL, 1, 1, export_cancel },
    { "delete", "ID", "forget one that is over, and remove its files", NULL, NULL, 1, 1,
      export_delete },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
