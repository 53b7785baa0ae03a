#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "search/base/log.h"
#include "trainer/evaluate/latency.h"
#include "trainer/export/export.h"
#include "trainer/formats/file.h"
#include "trainer/stop.h"

/* An outside llama-bench: the weights as a GGUF file, a child process, its JSON. */

enum { MAX_OUTPUT = 1 << 20, POLL_MS = 200, LIMIT_S = 1800 };

extern char **environ;

bool llama_bench_is_there(void)
{
    static const char name[] = "llama-bench";
    const char *path = getenv("PATH");
    char file[PATH_ROOM];
    while (path && *path) {
        int n = (int)strcspn(path, ":");
        snprintf(file, sizeof file, "%.*s/%s", n, path, name);
        if (n && !access(file, X_OK)) return true;
        path += n + (path[n] == ':');
    }
    return false;
}

/* Reads until the child closes its output; false when it takes too long, says too much, or we are
 * asked to stop. */
static bool drain(int fd, struct buf *out)
{
    struct pollfd at = { .fd = fd, .events = POLLIN };
    char room[4096];
    for (int64_t waited = 0; waited < (int64_t)LIMIT_S * 1000 && !stop_wanted();) {
        int ready = poll(&at, 1, POLL_MS);
        waited += ready ? 0 : POLL_MS;
        if (ready <= 0) continue;
        ssize_t n = read(fd, room, sizeof room);
        if (n <= 0) return n == 0;
        buf_put(out, room, (size_t)n);
        if (out->failed) return false;
    }
    return false;
}

static bool spawn(pid_t *pid, char *const argv[], int *fd)
{
    int pipe_[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(pipe_, O_CLOEXEC)) return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    int failed = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_[1]);
    *fd = pipe_[0];
    if (failed) close(pipe_[0]);
    return !failed;
}

static bool run(char *const argv[], struct buf *out)
{
    pid_t pid;
    int fd, status = 1;
    if (!spawn(&pid, argv, &fd)) return false;
    bool whole = drain(fd, out);
    if (!whole) kill(pid, SIGKILL);
    close(fd);
    waitpid(pid, &status, 0);
    return whole && WIFEXITED(status) && !WEXITSTATUS(status);
}

bool llama_bench_read(struct eval_metrics *m, const char *out, size_t len)
{
    json_error_t at;
    json_t *list = json_loadb(out, len, 0, &at), *row;
    size_t i;
    int found = 0;
    json_array_foreach(list, i, row)
    {
        bool reads = json_integer_value(json_object_get(row, "n_prompt")) > 0;
        double rate = json_number_value(json_object_get(row, "avg_ts"));
        double spread = json_number_value(json_object_get(row, "stddev_ts"));
        if (!(rate > 0)) continue;
        found++;
        eval_metric_put(m,
                        reads ? "llama_bench_prefill_tokens_per_second"
                              : "llama_bench_decode_tokens_per_second",
                        rate, true);
        eval_metric_put(m,
                        reads ? "llama_bench_prefill_tokens_per_second_stddev"
                              : "llama_bench_decode_tokens_per_second_stddev",
                        spread, false);
    }
    json_decref(list);
    return found > 0;
}

static bool ask(struct eval_metrics *m, const char *file, int threads,
                const struct latency_plan *plan)
{
    char numbers[4][16], name[] = "llama-bench", path[PATH_ROOM];
    char f[][4] = { "-m", "-p", "-n", "-r", "-t", "-o" }, json[] = "json";
    int value[] = { plan->prompt_tokens, plan->generate_tokens, plan->repeats, threads };
    for (int i = 0; i < 4; i++) snprintf(numbers[i], sizeof numbers[i], "%d", value[i]);
    snprintf(path, sizeof path, "%s", file);
    char *argv[] = { name, f[0],       path, f[1],       numbers[0], f[2], numbers[1], f[3],
                     numbers[2], f[4], numbers[3], f[5], json,       NULL };
    struct buf out;
    buf_init(&out, MAX_OUTPUT);
    bool ok = run(argv, &out) && llama_bench_read(m, out.bytes ? out.bytes : "", out.len);
    buf_release(&out);
    return ok;
}

void llama_bench_measure(struct eval_metrics *m, struct weights *w, const char *work, int threads,
                         const struct latency_plan *plan)
{
    struct export_spec spec = { .format = EXPORT_GGUF, .type = export_type(0) };
    struct export_result result;
    struct error err = { 0 };
    char dir[PATH_ROOM] = "", file[PATH_ROOM];
    spec.max_position = plan->prompt_tokens + plan->generate_tokens;
    if (path_join(dir, work, "llama-bench", &err) || dir_make(dir, &err) ||
        export_model(w, &spec, dir, &result, &err) ||
        path_join(file, dir, result.opens_at, &err))
        log_warn("no numbers from llama-bench: %s", err.text);
    else if (!ask(m, file, threads, plan))
        log_warn("no numbers from llama-bench: it failed, or took more than %d s", LIMIT_S);
    err = (struct error){ 0 };
    if (*dir) dir_remove(dir, &err);
}
