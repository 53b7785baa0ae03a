#include <string.h>
#include "clients/cli/command.h"
#include "clients/cli/spec.h"

/* workers, tokens: for those who run the service. */

static const struct show worker_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "host", "host", SHOW_TEXT },
    { "busy", "busy", SHOW_WHOLE },
    { "slots", "slots", SHOW_WHOLE },
    { "alive", "alive", SHOW_TEXT },
    { "draining", "draining", SHOW_TEXT },
    { "seen", "seen_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static int worker_list(struct context *ctx)
{
    static const char *const filters[] = { "alive", "draining", NULL };
    return command_list(ctx, "workers", filters, worker_columns);
}
static int worker_get(struct context *ctx) { return command_get(ctx, "workers", worker_columns); }
static int worker_wish(struct context *ctx) { return command_wish(ctx, "workers", worker_columns); }

static const struct show token_columns[] = {
    { "id", "id", SHOW_TEXT },
    { "name", "name", SHOW_TEXT },
    { "scope", "scope", SHOW_TEXT },
    { "created", "created_at", SHOW_TIME },
    { "expires", "expires_at", SHOW_TIME },
    { "revoked", "revoked_at", SHOW_TIME },
    { "last used", "last_used_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static const struct show token_card[] = {
    { "token", "token", SHOW_TEXT },
    { "scope", "scope", SHOW_TEXT },
    { "expires", "expires_at", SHOW_TIME },
    { NULL, NULL, 0 },
};

static int token_list(struct context *ctx)
{
    static const char *const filters[] = { "scope", NULL };
    return command_list(ctx, "tokens", filters, token_columns);
}

static int token_create(struct context *ctx)
{
    static const struct spec specs[] = { { "name", "name", SPEC_STRING },
                                         { "scope", "scope", SPEC_STRING },
                                         { "days", "expires_in_days", SPEC_NUMBER },
                                         { NULL, NULL, 0 } };
    json_t *body;
    if (spec_build(ctx->args, specs, &body, &ctx->err)) return command_fail(ctx);
    return command_create(ctx, "tokens", body, NULL, token_card);
}

static int token_revoke(struct context *ctx) { return command_delete(ctx, "tokens"); }

static const struct opt worker_opts[] = {
    { "alive", 0, "true|false", "heard of in the last minute" },
    { "draining", 0, "true|false", "take no new jobs" },
    COMMAND_LIST_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt token_list_opts[] = {
    { "scope", 0, "SCOPE", "read, write or admin" },
    COMMAND_LIST_OPTS,
    { NULL, 0, NULL, NULL },
};

static const struct opt token_opts[] = {
    { "name", 'N', "NAME", "whose it is" },
    { "scope", 0, "SCOPE", "read (the default), write or admin" },
    { "days", 0, "N", "how long it is good; for ever when not said" },
    SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};

const struct verb worker_verbs[] = {
    { "list", "", "show workers", NULL, worker_opts, 0, 0, worker_list },
    { "get", "ID", "show one", NULL, NULL, 1, 1, worker_get },
    { "drain", "ID", "give one no new jobs", NULL, NULL, 1, 1, worker_wish },
    { "undrain", "ID", "give it jobs again", NULL, NULL, 1, 1, worker_wish },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

const struct verb token_verbs[] = {
    { "list", "", "show tokens, without their text", NULL, token_list_opts, 0, 0, token_list },
    { "create", "", "make one; its text is shown here and never again",
      "Example\n  lathe tokens create --name notebook --scope write --days 30\n", token_opts, 0, 0,
      token_create },
    { "revoke", "ID", "refuse one from now on", NULL, NULL, 1, 1, token_revoke },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
