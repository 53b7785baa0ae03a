/* lathe-train from outside: exit codes, snapshots and their parameters, import, full disks,
 * damaged checkpoints, locks. */
#include <sys/file.h>
#include <sys/stat.h>
#include "search/shape.h"
#include "tests/trainer/program.h"
#include "trainer/formats/safetensors.h"
#include "trainer/formats/weights.h"

#define MODEL "{\"shape\":" SMALL_SHAPE "}"
#define EVERY                                                                                      \
    ",\"validation\":{\"every_steps\":0,\"tokens\":512},\"checkpoint\":{\"every_steps\":10,"       \
    "\"keep\":2}"
#define TRAIN ",\"budget\":{\"tokens\":2560}" EVERY
#define LONG  ",\"budget\":{\"tokens\":64000000}" EVERY
#define SEARCH(scope)                                                                              \
    ",\"budget\":{\"tokens\":320},\"search\":{\"space\":{\"scope\":\"" scope                       \
    "\"},\"schedule\":{\"warmup_steps\":2,"                                                        \
    "\"steps_per_unit\":1,\"channels_per_unit\":16},\"stop\":{\"ratio\":0.5},\"snapshots\":{"      \
    "\"ratios\":[0.1,0.2,0.4]}}" EVERY

static const char *at(const char *name)
{
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[0], "%s/%s", world, name);
    return path[turn];
}

/* Ends with that exit code and, unless 0, an error event with that code and sentence. */
static void ends(const char *job, int exit_code, const char *code, const char *sentence)
{
    struct program p;
    CHECK_INT(program_run(&p, job), exit_code);
    json_t *error = program_last(&p, "error");
    if (exit_code) {
        CHECK(error, "no error event");
        CHECK_STR(event_string(error, "code"), code);
        CHECK(strstr(event_string(error, "message"), sentence), "'%s' lacks '%s'",
              event_string(error, "message"), sentence);
        CHECK(*event_string(error, "hint"), "no hint");
    } else {
        CHECK(!error && program_last(&p, "done"), "no done event");
    }
    program_release(&p);
}

static void test_refusals(void)
{
    ends("{\"schema\":\"lathe.job/1\",", 2, "input", "not JSON");
    ends(small_job("train", "bad", MODEL, TRAIN ",\"pace\":1"), 2, "input",
         "pace: is not a known field");
    ends(small_job("train", "bad", "{\"path\":\"/nowhere\"}", TRAIN), 2, "missing",
         "model/path: cannot open /nowhere");
    ends(small_job("train", "bad",
                   "{\"shape\":{\"hidden_size\":8,\"head_dim\":8,\"vocab_size\":200,\"layers\":"
                   "[{\"q_heads\":1,\"kv_heads\":1,\"ffn\":8}]}}",
                   TRAIN),
         2, "input", "model/shape/vocab_size: is 200, the dataset's tokenizer has 257");
    ends(small_job("train", "bad", MODEL, TRAIN ",\"backend\":\"abacus\""), 2, "input", "abacus");
    ends(small_job("train", "bad", MODEL,
                   ",\"budget\":{\"tokens\":64000000},\"dry_run\":true,\"x\":0" EVERY),
         2, "input", "x: is not");
    ends(small_job("search", "bad", MODEL,
                   ",\"budget\":{\"tokens\":0},\"search\":{\"stop\":{\"ratio\":0.5},"
                   "\"criterion\":{\"name\":\"bypass\"}}"),
         2, "input",
         "criterion bypass masks heads and ffn only; leave the stem out: space.types [\"heads\", "
         "\"ffn\"]");
    CHECK(access(at("bad/result"), F_OK), "something was written");
}

/* ---- searches and what they leave ---------------------------------------------------------- */

/* The folder's tensors add up to what the event says, and it opens as a model of that shape. */
static void check_folder(const json_t *snapshot, const char *dir)
{
    char path[1024], hash[HASH_HEX];
    struct weights *w;
    struct safetensors *st;
    struct error err = { 0 };
    snprintf(path, sizeof path, "%s/%s/%s", world, dir, event_string(snapshot, "path"));
    CHECK_OK(weights_open(&w, path, &err), err);
    CHECK_INT(shape_params(&w->shape), event_int(snapshot, "params"));
    shape_hash(&w->shape, hash);
    CHECK_STR(hash, event_string(snapshot, "shape_hash"));
    weights_close(w);

    strcat(path, "/model.safetensors");
    CHECK_OK(safetensors_open(&st, path, &err), err);
    long long sum = 0;
    for (int i = 0; i < safetensors_count(st); i++) sum += tensor_count(safetensors_at(st, i));
    CHECK_INT(sum, event_int(snapshot, "params"));
    safetensors_close(st);
}

/* The last snapshot, relative to the world, into `path`. */
static void test_search(const char *dir, const char *more, char path[256])
{
    struct program p;
    CHECK_INT(program_run(&p, small_job("search", dir, MODEL, more)), 0);
    int snapshots = 0, removals = 0;
    for (int i = 0; i < p.n; i++) {
        CHECK_INT(event_int(p.event[i], "seq"), i + 1);
        if (event_is(p.event[i], "removal"))
            CHECK_INT(event_int(p.event[i], "ordinal"), ++removals);
        if (!event_is(p.event[i], "snapshot")) continue;
        check_folder(p.event[i], dir);
        snapshots++;
    }
    CHECK_INT(snapshots, 5); /* the source, three ratios, the end */
    CHECK(removals > 5, "%d removals", removals);
    snprintf(path, 256, "%s/%s", dir, event_string(program_last(&p, "done"), "path"));
    CHECK_STR(event_string(program_last(&p, "done"), "path"),
              event_string(program_last(&p, "snapshot"), "path"));
    program_release(&p);
}

static char *slurp(const char *path, size_t *len)
{
    struct stat st;
    FILE *f = fopen(path, "r");
    CHECK(f && !fstat(fileno(f), &st), "%s", path);
    char *text = malloc((size_t)st.st_size + 1);
    *len = fread(text, 1, (size_t)st.st_size, f);
    fclose(f);
    return text;
}

static void same_file(const char *a, const char *b)
{
    size_t n, m;
    char *x = slurp(a, &n), *y = slurp(b, &m);
    CHECK(n == m && !memcmp(x, y, n), "%s and %s differ", a, b);
    free(x), free(y);
}

/* Import of what we exported gives the same bytes, by folder and by single files. */
static void test_import(const char *snapshot)
{
    char job[4096], from[256];
    snprintf(from, sizeof from, "%s/%s", world, snapshot);
    snprintf(
        job, sizeof job,
        "{\"schema\":\"lathe.job/1\",\"kind\":\"import\",\"work_dir\":\"%s/in1\",\"path\":\"%s\"}",
        world, from);
    ends(job, 0, NULL, NULL);
    snprintf(job, sizeof job,
             "{\"schema\":\"lathe.job/1\",\"kind\":\"import\",\"work_dir\":\"%s/"
             "in2\",\"name\":\"n\",\"files\":["
             "{\"path\":\"%s/config.json\",\"name\":\"config.json\"},"
             "{\"path\":\"%s/model.safetensors\",\"name\":\"model.safetensors\"}]}",
             world, snapshot, from);
    CHECK(!chdir(world), "%s", world); /* a path may be relative */
    ends(job, 0, NULL, NULL);
    snprintf(job, sizeof job, "%s/model.safetensors", from);
    same_file(at("in1/result/model.safetensors"), job);
    same_file(at("in2/result/model.safetensors"), job);
    snprintf(job, sizeof job, "%s/shape.json", from);
    same_file(at("in1/result/shape.json"), job);
    snprintf(job, sizeof job, "%s/tokenizer_config.json", from);
    same_file(at("in1/result/tokenizer_config.json"), job);

    CHECK(!truncate(at("in1/result/model.safetensors"), 5000), "truncate");
    snprintf(job, sizeof job,
             "{\"schema\":\"lathe.job/1\",\"kind\":\"import\",\"work_dir\":\"%s/"
             "in3\",\"path\":\"%s/in1/result\"}",
             world, world);
    ends(job, 2, "input", "model.safetensors: ");
}

/* A run that starts from a snapshot starts with its loss, not with a random model's. */
static void test_inherit(const char *snapshot)
{
    char model[512];
    struct program p;
    snprintf(model, sizeof model, "{\"path\":\"%s/%s\"}", world, snapshot);
    CHECK_INT(program_run(&p, small_job("train", "inherit", model, TRAIN)), 0);
    double first = 0;
    for (int i = 0; i < p.n && !first; i++)
        if (event_is(p.event[i], "step")) first = event_number(p.event[i], "loss");
    CHECK(first > 0 && first < 5.2, "first loss %g; a random model's is about 5.55", first);
    CHECK(!access(at("inherit/result/tokenizer.json"), F_OK), "no tokenizer beside the model");
    program_release(&p);
}

/* With a teacher the loss that is told is the mixture's, and memory for it is counted. */
static void test_teacher(const char *snapshot)
{
    char more[1024], dry[1100];
    struct program p, estimate;
    snprintf(more, sizeof more,
             ",\"teacher\":{\"path\":\"%s/%s\",\"weight\":1,\"temperature\":1}" TRAIN, world,
             snapshot);
    snprintf(dry, sizeof dry, ",\"dry_run\":true%s", more);
    CHECK_INT(program_run(&p, small_job("train", "student", MODEL, more)), 0);
    CHECK_INT(program_run(&estimate, small_job("train", "student2", MODEL, dry)), 0);
    CHECK_INT(event_int(program_last(&estimate, "estimate"), "bytes"),
              event_int(program_last(&p, "start"), "bytes"));
    json_t *done = program_last(&p, "done");
    CHECK(event_number(done, "loss") < 1.5, "the student does not follow: KL %g",
          event_number(done, "loss"));
    CHECK(event_number(done, "validation_loss") > 2, "validation is not cross-entropy");
    program_release(&p);
    program_release(&estimate);
    snprintf(more, sizeof more, ",\"teacher\":{\"path\":\"/nowhere\"}" TRAIN);
    ends(small_job("train", "student3", MODEL, more), 2, "missing",
         "teacher/path: cannot open /nowhere");
}

/* ---- interruptions ------------------------------------------------------------------------- */

static void test_terminate(void)
{
    struct program p;
    program_start(&p, small_job("train", "term", MODEL, LONG), 0);
    while (program_next(&p) && !program_last(&p, "checkpoint")) {
    }
    program_kill(&p, SIGTERM);
    CHECK_INT(program_wait(&p), 75);
    CHECK_STR(event_string(program_last(&p, "error"), "code"), "cancelled");
    long long saved = event_int(program_last(&p, "checkpoint"), "step");
    CHECK(saved >= 10, "saved at %lld", saved);
    program_release(&p);

    program_start(&p, small_job("train", "term", MODEL, LONG), 0);
    CHECK_INT(event_int(program_next(&p), "resumed_from_step"), saved);
    fclose(p.out); /* nobody reads any more: it must end by itself */
    int status;
    CHECK(waitpid(p.pid, &status, 0) == p.pid && WIFEXITED(status) && WEXITSTATUS(status) == 75,
          "status %d", status);
    program_release(&p);

    ends(small_job("train", "term", MODEL, TRAIN), 2, "input", "checkpoints of a job that differs");
}

/* Files may not grow beyond what a checkpoint needs: as when the disk is full. */
static void test_full_disk(void)
{
    struct program whole, p;
    CHECK_INT(program_run(&whole, small_job("train", "roomy", MODEL, TRAIN)), 0);
    program_start(&p, small_job("train", "tight", MODEL, TRAIN), 0);
    while (program_next(&p) && !program_last(&p, "checkpoint")) {
    }
    program_kill(&p, SIGKILL);
    program_wait(&p);
    program_release(&p);

    program_start(&p, small_job("train", "tight", MODEL, TRAIN), 100000);
    CHECK_INT(program_wait(&p), 75);
    CHECK_STR(event_string(program_last(&p, "error"), "code"), "busy");
    CHECK(strstr(event_string(program_last(&p, "error"), "hint"), "free disk space"), "no hint");
    program_release(&p);

    CHECK_INT(program_run(&p, small_job("train", "tight", MODEL, TRAIN)), 0);
    CHECK(event_int(program_last(&p, "start"), "resumed_from_step") >= 10,
          "the old checkpoint is gone");
    CHECK(event_number(program_last(&p, "done"), "loss") ==
              event_number(program_last(&whole, "done"), "loss"),
          "another loss");
    program_release(&p);
    program_release(&whole);
}

/* A checkpoint with a flipped bit is passed over for the one before it. */
static void test_damage(void)
{
    struct program whole, p;
    CHECK_INT(program_run(&whole, small_job("train", "damaged", MODEL, TRAIN)), 0);
    int fd = open(at("damaged/checkpoints/step-000000000040/tensors.safetensors"), O_RDWR);
    char byte;
    CHECK(fd >= 0 && pread(fd, &byte, 1, 90000) == 1, "no checkpoint at 40");
    byte = (char)(byte ^ 1);
    CHECK(pwrite(fd, &byte, 1, 90000) == 1, "not written");
    close(fd);
    CHECK_INT(program_run(&p, small_job("train", "damaged", MODEL, TRAIN)), 0);
    CHECK_INT(event_int(program_last(&p, "start"), "resumed_from_step"), 30);
    CHECK(event_number(program_last(&p, "done"), "loss") ==
              event_number(program_last(&whole, "done"), "loss"),
          "another loss");
    program_release(&p);
    program_release(&whole);
}

/* The newest one, multiples of 20, and 7, which is saved for its own sake. */
static void test_keeping(void)
{
    static const struct {
        const char *name;
        bool there;
    } wanted[] = { { "kept/checkpoints/step-000000000007", true },
                   { "kept/checkpoints/step-000000000010", false },
                   { "kept/checkpoints/step-000000000020", true },
                   { "kept/checkpoints/step-000000000030", false },
                   { "kept/checkpoints/step-000000000040", true } };
    struct program p;
    CHECK_INT(
        program_run(&p, small_job("train", "kept", MODEL,
                                  ",\"budget\":{\"tokens\":2560},\"checkpoint\":{\"every_steps\":"
                                  "10,\"keep\":1,\"major_every\":20,\"milestones\":[7]}")),
        0);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        CHECK(!access(at(wanted[i].name), F_OK) == wanted[i].there, "%s", wanted[i].name);
    program_release(&p);
}

/* The step that a checkpoint was kept of, by its folder; -1: of none. */
static int kept_at(const char *dir, int from)
{
    char name[128];
    for (int step = from; step >= 0; step -= 10) {
        snprintf(name, sizeof name, "%s/checkpoints/step-%012d/manifest.json", dir, step);
        if (!access(at(name), F_OK)) return step;
    }
    return -1;
}

/* A damaged checkpoint does not take the place of those that are made after it. */
static void test_keeping_after_damage(void)
{
    static const char more[] = ",\"budget\":{\"tokens\":64000},\"validation\":{\"every_steps\":0},"
                               "\"checkpoint\":{\"every_steps\":10,\"keep\":1}";
    struct program p;
    char name[128];
    int damaged = 0, enough[] = { 300, 10 };
    for (int i = 0; i < 2; i++) {
        program_start(&p, small_job("train", "once", MODEL, more), 0);
        for (json_t *e; (e = program_next(&p));)
            if (event_is(e, "checkpoint") && event_int(e, "step") >= enough[i]) break;
        program_kill(&p, SIGKILL);
        program_wait(&p);
        program_release(&p);
        if (i) continue;
        damaged = kept_at("once", 1000);
        snprintf(name, sizeof name, "once/checkpoints/step-%012d/tensors.safetensors", damaged);
        CHECK(damaged >= 300 && !truncate(at(name), 5000), "no checkpoint at %d", damaged);
    }
    CHECK(kept_at("once", damaged - 10) >= 10, "what was told is not kept");
}

static void test_lock(void)
{
    struct program p;
    mkdir(at("locked"), 0777);
    int fd = open(at("locked/lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    CHECK(fd >= 0 && !flock(fd, LOCK_EX), "flock");
    program_start(&p, small_job("train", "locked", MODEL, TRAIN), 0);
    json_t *first = program_next(&p); /* while it waits it still says that it lives */
    CHECK(first && event_is(first, "heartbeat"), "no heartbeat");
    program_kill(&p, SIGTERM);
    CHECK_INT(program_wait(&p), 75);
    CHECK(strstr(event_string(program_last(&p, "error"), "message"), "another trainer"),
          "no sentence");
    program_release(&p);
    close(fd);
}

/* ---- estimates ----------------------------------------------------------------------------- */

static void test_dry_run(void)
{
    struct program dry, real;
    CHECK_INT(
        program_run(&dry, small_job("search", "dry", MODEL, ",\"dry_run\":true" SEARCH("uniform"))),
        0);
    CHECK_INT(program_run(&real, small_job("search", "wet", MODEL, SEARCH("uniform"))), 0);
    json_t *estimate = program_last(&dry, "estimate"), *start = program_last(&real, "start");
    CHECK(estimate && start, "no estimate");
    CHECK_INT(event_int(estimate, "bytes"), event_int(start, "bytes"));
    CHECK_INT(event_int(estimate, "params"), event_int(start, "params"));
    CHECK_INT(event_int(estimate, "steps_planned"), event_int(start, "steps_planned"));
    CHECK(access(at("dry"), F_OK), "a dry run made a folder");
    program_release(&dry);
    program_release(&real);
}

static void test_tools(void)
{
    char command[1024];
    snprintf(command, sizeof command,
             "%s/lathe-train --help | grep -q 'Exit status: 0 done' && %s/lathe-train --version "
             "| grep -q lathe-train && ! %s/lathe-train --sing 2>/dev/null && "
             "%s/lathe-train bench --help | grep -q -e --profile",
             getenv("LATHE_BIN_DIR"), getenv("LATHE_BIN_DIR"), getenv("LATHE_BIN_DIR"),
             getenv("LATHE_BIN_DIR"));
    CHECK(!system(command), "%s", command);
}

/* Of a step with two layers: every linear map is called in each, AdamW once. */
static void test_profile(void)
{
    char command[1024];
    snprintf(
        command, sizeof command,
        "cd %s && echo '{\"hidden_size\":16,\"head_dim\":8,\"vocab_size\":40,\"n_layers\":2,"
        "\"tie_word_embeddings\":true,\"layers\":[{\"q_heads\":2,\"kv_heads\":1,\"ffn\":24}]}' "
        "> shape.json && %s/lathe-train bench --shape shape.json --batch 1 --seq 8 --steps 3 "
        "--profile > bench.json && grep -Eq '\"linear_backward_weight\",\"rows\":8,"
        "\"inputs\":24,\"outputs\":16,\"calls\":2,' bench.json && "
        "grep -Eq '\"adamw\",\"calls\":1,' bench.json",
        world, getenv("LATHE_BIN_DIR"));
    CHECK(!system(command), "%s", command);
}

int main(void)
{
    world_make();
    test_tools();
    test_profile();
    test_refusals();
    char last[256];
    test_search("uniform", SEARCH("uniform"), last);
    test_inherit(last);
    test_teacher(last);
    test_search("perlayer", SEARCH("per_layer"), last);
    test_import(last);
    test_terminate();
    test_full_disk();
    test_damage();
    test_keeping();
    test_keeping_after_damage();
    test_lock();
    test_dry_run();
    world_remove();
    puts("ok");
    return 0;
}
