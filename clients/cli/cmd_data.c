#include <string.h>
#include "clients/cli/command.h"
#include "clients/cli/look.h"
#include "clients/cli/spec.h"
#include "clients/cli/watch.h"

/* upload, dataset, model: what goes in. */

static const struct show upload_show[] = {
    { "id", "id", SHOW_TEXT },
    { "size", "bytes", SHOW_BYTES },
    { "sha256", "sha256", SHOW_TEXT },
    { NULL, NULL, 0 },
};

static const struct show dataset_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "state", "state", SHOW_TEXT },
    { "tokenizer", "tokenizer", SHOW_TEXT },
    { "tokens", "tokens", SHOW_COUNT },
    { "validation", "validation_tokens", SHOW_COUNT },
    { "documents", "documents", SHOW_WHOLE },
    { "created", "created_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct show dataset_card[] = {
    { "state", "state", SHOW_TEXT },
    { "reason", "reason", SHOW_TEXT },
    { "tokenizer", "tokenizer", SHOW_TEXT },
    { "vocabulary", "vocab_size", SHOW_WHOLE },
    { "tokens to train on", "tokens", SHOW_WHOLE },
    { "tokens held out", "validation_tokens", SHOW_WHOLE },
    { "documents", "documents", SHOW_WHOLE },
    { "size", "bytes", SHOW_BYTES },
    { "created", "created_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct show model_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "state", "state", SHOW_TEXT },
    { "params", "params", SHOW_COUNT },
    { "created", "created_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct show model_card[] = {
    { "state", "state", SHOW_TEXT },
    { "reason", "reason", SHOW_TEXT },
    { "params", "params", SHOW_WHOLE },
    { "family", "shape.family", SHOW_TEXT },
    { "hidden size", "shape.hidden_size", SHOW_WHOLE },
    { "vocabulary", "shape.vocab_size", SHOW_WHOLE },
    { "created", "created_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static int upload_create(struct context *ctx)
{
    for (int i = 0; i < ctx->args->n_operands; i++) {
        json_t *upload = NULL;
        if (command_upload(ctx, ctx->args->operands[i], &upload)) return command_fail(ctx);
        if (ctx->quiet)
            printf("%s\n", look_string(upload, "id", ""));
        else if (!command_print_json(ctx, upload))
            show_card(upload, upload_show, stdout);
        json_decref(upload);
    }
    return 0;
}

/* Uploads every file given by --text or --jsonl and names it in the body. */
static enum status add_files(struct context *ctx, json_t *body, const char *format)
{
    const char *path;
    for (int i = 0; (path = args_each(ctx->args, format, i)); i++) {
        json_t *upload = NULL, *files = json_object_get(body, "files");
        TRY(command_upload(ctx, path, &upload));
        if (!files) json_object_set_new(body, "files", files = json_array());
        json_array_append_new(
            files, json_pack("{sOss}", "upload", look_at(upload, "id"), "format", format));
        json_decref(upload);
    }
    return OK;
}

static const struct spec dataset_specs[] = {
    { "name", "name", SPEC_STRING },
    { "tokenizer", "tokenizer", SPEC_STRING },
    { "validation-fraction", "validation_fraction", SPEC_NUMBER },
    { "seed", "seed", SPEC_COUNT },
    { NULL, NULL, 0 },
};

static int dataset_create(struct context *ctx)
{
    json_t *body;
    if (spec_build(ctx->args, dataset_specs, &body, &ctx->err)) return command_fail(ctx);
    if (!json_object_get(body, "tokenizer"))
        json_object_set_new(body, "tokenizer", json_string("bytes"));
    if (add_files(ctx, body, "text") || add_files(ctx, body, "jsonl")) {
        json_decref(body);
        return command_fail(ctx);
    }
    return watch_created(ctx, "datasets", "dataset get", body, dataset_card, NULL);
}

static int dataset_list(struct context *ctx)
{
    return command_list(ctx, "datasets", NULL, dataset_columns);
}
static int dataset_get(struct context *ctx) { return command_get(ctx, "datasets", dataset_card); }
static int dataset_stats(struct context *ctx)
{
    char path[HTTP_MAX_PATH];
    if (command_path(ctx, path, "datasets", ctx->args->operands[0], "/stats"))
        return command_fail(ctx);
    return command_document(ctx, path);
}

static int dataset_watch(struct context *ctx)
{
    return watch_resource(ctx, "datasets", ctx->args->operands[0]);
}

/* Operands are the files of a Hugging Face folder; each keeps its name. */
static enum status add_model_files(struct context *ctx, json_t *body)
{
    json_t *files = json_array();
    json_object_set_new(body, "files", files);
    for (int i = 0; i < ctx->args->n_operands; i++) {
        const char *path = ctx->args->operands[i], *slash = strrchr(path, '/');
        json_t *upload = NULL;
        TRY(command_upload(ctx, path, &upload));
        json_array_append_new(files, json_pack("{sOss}", "upload", look_at(upload, "id"),
                                               "filename", slash ? slash + 1 : path));
        json_decref(upload);
    }
    return OK;
}

static const struct spec model_specs[] = { { "name", "name", SPEC_STRING }, { NULL, NULL, 0 } };

static int model_import(struct context *ctx)
{
    json_t *body;
    if (spec_build(ctx->args, model_specs, &body, &ctx->err)) return command_fail(ctx);
    if (add_model_files(ctx, body)) {
        json_decref(body);
        return command_fail(ctx);
    }
    return watch_created(ctx, "models", "model get", body, model_card, NULL);
}

static int model_list(struct context *ctx)
{
    return command_list(ctx, "models", NULL, model_columns);
}
static int model_get(struct context *ctx) { return command_get(ctx, "models", model_card); }
static int model_delete(struct context *ctx) { return command_delete(ctx, "models"); }

static const struct opt list_opts[] = { COMMAND_LIST_OPTS, { NULL, 0, NULL, NULL } };
static const struct opt watch_opts[] = { WATCH_OPTS, { NULL, 0, NULL, NULL } };

static const struct opt dataset_opts[] = {
    { "name", 'N', "NAME", "what to call it" },
    { "text", 't', "FILE", "plain text in UTF-8, one document; may be repeated" },
    { "jsonl", 'j', "FILE",
      "one JSON object with \"text\" a line, one document each; may be repeated" },
    { "tokenizer", 0, "NAME", "bytes (the default)" },
    { "validation-fraction", 0, "SHARE", "held out for validation (default 0.05)" },
    { "seed", 0, "N", "which documents are held out" },
    { "wait", 'w', NULL, "stay until it is ready" },
    WATCH_OPTS,
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt model_opts[] = {
    { "name", 'N', "NAME", "what to call it" },
    { "wait", 'w', NULL, "stay until it is checked" },
    WATCH_OPTS,
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

const struct verb upload_verbs[] = {
    { "create", "FILE...", "send files; each gets an id",
      "'lathe dataset create' and 'lathe model import' upload by themselves; this is for bodies\n"
      "written by hand.\n",
      NULL, 1, ARGS_MAX, upload_create },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

const struct verb dataset_verbs[] = {
    { "create", "", "make a token stream from text or JSONL files",
      "Example\n  lathe dataset create --name dictionary --text gcide.txt --wait\n", dataset_opts,
      0, 0, dataset_create },
    { "list", "", "show datasets", NULL, list_opts, 0, 0, dataset_list },
    { "get", "ID", "show one", NULL, NULL, 1, 1, dataset_get },
    { "stats", "ID", "what is in it, domain by domain, as JSON", NULL, NULL, 1, 1, dataset_stats },
    { "watch", "ID", "follow its making", NULL, watch_opts, 1, 1, dataset_watch },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

const struct verb model_verbs[] = {
    { "import", "FILE...", "bring in the files of a Hugging Face folder",
      "Example\n  lathe model import --name smol --wait smol/config.json smol/model.safetensors\n",
      model_opts, 1, ARGS_MAX, model_import },
    { "list", "", "show models", NULL, list_opts, 0, 0, model_list },
    { "get", "ID", "show one", NULL, NULL, 1, 1, model_get },
    { "delete", "ID", "forget one and remove its files", NULL, NULL, 1, 1, model_delete },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
