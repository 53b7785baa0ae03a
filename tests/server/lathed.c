#include "tests/server/lathed.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/support/check.h"

struct wire lathed_wire;
char lathed_dir[64], lathed_errors[128];
static char program[512];

void lathed_init(void)
{
    const char *bin = getenv("LATHE_BIN_DIR");
    snprintf(program, sizeof program, "%s/lathed", bin ? bin : "build/dev/bin");
    if (access("/usr/lib/postgresql", F_OK)) SKIP("no PostgreSQL server");
    signal(SIGPIPE, SIG_IGN);
    strcpy(lathed_dir, "/tmp/lathe-test-XXXXXX");
    CHECK(mkdtemp(lathed_dir), "mkdtemp");
    snprintf(lathed_errors, sizeof lathed_errors, "%s/errors", lathed_dir);
    setenv("HOME", lathed_dir, 1);
    unsetenv("XDG_DATA_HOME");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

const char *lathed_path(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", lathed_dir, name);
    return path;
}

char *lathed_read(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    return text;
}

/* Starts lathed with these flags; its two outputs go to a pipe and to the file `lathed_errors`. */
pid_t lathed_start(int *out, const char *const *flags)
{
    char *argv[24] = { program };
    int pipes[2], n = 1;
    for (; *flags; flags++) argv[n++] = strdup(*flags);
    CHECK_INT(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that fails leaves none behind */
        int fd = open(lathed_errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(pipes[1], 1);
        dup2(fd, 2);
        close(pipes[0]), close(pipes[1]);
        execv(program, argv);
        _exit(127);
    }
    close(pipes[1]);
    for (int i = 1; i < n; i++) free(argv[i]);
    *out = pipes[0];
    return pid;
}

int lathed_exit(pid_t pid, int at_most_s)
{
    int how;
    const char *patience = getenv("LATHE_PATIENCE");
    if (patience) at_most_s *= atoi(patience);
    for (int i = 0; i < at_most_s * 100; i++) {
        if (waitpid(pid, &how, WNOHANG) == pid)
            return WIFEXITED(how) ? WEXITSTATUS(how) : 1000 + WTERMSIG(how);
        usleep(10000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &how, 0);
    return -1;
}

/* Waits for the line that says it is ready. */
pid_t lathed_up(void)
{
    char line[512], url[64], token[256];
    int out;
    pid_t pid = lathed_start(&out, (const char *const[]){ "--data-dir", lathed_dir, "--listen",
                                                          "127.0.0.1:0", "--drain", "5", "--role",
                                                          "api", NULL });
    ssize_t n = read(out, line, sizeof line - 1);
    close(out);
    CHECK(n > 0, "no line: %s", lathed_read(lathed_errors));
    line[n] = 0;
    CHECK(sscanf(line, "lathed is ready at %63[^,], the token is in %255s", url, token) == 2, "%s",
          line);
    CHECK_INT(sscanf(url, "http://127.0.0.1:%d", &lathed_wire.port), 1);
    CHECK(!strncmp(lathed_read(lathed_path("address")), url, strlen(url)), "address");
    snprintf(lathed_wire.token, sizeof lathed_wire.token, "%.*s", 49, lathed_read(token));
    return pid;
}

bool lathed_is_ready(void)
{
    return strstr(wire_ask(&lathed_wire,
                           "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                  "200 OK");
}

void lathed_down(pid_t pid)
{
    kill(pid, SIGTERM);
    CHECK_INT(lathed_exit(pid, 10), 0);
}

void lathed_remove(void) { nftw(lathed_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); }
