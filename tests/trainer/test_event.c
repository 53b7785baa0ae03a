#include "trainer/event.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/support/check.h"

/* Lines that can be written, and a disk that is full. */

static void say(struct events *events, int64_t step)
{
    struct emit *e = event_begin(events, "removal");
    emit_kv_int(e, "step", step);
    event_end(events);
}

static void whole_lines(void)
{
    int ends[2];
    char text[512] = "";
    CHECK_INT(pipe(ends), 0);
    struct events *events = events_open(ends[1]);
    say(events, 7);
    CHECK_INT(events_sync(events, &(struct error){ 0 }), OK);
    say(events, 8);
    events_close(events);
    close(ends[1]);
    CHECK(read(ends[0], text, sizeof text - 1) > 0, "nothing was said");
    CHECK(strstr(text, "\"seq\":1") && strstr(text, "\"seq\":2") && strstr(text, "\"step\":8"), "%s", text);
    close(ends[0]);
}

/* Nothing is lost on a descriptor that would rather not wait, and does not end the process. */
static void waits(void)
{
    enum { LINES = 5000 };
    int ends[2];
    char text[4096];
    CHECK_INT(pipe2(ends, O_NONBLOCK), 0);
    pid_t pid = fork();
    if (!pid) {
        close(ends[0]);
        struct events *events = events_open(ends[1]);
        for (int i = 0; i < LINES; i++) say(events, i);
        _exit(events_sync(events, &(struct error){ 0 }));
    }
    close(ends[1]);
    int lines = 0, status;
    ssize_t n;
    usleep(20000); /* the pipe is full by then, mostly */
    fcntl(ends[0], F_SETFL, 0);
    while ((n = read(ends[0], text, sizeof text)) > 0)
        for (ssize_t i = 0; i < n; i++) lines += text[i] == '\n';
    CHECK_INT(lines, LINES);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    close(ends[0]);
}

/* A line that nobody read: no checkpoint may hold what it said. */
static void nobody_reads(void)
{
    int ends[2];
    struct error err = { 0 };
    CHECK_INT(pipe(ends), 0);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    struct events *events = events_open(ends[1]);
    say(events, 7);
    CHECK_INT(events_sync(events, &err), E_CANCELLED);
    events_close(events);
    close(ends[1]);
}

/* What comes after a lost line, a checkpoint perhaps, does not happen. */
static void loses_a_line(int fd, int code)
{
    int status;
    pid_t pid = fork();
    if (!pid) {
        say(events_open(fd), 1);
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    CHECK_INT(WEXITSTATUS(status), code);
    close(fd);
}

int main(void)
{
    whole_lines();
    waits();
    nobody_reads();
    loses_a_line(open("/dev/full", O_WRONLY), 75);
    int mem = open("/proc/self/mem", O_WRONLY); /* nothing is mapped at 0, so Linux says EIO */
    if (mem >= 0 && write(mem, "x", 1) < 0 && errno == EIO) loses_a_line(mem, 1);
    return 0;
}
