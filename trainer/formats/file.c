#include "trainer/formats/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum status fail_path(struct error *err, const char *what, const char *path)
{
    int code = errno;
    bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
    bool missing = code == ENOENT || code == ENOTDIR, wrong = code == ELOOP || code == ENAMETOOLONG;
    enum status status = missing ? E_MISSING : full ? E_BUSY : wrong ? E_INPUT : E_IO;
    return fail(err, status, "cannot %s %s: %s", what, path, strerror(code));
}

/* ---- reading ------------------------------------------------------------------ */

/* Opens a regular file and tells its size; the descriptor, or -1. */
static int open_regular(const char *path, size_t *len, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        fail_path(err, "open", path);
    } else if (!S_ISREG(st.st_mode)) {
        fail(err, E_INPUT, "%s is not a regular file", path);
    } else {
        *len = (size_t)st.st_size;
        return fd;
    }
    if (fd >= 0) close(fd);
    return -1;
}

enum status file_map_open(struct file_map *map, const char *path, struct error *err)
{
    *map = (struct file_map){ 0 };
    int fd = open_regular(path, &map->len, err);
    if (fd < 0) return err->status;
    if (map->len) {
        void *at = mmap(NULL, map->len, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            fail_path(err, "map", path);
        else
            map->bytes = at;
    }
    close(fd);
    if (err->status) map->len = 0;
    return err->status;
}

void file_map_close(struct file_map *map)
{
    union {
        const unsigned char *in;
        void *out;
    } bytes = { .in = map->bytes };
    if (map->bytes) munmap(bytes.out, map->len);
    *map = (struct file_map){ 0 };
}

static enum status read_all(int fd, char *to, size_t len, const char *path, struct error *err)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, to + at, len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_path(err, "read", path);
        if (n == 0) return fail(err, E_INPUT, "%s became shorter while it was read", path);
        at += (size_t)n;
    }
    return OK;
}

enum status file_read(char **out, size_t *len, const char *path, size_t max, struct error *err)
{
    *out = NULL;
    size_t size = 0;
    int fd = open_regular(path, &size, err);
    if (fd < 0) return err->status;
    char *text = size <= max ? malloc(size + 1) : NULL;
    if (size > max)
        fail(err, E_LIMIT, "%s has %zu bytes, at most %zu are read", path, size, max);
    else if (!text)
        abort();
    else if (!read_all(fd, text, size, path, err)) {
        text[size] = '\0';
        *out = text;
        *len = size;
        text = NULL;
    }
    free(text);
    close(fd);
    return err->status;
}

/* ---- writing ------------------------------------------------------------------- */

enum { OUT_ROOM = 256 * 1024 };

struct file_out {
    int fd;
    int error; /* errno of the first failure */
    uint64_t offset;
    size_t n; /* bytes waiting in `room` */
    struct hash *hash;
    char *path;
    unsigned char room[OUT_ROOM];
};

enum status file_create(struct file_out **out, const char *path, struct error *err)
{
    *out = NULL;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return fail_path(err, "create", path);
    struct file_out *o = malloc(sizeof *o);
    if (!o) abort();
    o->fd = fd;
    o->error = 0;
    o->offset = 0;
    o->n = 0;
    o->hash = hash_new();
    o->path = strdup(path);
    if (!o->path) abort();
    *out = o;
    return OK;
}

static void flush_out(struct file_out *o)
{
    hash_add(o->hash, o->room, o->n);
    for (size_t at = 0; at < o->n && !o->error;) {
        ssize_t n = write(o->fd, o->room + at, o->n - at);
        if (n > 0)
            at += (size_t)n;
        else if (n < 0 && errno != EINTR)
            o->error = errno;
    }
    o->n = 0;
}

void file_put(struct file_out *o, const void *bytes, size_t len)
{
    const unsigned char *from = bytes;
    o->offset += len;
    while (len && !o->error) {
        size_t n = OUT_ROOM - o->n < len ? OUT_ROOM - o->n : len;
        memcpy(o->room + o->n, from, n);
        o->n += n;
        from += n;
        len -= n;
        if (o->n == OUT_ROOM) flush_out(o);
    }
}

void file_patch(struct file_out *o, uint64_t at, const void *bytes, size_t len)
{
    flush_out(o);
    if (o->error) return;
    ssize_t n = pwrite(o->fd, bytes, len, (off_t)at);
    if (n != (ssize_t)len) o->error = n < 0 ? errno : EIO;
}

uint64_t file_offset(const struct file_out *o) { return o->offset; }

enum status file_close(struct file_out *o, char sha256[HASH_HEX], struct error *err)
{
    flush_out(o);
    if (!o->error && fsync(o->fd)) o->error = errno;
    if (close(o->fd) && !o->error) o->error = errno;
    char unused[HASH_HEX];
    hash_end(o->hash, sha256 ? sha256 : unused);
    errno = o->error;
    enum status status = o->error ? fail_path(err, "write", o->path) : OK;
    free(o->path);
    free(o);
    return status;
}

enum status file_write(const char *path, const void *bytes, size_t len, struct error *err)
{
    struct file_out *out;
    TRY(file_create(&out, path, err));
    file_put(out, bytes, len);
    return file_close(out, NULL, err);
}

enum status file_digest(const char *path, uint64_t *size, char sha256[HASH_HEX], struct error *err)
{
    size_t len = 0;
    int fd = open_regular(path, &len, err);
    if (fd < 0) return err->status;
    struct hash *hash = hash_new();
    unsigned char *room = malloc(OUT_ROOM);
    if (!room) abort();
    *size = 0;
    for (ssize_t n; (n = read(fd, room, OUT_ROOM)) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        hash_add(hash, room, (size_t)n);
        *size += (uint64_t)n;
    }
    if (*size != len) fail(err, E_IO, "cannot read all of %s", path);
    hash_end(hash, sha256);
    free(room);
    close(fd);
    return err->status;
}

/* ---- folders --------------------------------------------------------------------- */

enum status path_join(char out[PATH_ROOM], const char *dir, const char *name, struct error *err)
{
    size_t n = strlen(dir), m = strlen(name);
    size_t slash = n && dir[n - 1] == '/' ? 0 : 1;
    if (n + slash + m >= PATH_ROOM)
        return fail(err, E_LIMIT, "a path below %.80s... is too long", dir);
    memcpy(out, dir, n);
    memset(out + n, '/', slash);
    memcpy(out + n + slash, name, m + 1);
    return OK;
}

enum status dir_make(const char *path, struct error *err)
{
    char part[PATH_ROOM];
    TRY(path_join(part, path, "", err));
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0777) && errno != EEXIST) return fail_path(err, "make the folder", part);
        *slash = '/';
    }
    struct stat st;
    if (stat(path, &st)) return fail_path(err, "open", path);
    if (!S_ISDIR(st.st_mode)) return fail(err, E_IO, "%s is not a folder", path);
    return OK;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path) && errno != ENOENT ? -1 : 0;
}

enum status dir_remove(const char *path, struct error *err)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return fail_path(err, "remove", path);
    return OK;
}

static enum status dir_sync(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_path(err, "open", path);
    if (fsync(fd)) fail_path(err, "fsync", path);
    close(fd);
    return err->status;
}

enum status dir_commit(const char *tmp, const char *path, struct error *err)
{
    char parent[PATH_ROOM];
    TRY(path_join(parent, path, "", err));
    parent[strlen(parent) - 1] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash) *slash = '\0';

    TRY(dir_sync(tmp, err));
    TRY(dir_remove(path, err));
    if (rename(tmp, path)) return fail_path(err, "rename to", path);
    return dir_sync(!slash ? "." : slash == parent ? "/" : parent, err);
}
