#ifndef TESTS_TRAINER_PROGRAM_H
#define TESTS_TRAINER_PROGRAM_H

/*
 * lathe-train as a child of a test: a job goes in, events come out. Also a folder for
 * all that, a small dataset in it, and jobs small enough to run in a fraction of a
 * second.
 */
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "search/base/error.h"
#include "tests/support/check.h"

enum { EVENTS_MAX = 4096 };

struct program {
    pid_t pid;
    FILE *out;
    json_t *event[EVENTS_MAX]; /* those read so far */
    int n;
};

/* `file_limit` is the most bytes a file it writes may have, 0 for no limit. */
static inline void program_start(struct program *p, const char *job, rlim_t file_limit)
{
    char path[1024];
    int in[2], out[2];
    const char *bin = getenv("LATHE_BIN_DIR");
    snprintf(path, sizeof path, "%s/lathe-train", bin ? bin : "bin");
    CHECK(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC), "pipe");
    *p = (struct program){ .pid = fork() };
    CHECK(p->pid >= 0, "fork"); /* or kill(-1) would end everybody's processes */
    if (!p->pid) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        if (file_limit) {
            setenv("TMPDIR", "/dev/null",
                   1); /* or the thread sanitizer's own file is cut short, too */
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){ file_limit, file_limit });
        }
        setenv("OMP_WAIT_POLICY", "passive", 1); /* tests share the machine */
        execl(path, path, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    CHECK(write(in[1], job, strlen(job)) == (ssize_t)strlen(job), "job not taken");
    close(in[1]);
    p->out = fdopen(out[0], "r");
}

/* The next event, or NULL at the end. A last line that is cut short is dropped. */
static inline json_t *program_next(struct program *p)
{
    static char line[70000];
    if (!fgets(line, sizeof line, p->out) || !strchr(line, '\n')) return NULL;
    CHECK(p->n < EVENTS_MAX, "too many events");
    json_error_t at;
    json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, &at);
    CHECK(event, "not JSON: %s", line);
    return p->event[p->n++] = event;
}

/* Sends a signal to a program that was started and not yet waited for, and to nothing else. */
static inline void program_kill(const struct program *p, int number)
{
    CHECK(p->pid > 1, "no program to signal");
    kill(p->pid, number);
}

/* Reads to the end; the exit status, or 128 + signal. */
static inline int program_wait(struct program *p)
{
    int status;
    while (program_next(p)) {
    }
    fclose(p->out);
    CHECK(waitpid(p->pid, &status, 0) == p->pid, "waitpid");
    p->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void program_release(struct program *p)
{
    for (int i = 0; i < p->n; i++) json_decref(p->event[i]);
    p->n = 0;
}

static inline int program_run(struct program *p, const char *job)
{
    program_start(p, job, 0);
    return program_wait(p);
}

static inline bool event_is(const json_t *event, const char *name)
{
    return !strcmp(json_string_value(json_object_get(event, "event")), name);
}

static inline const char *event_string(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text ? text : "";
}

static inline long long event_int(const json_t *event, const char *key)
{
    return json_integer_value(json_object_get(event, key));
}

static inline double event_number(const json_t *event, const char *key)
{
    return json_number_value(json_object_get(event, key));
}

/* The last event of that name, or NULL. */
static inline json_t *program_last(const struct program *p, const char *name)
{
    for (int i = p->n; i-- > 0;)
        if (event_is(p->event[i], name)) return p->event[i];
    return NULL;
}

/* ---- a world to run in --------------------------------------------------------------------- */

static char world[] = "/tmp/lathe-trainer-XXXXXX";

/* Documents of words that follow each other with some rule, so that there is something to learn. */
static inline void write_text(const char *path)
{
    static const char *const words[] = { "the ",  "turner ", "turns ", "a ",
                                         "bowl ", "of ",     "old ",   "oak. " };
    FILE *f = fopen(path, "w");
    unsigned x = 1;
    for (int d = 0; d < 300; d++) {
        fputs("{\"text\":\"", f);
        for (int w = 0; w < 40; w++) {
            x = x * 1664525u + 1013904223u;
            fputs(words[(w + (x >> 29)) % 8], f);
        }
        fputs("\"}\n", f);
    }
    fclose(f);
}

/* Makes the folder and `data/result` in it, a dataset of bytes. */
static inline void world_make(void)
{
    char text[128], job[1024];
    struct program p;
    CHECK(mkdtemp(world), "mkdtemp");
    snprintf(text, sizeof text, "%s/text.jsonl", world);
    write_text(text);
    snprintf(
        job, sizeof job,
        "{\"schema\":\"lathe.job/1\",\"kind\":\"dataset\",\"work_dir\":\"%s/data\",\"name\":\"t\","
        "\"files\":[{\"path\":\"%s\",\"format\":\"jsonl\"}],\"tokenizer\":{\"kind\":\"bytes\"},"
        "\"validation_fraction\":0.2}",
        world, text);
    CHECK_INT(program_run(&p, job), 0);
    program_release(&p);
}

static inline void world_remove(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", world);
    CHECK(!system(command), "%s", command);
}

#define SMALL_SHAPE                                                                                \
    "{\"hidden_size\":32,\"head_dim\":8,\"vocab_size\":257,\"tie_word_embeddings\":true,\"n_"      \
    "layers\":3,"                                                                                  \
    "\"layers\":[{\"q_heads\":4,\"kv_heads\":2,\"ffn\":40}]}"

/* On busy cores two threads of so small a model wait for each other ten times as long as they work.
 */
static int threads_of_jobs = 1;

/* A job of `kind` in `dir` of the world; `more` are further members, with a comma in front. */
static inline const char *small_job(const char *kind, const char *dir, const char *model,
                                    const char *more)
{
    static char job[8192];
    snprintf(job, sizeof job,
             "{\"schema\":\"lathe.job/1\",\"job_id\":\"job_1\",\"kind\":\"%s\",\"work_dir\":\"%s/"
             "%s\",\"threads\":%d,"
             "\"seed\":5,\"model\":%s,\"data\":{\"path\":\"%s/data/result\"},"
             "\"recipe\":{\"batch_size\":2,\"sequence_length\":32,\"warmup_steps\":4}%s}",
             kind, world, dir, threads_of_jobs, model, world, more);
    return job;
}

#endif
