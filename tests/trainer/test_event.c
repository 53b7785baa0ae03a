#include "trainer/event.h"

#include <errno.h>
#include <fcntl.h>
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
    events_sync(events);
    say(events, 8);
    events_close(events);
    close(ends[1]);
    CHECK(read(ends[0], text, sizeof text - 1) > 0, "nothing was said");
    CHECK(strstr(text, "\"seq\":1") && strstr(text, "\"seq\":2") && strstr(text, "\"step\":8"), "%s", text);
    close(ends[0]);
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
    loses_a_line(open("/dev/full", O_WRONLY), 75);
    int mem = open("/proc/self/mem", O_WRONLY); /* nothing is mapped at 0, so Linux says EIO */
    if (mem >= 0 && write(mem, "x", 1) < 0 && errno == EIO) loses_a_line(mem, 1);
    return 0;
}
