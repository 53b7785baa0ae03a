#include <string.h>
#include "clients/cli/command.h"
#include "clients/cli/fetch.h"
#include "clients/cli/look.h"
#include "clients/cli/print.h"
#include "clients/cli/scores.h"
#include "clients/cli/spec.h"
#include "clients/cli/watch.h"

/* eval: scores on tasks, and how fast a shape is. */

static const struct show columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "state", "state", SHOW_TEXT },
    { "of", "subject", SHOW_TEXT },
    { "done", "progress.done", SHOW_WHOLE },
    { "requests", "progress.total", SHOW_WHOLE },
    { "created", "created_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct show card[] = {
    { "state", "state", SHOW_TEXT },
    { "reason", "reason", SHOW_TEXT },
    { "of", "subject", SHOW_TEXT },
    { "shape hash", "shape_hash", SHOW_TEXT },
    { "requests done", "progress.done", SHOW_WHOLE },
    { "requests", "progress.total", SHOW_WHOLE },
    { "context", "context", SHOW_WHOLE },
    { "backend", "backend", SHOW_TEXT },
    { "threads", "threads", SHOW_WHOLE },
    { "job", "job", SHOW_TEXT },
    { "created", "created_at", SHOW_TIME },
    { "finished", "finished_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

/* ---- creating ------------------------------------------------------------------------ */

static const struct spec specs[] = {
    { "name", "name", SPEC_STRING },       { "context", "context", SPEC_COUNT },
    { "backend", "backend", SPEC_STRING }, { "batch-tokens", "batch_tokens", SPEC_COUNT },
    { "threads", "threads", SPEC_COUNT },  { NULL, NULL, 0 },
};

/* The form of a task by its name, as the field's tasks are called. */
static const char *form_of(const char *name)
{
    static const char *const forms[] = { "arc",        "hellaswag", "piqa", "boolq",
                                         "winogrande", "lambada",   "text", "pairs" };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t n = strlen(forms[i]);
        if (!strncmp(name, forms[i], n) && (!name[n] || name[n] == '_' || name[n] == '-'))
            return forms[i];
    }
    return NULL;
}

/* "a.jsonl,b.lst": sent one by one. */
static enum status add_files(struct context *ctx, json_t *task, const char *files)
{
    char path[4096];
    json_t *uploads = json_array();
    json_object_set_new(task, "uploads", uploads);
    for (;; files++) {
        size_t n = strcspn(files, ",");
        json_t *upload = NULL;
        if (!n || n >= sizeof path) return fail(&ctx->err, E_INPUT, "'%.100s' is no path", files);
        snprintf(path, sizeof path, "%.*s", (int)n, files);
        TRY(command_upload(ctx, path, &upload));
        json_array_append(uploads, look_at(upload, "id"));
        json_decref(upload);
        if (!files[n]) return OK;
        files += n;
    }
}

/* --task NAME=FILE, or NAME:FORM=FILE */
static enum status add_task(struct context *ctx, json_t *tasks, const char *text)
{
    char name[128];
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof name)
        return fail(&ctx->err, E_INPUT, "--task is '%.100s'; it must be NAME=FILE", text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    char *colon = strchr(name, ':');
    if (colon) *colon = '\0';
    const char *form = colon ? colon + 1 : form_of(name);
    if (!form)
        return fail(&ctx->err, E_INPUT,
                    "task '%s' says no form: NAME:FORM=FILE with arc, hellaswag, piqa, winogrande, "
                    "boolq, lambada, text or pairs",
                    name);
    json_t *task = json_pack("{ssss}", "name", name, "form", form);
    if (!task) return fail(&ctx->err, E_INPUT, "--task %.100s: not UTF-8", text);
    json_array_append_new(tasks, task);
    int64_t limit = args_int(ctx->args, "limit", 0, INT64_C(1) << 40, 0, &ctx->err);
    if (limit) json_object_set_new(task, "limit", json_integer(limit));
    TRY(ctx->err.status);
    return add_files(ctx, task, equals + 1);
}

static enum status add_tasks(struct context *ctx, json_t *body)
{
    const char *text;
    json_t *tasks = json_object_get(body, "tasks");
    if (ctx->args->n_operands) TRY(spec_subject(body, ctx->args->operands[0], &ctx->err));
    if (!tasks) json_object_set_new(body, "tasks", tasks = json_array());
    for (int i = 0; (text = args_each(ctx->args, "task", i)); i++) TRY(add_task(ctx, tasks, text));
    if (json_array_size(tasks)) return OK;
    return fail(&ctx->err, E_INPUT,
                "there is nothing to score it on: --task arc_easy=ARC-Easy-Test.jsonl, or 'lathe "
                "eval latency'");
}

static const struct {
    const char *option, *member;
} sizes[] = {
    { "prompt-tokens", "prompt_tokens" },
    { "generate-tokens", "generate_tokens" },
    { "repeats", "repeats" },
};

static enum status add_latency(struct context *ctx, json_t *body)
{
    json_t *task = json_pack("{ssss}", "name", "latency", "form", "latency");
    json_object_set_new(body, "tasks", json_pack("[o]", task));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t n = args_int(ctx->args, sizes[i].option, 1, INT64_C(1) << 40, 0, &ctx->err);
        if (n) json_object_set_new(task, sizes[i].member, json_integer(n));
    }
    TRY(ctx->err.status);
    return spec_subject(body, ctx->args->operands[0], &ctx->err);
}

static int show_one(struct context *ctx, const char *id);

static int create(struct context *ctx, enum status (*add)(struct context *ctx, json_t *body))
{
    json_t *body;
    char id[WATCH_MAX_ID];
    if (spec_build(ctx->args, specs, &body, &ctx->err)) return command_fail(ctx);
    if (add(ctx, body)) {
        json_decref(body);
        return command_fail(ctx);
    }
    int code = watch_created(ctx, "evaluations", "eval show", body, card, id);
    if (code || !*id || ctx->json || ctx->quiet) return code;
    putchar('\n');
    return show_one(ctx, id);
}

static int eval_create(struct context *ctx) { return create(ctx, add_tasks); }
static int eval_latency(struct context *ctx) { return create(ctx, add_latency); }

/* ---- showing ------------------------------------------------------------------------- */

static int show_one(struct context *ctx, const char *id)
{
    char path[HTTP_MAX_PATH];
    json_t *it = NULL;
    bool harness = args_has(ctx->args, "lm-eval");
    if (command_path(ctx, path, "evaluations", id, harness ? "?format=lm_eval" : ""))
        return command_fail(ctx);
    if (http_get(&ctx->http, path, &it, &ctx->err)) return command_fail(ctx);
    if (harness) {
        print_json(it, stdout);
    } else if (!command_print_json(ctx, it)) {
        show_card(it, card, stdout);
        putchar('\n');
        scores_print(look_at(it, "results"), stdout);
    }
    json_decref(it);
    return 0;
}

static int eval_show(struct context *ctx) { return show_one(ctx, ctx->args->operands[0]); }

static int eval_list(struct context *ctx)
{
    static const char *const filters[] = { "state", "run", "architecture", "model", NULL };
    return command_list(ctx, "evaluations", filters, columns);
}

static int eval_watch(struct context *ctx)
{
    return watch_resource(ctx, "evaluations", ctx->args->operands[0]);
}
static int eval_cancel(struct context *ctx) { return command_wish(ctx, "evaluations", card); }

static int eval_get(struct context *ctx)
{
    char path[HTTP_MAX_PATH];
    struct fetched fetched = { 0 };
    json_t *it = NULL;
    const char *id = ctx->args->operands[0], *output = args_get(ctx->args, "output");
    if (!output) output = id;
    if (command_path(ctx, path, "evaluations", id, "")) return command_fail(ctx);
    if (http_get(&ctx->http, path, &it, &ctx->err)) return command_fail(ctx);
    enum status status = fetch_files(ctx, look_at(it, "files"), output, &fetched);
    if (!status && !fetched.files)
        status = fail(&ctx->err, E_MISSING, "there are no files yet: %s is %s", id,
                      look_string(it, "state", "?"));
    if (!status) {
        command_print_json(ctx, it);
        fetch_report(ctx, &fetched, output);
    }
    json_decref(it);
    return status ? command_fail(ctx) : 0;
}

static int eval_delete(struct context *ctx) { return command_delete(ctx, "evaluations"); }

/* ---- the table ----------------------------------------------------------------------- */

#define HOW_OPTS                                                                                   \
    { "name", 'N', "NAME", "what to call it" },                                                    \
        { "backend", 0, "NAME", "cpu, ref, cuda, or cuda-exact: the same bits every time" },       \
        { "threads", 0, "N", "of the trainer" },                                                   \
        { "wait", 'w', NULL, "stay until it is done, then show it" }, WATCH_OPTS, SPEC_OPTS,       \
    {                                                                                              \
        NULL, 0, NULL, NULL                                                                        \
    }

static const struct opt create_opts[] = {
    { "task", 't', "NAME=FILE",
      "a task and its file, such as arc_easy=ARC-Easy-Test.jsonl; a\n"
      "name that says no form needs one: mine:pairs=mine.jsonl;\n"
      "several files: piqa=valid.jsonl,labels.lst; may be repeated" },
    { "limit", 0, "N", "only the first items of every task" },
    { "context", 0, "N", "tokens that the model sees at most (default 2048)" },
    { "batch-tokens", 0, "N", "tokens computed at once (default 8192)" },
    HOW_OPTS,
};

static const struct opt latency_opts[] = {
    { "prompt-tokens", 0, "N", "tokens read at once (default 512)" },
    { "generate-tokens", 0, "N", "tokens written one by one (default 128)" },
    { "repeats", 0, "N", "rounds that count (default 5)" },
    HOW_OPTS,
};

static const struct opt list_opts[] = {
    COMMAND_SUBJECT_LIST_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt show_opts[] = {
    { "lm-eval", 0, NULL, "print the report in lm-evaluation-harness' layout" },
    { NULL, 0, NULL, NULL },
};

static const struct opt get_opts[] = {
    { "output", 'o', "DIR", "where to put them (default: a folder named by the id)" },
    { NULL, 0, NULL, NULL },
};

static const struct opt watch_opts[] = { WATCH_OPTS, { NULL, 0, NULL, NULL } };

const struct verb eval_verbs[] = {
    { "create", "SUBJECT", "score a run, an architecture or a model on tasks",
      "Example\n"
      "  lathe eval run_3 --task arc_easy=ARC-Easy-Test.jsonl --task wiki:text=wiki.jsonl --wait\n"
      "\n"
      "Forms: arc, hellaswag, piqa, winogrande, boolq, lambada (the data sets' own files), text\n"
      "(perplexity), pairs (prompts that are made already). Prompts and numbers are those of\n"
      "lm-evaluation-harness without examples.\n",
      create_opts, 0, 1, eval_create },
    { "latency", "SUBJECT", "measure how fast it reads and writes here",
      "An architecture needs no weights for it. Example\n  lathe eval latency arch_5 --wait\n",
      latency_opts, 1, 1, eval_latency },
    { "list", "", "show evaluations", NULL, list_opts, 0, 0, eval_list },
    { "show", "ID", "show the scores of one", NULL, show_opts, 1, 1, eval_show },
    { "get", "ID", "fetch its report and samples", NULL, get_opts, 1, 1, eval_get },
    { "watch", "ID", "follow one until it is over", NULL, watch_opts, 1, 1, eval_watch },
    { "cancel", "ID", "stop one", NULL, NULL, 1, 1, eval_cancel },
    { "delete", "ID", "forget one that is over, its scores and its files", NULL, NULL, 1, 1,
      eval_delete },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
