#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "search/base/hash.h"
#include "search/base/log.h"
#include "server/http/exchange.h"

enum { PART_AGE_S = 3600 };

struct upload_writer {
    struct exchange *x;
    int fd;
    struct hash *hash;
    struct upload upload;
    char path[640];
    uv_fs_t sync;
    void (*done)(struct exchange *x, const struct error *err);
};

struct upload_writer *upload_writer_new(struct exchange *x, struct error *err)
{
    struct upload_writer *w = calloc(1, sizeof *w);
    if (!w) abort();
    snprintf(w->path, sizeof w->path, "%s/part-%s-%llu", x->http->options.uploads_dir,
             x->http->boot, (unsigned long long)x->http->n_requests);
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        fail(err, errno == ENOSPC ? E_MEMORY : E_IO, "cannot make %s: %s", w->path,
             strerror(errno));
        free(w);
        return NULL;
    }
    w->x = x;
    w->hash = hash_new();
    w->upload.path = w->path;
    return w;
}

enum status upload_writer_add(struct upload_writer *w, const char *bytes, size_t len,
                              struct error *err)
{
    if (w->upload.bytes + (int64_t)len > w->x->http->options.max_upload)
        return fail(err, E_LIMIT, "the upload is too large");
    hash_add(w->hash, bytes, len);
    w->upload.bytes += (int64_t)len;
    while (len) {
        ssize_t n = write(w->fd, bytes, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
            return fail(err, E_MEMORY, "the disk of the service is full");
        if (n < 0) return fail(err, E_IO, "cannot write %s: %s", w->path, strerror(errno));
        bytes += n;
        len -= (size_t)n;
    }
    return OK;
}

static void on_synced(uv_fs_t *sync)
{
    struct upload_writer *w = sync->data;
    struct exchange *x = w->x;
    struct error err = { 0 };
    if (sync->result < 0)
        fail(&err, E_IO, "cannot sync %s: %s", w->path, uv_strerror((int)sync->result));
    uv_fs_req_cleanup(sync);
    x->req.upload = &w->upload;
    w->done(x, &err);
    request_release(&x->req);
}

void upload_writer_finish(struct upload_writer *w,
                          void (*done)(struct exchange *x, const struct error *err))
{
    hash_end(w->hash, w->upload.sha256);
    w->hash = NULL;
    w->done = done;
    w->sync.data = w;
    request_hold(&w->x->req);
    if (uv_fs_fsync(w->x->http->loop, &w->sync, w->fd, on_synced)) abort();
}

/* Parts of uploads that were cut off with their server. Those that are written to now are left alone:
 * another server may share the folder. */
void upload_forget_parts(const char *dir)
{
    char path[640];
    struct stat st;
    struct dirent *entry;
    DIR *d = opendir(dir);
    while (d && (entry = readdir(d))) {
        if (strncmp(entry->d_name, "part-", 5)) continue;
        snprintf(path, sizeof path, "%.300s/%.255s", dir, entry->d_name);
        if (!lstat(path, &st) && time(NULL) - st.st_mtime > PART_AGE_S && !unlink(path))
            log_info("http: removed %s, an upload that was cut off", path);
    }
    if (d) closedir(d);
}

void upload_writer_free(struct upload_writer *w)
{
    if (w->hash) hash_end(w->hash, NULL);
    if (w->fd >= 0) close(w->fd);
    unlink(w->path); /* ENOENT when the handler moved it away */
    free(w);
}
