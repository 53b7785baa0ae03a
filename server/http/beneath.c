#include "server/http/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILE_FLAGS = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, PART_MAX = 255 };

static bool is_plain(const char *path)
{
    if (*path == '/') return false;
    for (const char *p = path;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || n > PART_MAX || (n <= 2 && strspn(p, ".") >= n)) return false;
        p += n;
        if (!*p) return true;
    }
}

static int by_kernel(int dir, const char *path)
{
    struct open_how how = { .flags = FILE_FLAGS,
                            .resolve =
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* For kernels before 5.6: one part at a time. */
static int by_parts(int dir, const char *path)
{
    char part[PART_MAX + 1];
    int at = dup(dir);
    for (const char *p = path; at >= 0; p++) {
        size_t n = strcspn(p, "/");
        memcpy(part, p, n);
        part[n] = 0;
        p += n;
        int next =
            openat(at, part, *p ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : FILE_FLAGS);
        int why = errno;
        close(at);
        errno = why;
        if (!*p || next < 0) return next;
        at = next;
    }
    return -1;
}

int open_beneath(const char *dir, const char *path, struct error *err)
{
    struct stat st;
    if (!is_plain(path)) {
        fail(err, E_INPUT, "\"%.100s\" is not a plain relative path", path);
        return -1;
    }
    int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = root < 0 ? -1 : by_kernel(root, path);
    if (fd < 0 && root >= 0 && (errno == ENOSYS || errno == EPERM)) fd = by_parts(root, path);
    int why = errno;
    if (root >= 0) close(root);
    if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode)) return fd;
    if (fd >= 0) close(fd);
    bool absent = fd >= 0 || why == ENOENT || why == ENOTDIR || why == ELOOP || why == EXDEV;
    fail(err, absent ? E_MISSING : E_IO, "there is no file %.200s", path);
    return -1;
}
