#include "server/web/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "server/web/web.h"

static const struct {
    const char *ending, *type;
} types[] = {
    { ".css", "text/css; charset=utf-8" },
    { ".html", "text/html; charset=utf-8" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".svg", "image/svg+xml" },
};

static const char *type_of(const char *name)
{
    size_t len = strlen(name);
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != len || *name == '.') return NULL;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t n = strlen(types[i].ending);
        if (len > n && !strcmp(name + len - n, types[i].ending)) return types[i].type;
    }
    return NULL;
}

/* ---- one file ------------------------------------------------------------------------------- */

static enum status read_whole(int fd, char *bytes, size_t len, const char *name, struct error *err)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = read(fd, bytes + got, len - got);
        if (n <= 0)
            return fail(err, E_IO, "cannot read %s: %s", name, n ? strerror(errno) : "short");
        got += (size_t)n;
    }
    return OK;
}

static enum status read_open(int fd, const char *name, char **bytes, size_t *len, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st)) return fail(err, E_IO, "cannot read %s: %s", name, strerror(errno));
    if (!S_ISREG(st.st_mode)) return fail(err, E_INPUT, "%s is not a file", name);
    if (st.st_size > WEB_MAX_BYTES)
        return fail(err, E_LIMIT, "%s is larger than %d bytes", name, WEB_MAX_BYTES);
    *len = (size_t)st.st_size;
    *bytes = malloc(*len + 1);
    if (!*bytes) abort();
    return read_whole(fd, *bytes, *len, name, err);
}

/* Leaves *bytes NULL when there is no such file. */
static enum status read_file(int dir, const char *name, char **bytes, size_t *len,
                             struct error *err)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return OK;
    if (fd < 0) return fail(err, E_IO, "cannot open %s: %s", name, strerror(errno));
    enum status status = read_open(fd, name, bytes, len, err);
    close(fd);
    return status;
}

static enum status take(struct web_files *files, int dir, const char *prefix, const char *name,
                        struct error *err)
{
    char packed[300], hex[HASH_HEX];
    if (files->n == WEB_MAX_FILES)
        return fail(err, E_LIMIT, "there are more than %d files", WEB_MAX_FILES);
    struct web_file *file = &files->file[files->n++];
    *file = (struct web_file){ .type = type_of(name) };
    int n = snprintf(file->name, sizeof file->name, "%s%s", prefix, name);
    if (n >= (int)sizeof file->name) return fail(err, E_LIMIT, "the name %s is too long", name);
    TRY(read_file(dir, name, &file->bytes, &file->n_bytes, err));
    if (!file->bytes) return fail(err, E_IO, "%s has gone", name);
    snprintf(packed, sizeof packed, "%s.gz", name);
    TRY(read_file(dir, packed, &file->packed, &file->n_packed, err));
    hash_hex(file->bytes, file->n_bytes, hex);
    memcpy(file->etag, hex, sizeof file->etag - 1);
    return OK;
}

/* ---- the folder ----------------------------------------------------------------------------- */

static enum status read_folder(struct web_files *files, int dir, const char *prefix,
                               struct error *err);

/* A folder in the folder; anything else that is not ours is passed over. */
static enum status read_inner(struct web_files *files, int dir, const char *name, struct error *err)
{
    char prefix[300];
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(name)) return OK;
    int inner = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (inner < 0) return OK;
    snprintf(prefix, sizeof prefix, "%s/", name);
    return read_folder(files, inner, prefix, err);
}

/* Takes over `dir`. */
static enum status read_folder(struct web_files *files, int dir, const char *prefix,
                               struct error *err)
{
    enum status status = OK;
    DIR *list = fdopendir(dir);
    if (!list) abort();
    for (struct dirent *entry; !status && (entry = readdir(list));) {
        if (type_of(entry->d_name))
            status = take(files, dir, prefix, entry->d_name, err);
        else if (!*prefix)
            status = read_inner(files, dir, entry->d_name, err);
    }
    closedir(list);
    return status;
}

enum status web_files_read(struct web_files *files, const char *folder, struct error *err)
{
    *files = (struct web_files){ 0 };
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return fail(err, E_MISSING, "cannot open %s: %s", folder, strerror(errno));
    files->file = calloc(WEB_MAX_FILES, sizeof *files->file);
    if (!files->file) abort();
    enum status status = read_folder(files, dir, "", err);
    if (status) {
        fail_in(err, "%s", folder);
        web_files_release(files);
    }
    return status;
}

void web_files_release(struct web_files *files)
{
    for (int i = 0; i < files->n; i++) {
        free(files->file[i].bytes);
        free(files->file[i].packed);
    }
    free(files->file);
    *files = (struct web_files){ 0 };
}

const struct web_file *web_files_find(const struct web_files *files, const char *name)
{
    for (int i = 0; i < files->n; i++)
        if (!strcmp(files->file[i].name, name)) return &files->file[i];
    return NULL;
}
