#include <locale.h>
#include <string.h>
#include "clients/cli/command.h"
#include "clients/cli/complete.h"

/* lathe: the command line of the service. A client of its HTTP API and nothing else. */

const struct group commands[] = {
    { "status", "is the service there, and what is it doing", NULL, status_verbs, "show" },
    { "upload", "send files to the service", NULL, upload_verbs, NULL },
    { "dataset", "token streams to train on, made from text", NULL, dataset_verbs, NULL },
    { "model", "trained models to start from", NULL, model_verbs, NULL },
    { "search", "pruning-aware pretraining: one search, a shape for every size",
      "A search trains a source model and, while it trains, removes the least salient heads, FFN\n"
      "channels and hidden (stem) channels. Every removal is an architecture; 'shapes' and\n"
      "'trajectory' show them, 'lathe run' and 'lathe compare' train them further.\n",
      search_verbs, NULL },
    { "architectures", "every shape that a search went through", NULL, architecture_verbs, "list" },
    { "run", "training of one architecture or shape", NULL, run_verbs, NULL },
    { "compare", "inherited, re-initialised and hand-drawn at the same tokens", NULL, compare_verbs,
      NULL },
    { "export", "models in the forms that others load, with proof beside each",
      "A run, an architecture's kept weights or an imported model, for transformers, vLLM, "
      "llama.cpp\n"
      "and others. 'lathe export run_3 --format gguf' is short for 'lathe export create ...'.\n",
      export_verbs, "create" },
    { "eval", "scores as lm-evaluation-harness has them, and measured speed",
      "'lathe eval run_3 --task arc_easy=FILE' is short for 'lathe eval create ...'.\n", eval_verbs,
      "create" },
    { "jobs", "what the trainers were asked to do", NULL, job_verbs, "list" },
    { "workers", "the processes that run jobs", NULL, worker_verbs, "list" },
    { "tokens", "who may ask", NULL, token_verbs, "list" },
    { "events", "everything that happens, as it happens", NULL, event_verbs, "watch" },
    { NULL, NULL, NULL, NULL, NULL },
};

static int run(struct context *ctx)
{
    struct where where;
    const struct args *args = ctx->args;
    if (where_find(&where, args_get(args, "server"), args_get(args, "token"),
                   args_get(args, "data-dir"), &ctx->err))
        return command_fail(ctx);
    if (http_open(&ctx->http, &where, &ctx->err)) return command_fail(ctx);
    int code = args->verb->run(ctx);
    http_close(&ctx->http);
    return fflush(stdout) || ferror(stdout) ? 1 : code;
}

int main(int argc, char **argv)
{
    struct args args;
    struct context ctx = { .args = &args };
    setlocale(LC_CTYPE, "");
    if (argc > 1 && !strcmp(argv[1], "__complete"))
        return complete_print(commands, argc - 2, argv + 2, stdout), 0;
    if (args_parse(&args, commands, argc, argv, &ctx.err)) return command_fail(&ctx);
    if (args.version) return printf("lathe %s\n", LATHE_VERSION) < 0;
    if (args.help) return args_help(&args, commands, stdout), 0;
    ctx.json = args_has(&args, "json");
    ctx.quiet = args_has(&args, "quiet");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int code = run(&ctx);
    curl_global_cleanup();
    return code;
}
