#include "server/jobs/work_dir.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "search/base/log.h"

enum { LEAST_ROOM = 256 * 1024 };

bool work_dir_is_full(const char *work_dir)
{
    struct statvfs fs;
    return !statvfs(work_dir, &fs) && fs.f_bavail * fs.f_frsize < LEAST_ROOM;
}

/* A disk is full until somebody makes room: that is no fault of the job's. */
static enum status cannot(const char *what, const char *path, struct error *err)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    return fail(err, full ? E_BUSY : E_IO, "cannot %s %s: %s%s", what, path, strerror(errno),
                full ? "; it starts once there is room" : "");
}

static enum status write_text(const char *path, const char *text, struct error *err)
{
    FILE *file = fopen(path, "we");
    if (!file) return cannot("write", path, err);
    bool bad = fputs(text, file) == EOF || fputc('\n', file) == EOF;
    bad |= fclose(file) != 0;
    return bad ? cannot("write", path, err) : OK;
}

enum status work_dir_make(const char *work_dir, const char *document, struct error *err)
{
    char draft[1100], path[1100];
    if (mkdir(work_dir, 0700) && errno != EEXIST) return cannot("make", work_dir, err);
    snprintf(draft, sizeof draft, "%s/job.json.new", work_dir);
    snprintf(path, sizeof path, "%s/job.json", work_dir);
    if (work_dir_is_full(work_dir)) {
        errno = ENOSPC;
        return cannot("work in", work_dir, err);
    }
    TRY(write_text(draft, document, err));
    return rename(draft, path) ? cannot("write", path, err) : OK;
}

void work_dir_claim(const char *work_dir, int pid)
{
    char path[1100], text[320], host[256] = "";
    struct error err = { 0 };
    gethostname(host, sizeof host - 1);
    snprintf(path, sizeof path, "%s/trainer.pid", work_dir);
    snprintf(text, sizeof text, "%d %s", pid, host);
    if (write_text(path, text, &err)) log_warn("runner: %s", err.text);
}

/* A number may have gone to another process meanwhile: trainers are at home in their folder. */
static bool works_in(const char *work_dir, int pid)
{
    char link[64], place[1100];
    snprintf(link, sizeof link, "/proc/%d/cwd", pid);
    ssize_t n = readlink(link, place, sizeof place - 1);
    return n > 0 && (size_t)n == strlen(work_dir) && !memcmp(place, work_dir, (size_t)n);
}

void work_dir_stop_orphan(const char *work_dir)
{
    char path[1100], host[256] = "", there[256] = "";
    int pid = 0;
    gethostname(host, sizeof host - 1);
    snprintf(path, sizeof path, "%s/trainer.pid", work_dir);
    FILE *file = fopen(path, "re");
    if (!file) return;
    bool is_ours = fscanf(file, "%d %255s", &pid, there) == 2 && !strcmp(host, there);
    if (is_ours && pid > 1 && works_in(work_dir, pid)) {
        log_warn("runner: stopping process %d, left in %s by a lathed before", pid, work_dir);
        kill(pid, SIGTERM);
    }
    fclose(file);
}
