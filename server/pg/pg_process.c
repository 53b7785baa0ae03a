#include "server/pg/pg_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "search/base/log.h"

/* ---- starting a program: between fork and exec only plain system calls ------------------ */

static void become_user(const struct pg_home *home)
{
    if (!home->other_user) return;
    if (setgroups((size_t)home->n_groups, home->groups) || setgid(home->gid) || setuid(home->uid))
        _exit(126);
}

static void redirect(const char *log)
{
    int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0) _exit(125);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    close_range(3, ~0u, 0);
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int n = 1; n < 32; n++) signal(n, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child(const struct pg_home *home, char *const argv[], pid_t parent)
{
    static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C.UTF-8", zone[] = "TZ=UTC";
    char *environment[] = { path, locale, zone, NULL };
    reset_signals();
    become_user(home);
    prctl(PR_SET_PDEATHSIG, SIGINT); /* after setuid, which clears it */
    if (getppid() != parent) _exit(125);
    redirect(home->log);
    setsid();
    if (chdir(home->folder)) _exit(125);
    execve(argv[0], argv, environment);
    _exit(127);
}

pid_t pg_process_start(const struct pg_home *home, char *const argv[])
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) child(home, argv, parent);
    return pid;
}

/* ---- initdb --------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static enum status wait_for(pid_t pid, const struct pg_home *home, struct error *err)
{
    int how;
    if (pid < 0) return fail(err, E_IO, "cannot start initdb: %s", strerror(errno));
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return OK;
    return fail(err, E_IO, "initdb failed, see %s", home->log);
}

enum status pg_process_initdb(const struct pg_home *home, struct error *err)
{
    char program[640], fresh[640];
    if (pg_home_has_cluster(home)) return OK;
    snprintf(program, sizeof program, "%s/initdb", home->bin);
    snprintf(fresh, sizeof fresh, "%s.new", home->data);
    remove_tree(fresh);
    char *argv[] = { program,
                     (char[]){ "-D" },
                     fresh,
                     (char[]){ "--encoding=UTF8" },
                     (char[]){ "--locale=C.UTF-8" },
                     (char[]){ "--username=lathe" },
                     (char[]){ "--auth=trust" },
                     (char[]){ "--wal-segsize=1" },
                     NULL };
    TRY(wait_for(pg_process_start(home, argv), home, err));
    rmdir(home->data);
    if (rename(fresh, home->data))
        return fail(err, E_IO, "cannot rename %s: %s", fresh, strerror(errno));
    return OK;
}

/* ---- the server ------------------------------------------------------------------------ */

pid_t pg_process_serve(const struct pg_home *home)
{
    static const char *const settings[] = {
        "listen_addresses=",
        "unix_socket_permissions=0700",
        "max_connections=60",
        "shared_buffers=64MB",
        "max_wal_size=256MB",
        "min_wal_size=32MB",
        "logging_collector=off",
        "timezone=UTC",
        "log_timezone=UTC",
        "checkpoint_timeout=15min",
        "jit=off",
        "log_checkpoints=off",
    };
    enum { N = sizeof settings / sizeof *settings };
    char program[640], sockets[640], text[N][48], *argv[2 * N + 8];
    char data_flag[] = "-D", set_flag[] = "-c", data[600];
    int n = 0;
    snprintf(program, sizeof program, "%s/postgres", home->bin);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", home->run);
    memcpy(data, home->data, sizeof data);
    argv[n++] = program, argv[n++] = data_flag, argv[n++] = data;
    argv[n++] = set_flag, argv[n++] = sockets;
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "%s", settings[i]);
        argv[n++] = set_flag, argv[n++] = text[i];
    }
    argv[n] = NULL;
    return pg_process_start(home, argv);
}

/* postmaster.pid: line 1 is the process id, line 8 its state. */
pid_t pg_process_recorded(const struct pg_home *home, bool *ready)
{
    char path[640], line[256];
    long pid = 0;
    *ready = false;
    snprintf(path, sizeof path, "%s/postmaster.pid", home->data);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    for (int n = 1; fgets(line, sizeof line, f); n++) {
        if (n == 1) pid = strtol(line, NULL, 10);
        if (n == 8) *ready = !strncmp(line, "ready", 5);
    }
    fclose(f);
    return (pid_t)(pid > 0 ? pid : 0);
}

/* ---- orphans --------------------------------------------------------------------------- */

/* Every process of a server works in its data directory. */
static bool works_in(const char *pid, const char *dir)
{
    char link[64], cwd[600];
    snprintf(link, sizeof link, "/proc/%.20s/cwd", pid);
    ssize_t n = readlink(link, cwd, sizeof cwd - 1);
    if (n < 0) return false;
    cwd[n] = 0;
    return !strcmp(cwd, dir);
}

/* How many processes work in the data directory; *server: is `recorded` one of them? */
static int count_workers(const struct pg_home *home, pid_t recorded, bool *server)
{
    char dir[PATH_MAX];
    int n = 0;
    *server = false;
    DIR *proc = opendir("/proc");
    if (!proc || !realpath(home->data, dir)) strcpy(dir, home->data);
    for (struct dirent *e; proc && (e = readdir(proc));) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || !works_in(e->d_name, dir)) continue;
        n++;
        *server |= atol(e->d_name) == recorded;
    }
    if (proc) closedir(proc);
    return n;
}

bool pg_process_clear_orphans(const struct pg_home *home)
{
    bool ready, server;
    char path[640];
    pid_t recorded = pg_process_recorded(home, &ready);
    int workers = count_workers(home, recorded, &server);
    if (server) {
        log_warn("postgres: stopping process %d, left by a lathed before", (int)recorded);
        kill(recorded, SIGINT);
    }
    if (workers) return false;
    if (recorded && (kill(recorded, 0) == 0 || errno == EPERM)) {
        snprintf(path, sizeof path, "%s/postmaster.pid", home->data);
        log_warn("postgres: process %d is not the server, removing its stale lock", (int)recorded);
        unlink(path);
    }
    return true;
}
