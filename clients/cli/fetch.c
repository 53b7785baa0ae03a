#include "clients/cli/fetch.h"

#include <string.h>
#include <unistd.h>
#include "clients/cli/download.h"
#include "clients/cli/look.h"
#include "clients/cli/text.h"

enum { BAR_WIDTH = 30, PLACE_MAX = 4096 };

static void show_got(void *context, int64_t done, int64_t total)
{
    char bar[3 * BAR_WIDTH + 1], a[TEXT_MAX], b[TEXT_MAX];
    if (total <= 0) return;
    text_bar(bar, BAR_WIDTH, (double)done / (double)total, text_utf8());
    fprintf(stderr, "\r%s  %s  %s of %s \x1b[K", (const char *)context, bar,
            text_bytes(a, (double)done), text_bytes(b, (double)total));
}

static enum status fetch_file(struct context *ctx, json_t *file, const char *folder,
                              struct fetched *fetched)
{
    char path[HTTP_MAX_PATH], place[PLACE_MAX];
    bool live = isatty(STDERR_FILENO) && !ctx->quiet;
    const char *name = look_string(file, "name", "");
    int64_t came;
    if (!download_name_is_plain(name))
        return fail(&ctx->err, E_INPUT, "'%.60s' is no name for a file here", name);
    if (snprintf(place, sizeof place, "%s/%s", folder, name) >= (int)sizeof place)
        return fail(&ctx->err, E_INPUT, "%.100s...: the path is too long", folder);
    TRY(command_path(ctx, path, "artifacts", look_string(file, "artifact", ""), "/content"));
    struct download d = { path,
                          place,
                          look_string(file, "sha256", NULL),
                          look_int(file, "bytes", -1),
                          live ? show_got : NULL,
                          (void *)(uintptr_t)name };
    enum status status = download_file(&ctx->http, &d, &came, &ctx->err);
    if (live) fprintf(stderr, "\r\x1b[K");
    if (status) return fail_in(&ctx->err, "%s", place);
    fetched->files++;
    fetched->kept += !came && d.bytes > 0;
    fetched->bytes += came;
    fetched->unchecked += !d.sha256;
    if (!ctx->json) printf("%s\n", place);
    return OK;
}

enum status fetch_files(struct context *ctx, json_t *files, const char *folder,
                        struct fetched *fetched)
{
    json_t *file;
    size_t i;
    TRY(download_folder(folder, &ctx->err));
    json_array_foreach(files, i, file) TRY(fetch_file(ctx, file, folder, fetched));
    return OK;
}

void fetch_report(const struct context *ctx, const struct fetched *f, const char *folder)
{
    char size[TEXT_MAX];
    if (ctx->quiet || ctx->json) return;
    fprintf(stderr, "%d file%s in %s: %s came", f->files, f->files == 1 ? "" : "s", folder,
            text_bytes(size, (double)f->bytes));
    if (f->kept) fprintf(stderr, ", %d %s there", f->kept, f->kept == 1 ? "was" : "were");
    fprintf(stderr, f->unchecked ? "\n" : "; checksums are right\n");
}
