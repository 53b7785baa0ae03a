#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "tests/server/lathed.h"
#include "tests/support/check.h"

/* The program as a whole: how it starts, what it refuses, how it ends, how it comes back. */

static void refuse(const char *const *flags, int want, const char *text)
{
    int out;
    pid_t pid = lathed_start(&out, flags);
    int got = lathed_exit(pid, 20);
    close(out);
    CHECK(got == want && strstr(lathed_read(lathed_errors), text),
          "exit %d, want %d and %s, got %s", got, want, text, lathed_read(lathed_errors));
}

#define FLAGS(...)                                                                                 \
    (const char *const[]) { __VA_ARGS__, NULL }

static void refusals(void)
{
    FILE *f = fopen(lathed_path("conf"), "w");
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
    refuse(FLAGS("--config", lathed_path("conf")), 2, "line 4: there is no setting \"slotz\"");
    refuse(FLAGS("--log-level", "loud"), 2, "log-level is \"loud\"");
    unlink(lathed_path("conf"));
}

/* systemd's side of sd_notify. */
static int supervisor(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", lathed_dir);
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
    const char *page = wire_ask(
        &lathed_wire, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    CHECK(strstr(page, "text/plain; version=0.0.4") &&
              strstr(page, "lathe_http_requests_total{operation=\"getReadyz\",code=\"2xx\"} 1\n") &&
              strstr(page, "lathe_db_pool_connections{pool=\"short\"} 4\n") &&
              strstr(page, "lathe_tokens_trained 0\n"),
          "%s", page);
}

static void starts_and_stops(void)
{
    int notices = supervisor();
    struct stat st;
    pid_t pid = lathed_up();
    CHECK(lathed_is_ready(), "not ready");
    counts();
    expect_notice(notices, "READY=1");
    CHECK(!stat(lathed_path("token"), &st), "no token");
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK(!strstr(lathed_read(lathed_errors), lathed_wire.token), "the log shows the token");
    refuse(FLAGS("--data-dir", lathed_dir, "--listen", "127.0.0.1:0"), 75,
           "is in use by another lathed");
    lathed_down(pid);
    expect_notice(notices, "STOPPING=1");
    close(notices);
    unsetenv("NOTIFY_SOCKET");
}

static void keeps_its_token(void)
{
    char before[64];
    snprintf(before, sizeof before, "%s", lathed_wire.token);
    pid_t pid = lathed_up();
    CHECK_STR(lathed_wire.token, before);
    lathed_down(pid);
    chmod(lathed_path("token"), 0644);
    refuse(FLAGS("--data-dir", lathed_dir, "--listen", "127.0.0.1:0"), 2,
           "can be read by others: chmod 600 it");
    chmod(lathed_path("token"), 0600);
}

/* Killed at random moments and started again at once, it is always ready again. */
static void survives_kill_9(void)
{
    for (int i = 0; i < 3; i++) {
        pid_t pid = lathed_up();
        usleep((useconds_t)(i * 30000));
        kill(pid, SIGKILL);
        CHECK_INT(lathed_exit(pid, 5), 1000 + SIGKILL);
    }
    pid_t pid = lathed_up();
    CHECK(lathed_is_ready(), "not ready");
    lathed_down(pid);
}

static void survives_its_database(void)
{
    pid_t pid = lathed_up(), postgres = 0;
    CHECK_INT(sscanf(lathed_read(lathed_path("pg/data/postmaster.pid")), "%d", &postgres), 1);
    kill(postgres, SIGKILL);
    bool ready = false;
    for (int i = 0; i < 400 && !ready; i++) usleep(50000), ready = lathed_is_ready();
    CHECK(ready, "not ready again");
    CHECK(strstr(wire_ask(&lathed_wire,
                          "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                 "200 OK"),
          "alive");
    lathed_down(pid);
}

/* While it waits for another to leave, a signal ends it at once. */
static void stops_while_starting(void)
{
    int out;
    pid_t first = lathed_up();
    pid_t second = lathed_start(&out, FLAGS("--data-dir", lathed_dir, "--listen", "127.0.0.1:0"));
    usleep(300000);
    kill(second, SIGTERM);
    CHECK_INT(lathed_exit(second, 2), 1000 + SIGTERM);
    close(out);
    CHECK(lathed_is_ready(), "the first one suffered");
    lathed_down(first);
}

static void port_taken(void)
{
    char taken[32], other[128];
    pid_t pid = lathed_up();
    snprintf(taken, sizeof taken, "127.0.0.1:%d", lathed_wire.port);
    snprintf(other, sizeof other, "%s/other", lathed_dir);
    refuse(FLAGS("--data-dir", other, "--listen", taken), 1, "Address already in use");
    lathed_down(pid);
}

/* An outside database: here the private one of another instance, by its socket. */
static void outside_database(void)
{
    char url[256], other[128];
    int out;
    pid_t pid = lathed_up();
    snprintf(url, sizeof url, "postgresql://lathe:hush@/postgres?host=%s/pg/run", lathed_dir);
    snprintf(other, sizeof other, "%s/other", lathed_dir);
    pid_t second = lathed_start(
        &out, FLAGS("--data-dir", other, "--listen", "127.0.0.1:0", "--database-url", url));
    char line[256] = "";
    CHECK(read(out, line, sizeof line - 1) > 0, "%s", lathed_read(lathed_errors));
    CHECK(!strstr(lathed_read(lathed_errors), "hush"), "the log shows a secret");
    CHECK_INT(sscanf(line, "lathed is ready at http://127.0.0.1:%d", &lathed_wire.port), 1);
    CHECK(lathed_is_ready(), "not ready");
    lathed_down(second);
    close(out);
    lathed_down(pid);
}

int main(void)
{
    lathed_init();
    refusals();
    starts_and_stops();
    keeps_its_token();
    survives_kill_9();
    survives_its_database();
    stops_while_starting();
    port_taken();
    outside_database();
    lathed_remove();
    printf("ok\n");
    return 0;
}
