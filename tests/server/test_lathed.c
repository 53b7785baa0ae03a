#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/server/wire.h"
#include "tests/support/check.h"

/* The program as a whole: how it starts, what it refuses, how it ends, how it comes back. */

static struct wire wire; /* only port and token: the server is a process of its own */
static char dir[64], lathed[512], errors[128];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static char *contents(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    return text;
}

/* Starts lathed with these flags; its two outputs go to a pipe and to the file `errors`. */
static pid_t start(int *out, const char *const *flags)
{
    char *argv[24] = { lathed };
    int pipes[2], n = 1;
    for (; *flags; flags++) argv[n++] = strdup(*flags);
    CHECK_INT(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(pipes[1], 1);
        dup2(fd, 2);
        close(pipes[0]), close(pipes[1]);
        execv(lathed, argv);
        _exit(127);
    }
    close(pipes[1]);
    for (int i = 1; i < n; i++) free(argv[i]);
    *out = pipes[0];
    return pid;
}

static int exit_of(pid_t pid, int at_most_s)
{
    int how;
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
static pid_t up(void)
{
    char line[512], url[64], token[256];
    int out;
    pid_t pid = start(&out, (const char *const[]){ "--data-dir", dir, "--listen", "127.0.0.1:0",
                                                   "--drain", "5", "--role", "api", NULL });
    ssize_t n = read(out, line, sizeof line - 1);
    close(out);
    CHECK(n > 0, "no line: %s", contents(errors));
    line[n] = 0;
    CHECK(sscanf(line, "lathed is ready at %63[^,], the token is in %255s", url, token) == 2, "%s",
          line);
    CHECK_INT(sscanf(url, "http://127.0.0.1:%d", &wire.port), 1);
    CHECK(!strncmp(contents(path_of("address")), url, strlen(url)), "address");
    snprintf(wire.token, sizeof wire.token, "%.*s", 49, contents(token));
    return pid;
}

static bool is_ready(void)
{
    return strstr(
        wire_ask(&wire, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        "200 OK");
}

static void down(pid_t pid)
{
    kill(pid, SIGTERM);
    CHECK_INT(exit_of(pid, 10), 0);
}

static void refuse(const char *const *flags, int want, const char *text)
{
    int out;
    pid_t pid = start(&out, flags);
    int got = exit_of(pid, 20);
    close(out);
    CHECK(got == want && strstr(contents(errors), text), "exit %d, want %d and %s, got %s", got,
          want, text, contents(errors));
}

#define FLAGS(...)                                                                                 \
    (const char *const[]) { __VA_ARGS__, NULL }

static void refusals(void)
{
    FILE *f = fopen(path_of("conf"), "w");
    fprintf(f, "# a comment\nslots = 2\n\nslotz = 3\n");
    fclose(f);
    refuse(FLAGS("--data-dri", "x"), 2, "there is no flag --data-dri");
    refuse(FLAGS("--slots"), 2, "--slots needs a value");
    refuse(FLAGS("--slots", "many"), 2, "slots is \"many\", not a whole number from 1 to 64");
    refuse(FLAGS("--listen", "0.0.0.0:7878"), 2, "say --acknowledge-insecure");
    refuse(FLAGS("--listen", "localhost:7878", "--acknowledge-insecure"), 2,
           "is not a numeric address");
    refuse(FLAGS("--listen", "127.0.0.1"), 2, "not ADDR:PORT");
    refuse(FLAGS("--role", "cook"), 2, "not api, runner or api,runner");
    refuse(FLAGS("--config", "/nowhere"), 2, "cannot read /nowhere");
    refuse(FLAGS("--config", path_of("conf")), 2, "line 4: there is no setting \"slotz\"");
    refuse(FLAGS("--log-level", "loud"), 2, "log-level is \"loud\"");
    unlink(path_of("conf"));
}

/* systemd's side of sd_notify. */
static int supervisor(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", dir);
    CHECK_INT(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    return fd;
}

static void expect_notice(int fd, const char *want)
{
    char got[64];
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    got[n > 0 ? n : 0] = 0;
    CHECK_STR(got, want);
}

static void counts(void)
{
    const char *page =
        wire_ask(&wire, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    CHECK(strstr(page, "text/plain; version=0.0.4") &&
              strstr(page, "lathe_http_requests_total{operation=\"getReadyz\",code=\"2xx\"} 1\n") &&
              strstr(page, "lathe_db_pool_connected{pool=\"short\"} 4\n") &&
              strstr(page, "lathe_tokens_trained 0\n"),
          "%s", page);
}

static void starts_and_stops(void)
{
    int notices = supervisor();
    struct stat st;
    pid_t pid = up();
    CHECK(is_ready(), "not ready");
    counts();
    expect_notice(notices, "READY=1");
    CHECK(!stat(path_of("token"), &st), "no token");
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK(!strstr(contents(errors), wire.token), "the log shows the token");
    refuse(FLAGS("--data-dir", dir, "--listen", "127.0.0.1:0"), 75, "is in use by another lathed");
    down(pid);
    expect_notice(notices, "STOPPING=1");
    close(notices);
    unsetenv("NOTIFY_SOCKET");
}

static void keeps_its_token(void)
{
    char before[64];
    snprintf(before, sizeof before, "%s", wire.token);
    pid_t pid = up();
    CHECK_STR(wire.token, before);
    down(pid);
    chmod(path_of("token"), 0644);
    refuse(FLAGS("--data-dir", dir, "--listen", "127.0.0.1:0"), 2,
           "can be read by others: chmod 600 it");
    chmod(path_of("token"), 0600);
}

/* Killed at random moments and started again at once, it is always ready again. */
static void survives_kill_9(void)
{
    for (int i = 0; i < 3; i++) {
        pid_t pid = up();
        usleep((useconds_t)(i * 30000));
        kill(pid, SIGKILL);
        CHECK_INT(exit_of(pid, 5), 1000 + SIGKILL);
    }
    pid_t pid = up();
    CHECK(is_ready(), "not ready");
    down(pid);
}

static void survives_its_database(void)
{
    pid_t pid = up(), postgres = 0;
    CHECK_INT(sscanf(contents(path_of("pg/data/postmaster.pid")), "%d", &postgres), 1);
    kill(postgres, SIGKILL);
    bool ready = false;
    for (int i = 0; i < 100 && !ready; i++) usleep(50000), ready = is_ready();
    CHECK(ready, "not ready again");
    CHECK(strstr(wire_ask(&wire,
                          "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                 "200 OK"),
          "alive");
    down(pid);
}

static void port_taken(void)
{
    char taken[32], other[128];
    pid_t pid = up();
    snprintf(taken, sizeof taken, "127.0.0.1:%d", wire.port);
    snprintf(other, sizeof other, "%s/other", dir);
    refuse(FLAGS("--data-dir", other, "--listen", taken), 1, "Address already in use");
    down(pid);
}

/* An outside database: here the private one of another instance, by its socket. */
static void outside_database(void)
{
    char url[256], other[128];
    int out;
    pid_t pid = up();
    snprintf(url, sizeof url, "postgresql://lathe:hush@/postgres?host=%s/pg/run", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    pid_t second =
        start(&out, FLAGS("--data-dir", other, "--listen", "127.0.0.1:0", "--database-url", url));
    char line[256] = "";
    CHECK(read(out, line, sizeof line - 1) > 0, "%s", contents(errors));
    CHECK(!strstr(contents(errors), "hush"), "the log shows a secret");
    CHECK_INT(sscanf(line, "lathed is ready at http://127.0.0.1:%d", &wire.port), 1);
    CHECK(is_ready(), "not ready");
    down(second);
    close(out);
    down(pid);
}

int main(void)
{
    const char *bin = getenv("LATHE_BIN_DIR");
    snprintf(lathed, sizeof lathed, "%s/lathed", bin ? bin : "build/dev/bin");
    if (access("/usr/lib/postgresql", F_OK)) SKIP("no PostgreSQL server");
    signal(SIGPIPE, SIG_IGN);
    strcpy(dir, "/tmp/lathe-test-XXXXXX");
    CHECK(mkdtemp(dir), "mkdtemp");
    snprintf(errors, sizeof errors, "%s/errors", dir);
    setenv("HOME", dir, 1);
    unsetenv("XDG_DATA_HOME");
    refusals();
    starts_and_stops();
    keeps_its_token();
    survives_kill_9();
    survives_its_database();
    port_taken();
    outside_database();
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("ok\n");
    return 0;
}
