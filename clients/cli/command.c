#include "clients/cli/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clients/cli/look.h"
#include "clients/cli/print.h"
#include "clients/cli/text.h"

enum { PAGE_SIZE = 200, DEFAULT_LIMIT = 50, MAX_LIMIT = 10000000, BAR_WIDTH = 30 };

int command_fail(struct context *ctx)
{
    fprintf(stderr, "lathe: %s\n", ctx->err.text);
    return status_exit_code(ctx->err.status);
}

bool command_print_json(struct context *ctx, json_t *json)
{
    if (!ctx->json) return false;
    print_json(json, stdout);
    return true;
}

enum status command_path(struct context *ctx, char out[HTTP_MAX_PATH], const char *collection,
                         const char *id, const char *rest)
{
    bool fine = *id && strlen(id) < 64;
    for (const char *c = id; *c; c++)
        fine = fine && (strchr("_-", *c) || (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                        (*c >= 'A' && *c <= 'Z'));
    if (!fine) return fail(&ctx->err, E_INPUT, "'%.64s' is not an id", id);
    snprintf(out, HTTP_MAX_PATH, "/v1/%s/%s%s", collection, id, rest);
    return OK;
}

int command_get(struct context *ctx, const char *collection, const struct show *card)
{
    char path[HTTP_MAX_PATH];
    json_t *resource = NULL;
    if (command_path(ctx, path, collection, ctx->args->operands[0], "")) return command_fail(ctx);
    if (http_get(&ctx->http, path, &resource, &ctx->err)) return command_fail(ctx);
    if (!command_print_json(ctx, resource)) show_card(resource, card, stdout);
    json_decref(resource);
    return 0;
}

/* One page after another; *token is the next page's, "" after the last. */
static enum status next_page(struct context *ctx, const char *path, json_t *items, char *token,
                             size_t n_token)
{
    struct buf with_token;
    json_t *page = NULL;
    buf_init(&with_token, HTTP_MAX_PATH);
    buf_puts(&with_token, path);
    http_query(&with_token, "page_token", *token ? token : NULL);
    enum status status = http_get(&ctx->http, with_token.bytes, &page, &ctx->err);
    buf_release(&with_token);
    if (status) return status;
    json_array_extend(items, look_at(page, "items"));
    snprintf(token, n_token, "%s", look_string(page, "next_page_token", ""));
    json_decref(page);
    return OK;
}

enum status command_pages(struct context *ctx, const char *path, int64_t limit, json_t **items)
{
    struct buf first;
    char token[1024] = "", size[24];
    enum status status;
    *items = json_array();
    buf_init(&first, HTTP_MAX_PATH);
    buf_puts(&first, path);
    snprintf(size, sizeof size, "%" PRId64, limit < PAGE_SIZE ? limit : PAGE_SIZE);
    http_query(&first, "page_size", size);
    do status = next_page(ctx, first.bytes, *items, token, sizeof token);
    while (!status && *token && (int64_t)json_array_size(*items) < limit);
    buf_release(&first);
    while ((int64_t)json_array_size(*items) > limit)
        json_array_remove(*items, json_array_size(*items) - 1);
    if (status) json_decref(*items), *items = NULL;
    return status;
}

/* Option names have dashes, query members underscores. */
static void add_filter(struct context *ctx, struct buf *path, const char *option)
{
    char member[64];
    snprintf(member, sizeof member, "%s", option);
    for (char *c = member; *c; c++)
        if (*c == '-') *c = '_';
    http_query(path, member, args_get(ctx->args, option));
}

static void show_items(struct context *ctx, json_t *items, const struct show *columns)
{
    size_t i;
    json_t *item, *document = json_pack("{sO}", "items", items);
    if (command_print_json(ctx, document)) {
    } else if (ctx->quiet) {
        json_array_foreach(items, i, item) printf("%s\n", look_string(item, "id", ""));
    } else {
        show_list(items, columns, stdout);
    }
    json_decref(document);
}

int command_list(struct context *ctx, const char *collection, const char *const *filters,
                 const struct show *columns)
{
    struct buf path;
    json_t *items = NULL;
    int64_t limit = args_int(ctx->args, "limit", 0, MAX_LIMIT, DEFAULT_LIMIT, &ctx->err);
    if (ctx->err.status) return command_fail(ctx);
    buf_init(&path, HTTP_MAX_PATH);
    buf_printf(&path, "/v1/%s", collection);
    for (; filters && *filters; filters++) add_filter(ctx, &path, *filters);
    add_filter(ctx, &path, "order-by");
    enum status status = command_pages(ctx, path.bytes, limit ? limit : MAX_LIMIT, &items);
    buf_release(&path);
    if (status) return command_fail(ctx);
    show_items(ctx, items, columns);
    json_decref(items);
    return 0;
}

static void show_made(struct context *ctx, json_t *made, const char *hint, const struct show *card)
{
    const char *id = look_string(made, "id", "");
    if (command_print_json(ctx, made)) return;
    if (ctx->quiet) {
        printf("%s\n", id);
        return;
    }
    show_card(made, card, stdout);
    if (hint) fprintf(stderr, "\nnext: lathe %s %s\n", hint, id);
}

int command_create(struct context *ctx, const char *collection, json_t *body, const char *hint,
                   const struct show *card)
{
    char path[HTTP_MAX_PATH];
    json_t *made = NULL;
    snprintf(path, sizeof path, "/v1/%s", collection);
    enum status status = http_post(&ctx->http, path, body, &made, &ctx->err);
    json_decref(body);
    if (status) return command_fail(ctx);
    show_made(ctx, made, hint, card);
    json_decref(made);
    return 0;
}

int command_wish(struct context *ctx, const char *collection, const struct show *card)
{
    char path[HTTP_MAX_PATH], wish[32];
    json_t *resource = NULL;
    snprintf(wish, sizeof wish, "/%s", ctx->args->verb->name);
    if (command_path(ctx, path, collection, ctx->args->operands[0], wish)) return command_fail(ctx);
    if (http_post(&ctx->http, path, NULL, &resource, &ctx->err)) return command_fail(ctx);
    show_made(ctx, resource, NULL, card);
    json_decref(resource);
    return 0;
}

int command_delete(struct context *ctx, const char *collection)
{
    char path[HTTP_MAX_PATH];
    json_t *nothing = NULL;
    if (command_path(ctx, path, collection, ctx->args->operands[0], "")) return command_fail(ctx);
    if (http_delete(&ctx->http, path, &nothing, &ctx->err)) return command_fail(ctx);
    json_decref(nothing);
    return 0;
}

int command_document(struct context *ctx, const char *path)
{
    json_t *document = NULL;
    if (http_get(&ctx->http, path, &document, &ctx->err)) return command_fail(ctx);
    print_json(document, stdout);
    json_decref(document);
    return 0;
}

static void show_sent(void *context, int64_t done, int64_t total)
{
    char bar[3 * BAR_WIDTH + 1], a[TEXT_MAX], b[TEXT_MAX];
    if (total <= 0) return;
    text_bar(bar, BAR_WIDTH, (double)done / (double)total, text_utf8());
    fprintf(stderr, "\r%s  %s  %s of %s \x1b[K", (const char *)context, bar,
            text_bytes(a, (double)done), text_bytes(b, (double)total));
}

static enum status send_file(struct context *ctx, const char *path, FILE *file, json_t **out)
{
    struct stat stat;
    bool live = isatty(STDERR_FILENO) && !ctx->quiet;
    char name[256];
    if (fstat(fileno(file), &stat) || !S_ISREG(stat.st_mode))
        return fail(&ctx->err, E_INPUT, "%s: not a regular file", path);
    snprintf(name, sizeof name, "%s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    enum status status = http_upload(&ctx->http, "/v1/uploads", file, stat.st_size,
                                     live ? show_sent : NULL, name, out, &ctx->err);
    if (live) fprintf(stderr, "\r\x1b[K");
    return status ? fail_in(&ctx->err, "%s", path) : OK;
}

enum status command_upload(struct context *ctx, const char *path, json_t **out)
{
    FILE *file = fopen(path, "re");
    if (!file) return fail(&ctx->err, E_INPUT, "%s: %s", path, strerror(errno));
    enum status status = send_file(ctx, path, file, out);
    fclose(file);
    return status;
}
