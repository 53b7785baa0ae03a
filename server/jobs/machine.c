#include "server/jobs/machine.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "search/base/clock.h"
#include "search/base/emit.h"
#include "search/base/field.h"
#include "search/base/log.h"

extern char **environ;

static int64_t now_ms(void) { return clock_ns() / 1000000; }

static pid_t start(const char *trainer, int out)
{
    pid_t pid;
    char *args[] = { strdup(trainer), strdup("backends"), NULL };
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    if (posix_spawn(&pid, trainer, &files, NULL, args, environ)) pid = 0;
    posix_spawn_file_actions_destroy(&files);
    free(args[0]), free(args[1]);
    return pid;
}

static size_t read_all(int fd, char *text, size_t size)
{
    size_t n = 0;
    int64_t until = now_ms() + MACHINE_PATIENCE_MS, rest;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    while (n < size - 1 && (rest = until - now_ms()) > 0 && poll(&p, 1, (int)rest) > 0) {
        ssize_t got = read(fd, text + n, size - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
    }
    return n;
}

/* What the trainer printed, or "". */
static size_t ask(const char *trainer, char *text, size_t size)
{
    int pipes[2];
    size_t n = 0;
    if (pipe2(pipes, O_CLOEXEC)) return 0;
    pid_t pid = start(trainer, pipes[1]);
    close(pipes[1]);
    if (pid) {
        n = read_all(pipes[0], text, size);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    close(pipes[0]);
    text[n] = 0;
    return n;
}

static void emit_asked(const char *trainer, struct emit *e)
{
    char text[4096];
    struct error err = { 0 };
    size_t n = ask(trainer, text, sizeof text), i;
    json_t *json = n ? field_parse(text, n, &err) : NULL, *name;
    json_t *names = json_object_get(json, "backends");
    if (!json_array_size(names)) {
        log_debug("runner: %s does not say which backends it has", trainer);
        emit_string(e, "cpu"), emit_string(e, "ref");
    }
    json_array_foreach(names, i, name) if (json_is_string(name))
        emit_string(e, json_string_value(name));
    json_decref(json);
}

static void emit_listed(const char *names, struct emit *e)
{
    for (const char *p = names; *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        if (n) emit_string_n(e, p, n);
        p += n;
    }
}

static int count_gpus(void)
{
    glob_t found = { 0 };
    int n = glob("/dev/nvidia[0-9]*", 0, NULL, &found) ? 0 : (int)found.gl_pathc;
    globfree(&found);
    return n;
}

static int64_t all_memory(void) { return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE); }

void machine_describe(const struct config *config, struct buf *out)
{
    struct emit e;
    emit_init(&e, out);
    emit_begin(&e, '{');
    emit_key(&e, "backends"), emit_begin(&e, '[');
    if (config->backends)
        emit_listed(config->backends, &e);
    else
        emit_asked(config->trainer, &e);
    emit_end(&e);
    emit_kv_int(&e, "gpus", config->gpus >= 0 ? config->gpus : count_gpus());
    emit_kv_int(&e, "memory_bytes", config->memory ? config->memory : all_memory());
    emit_end(&e);
}
