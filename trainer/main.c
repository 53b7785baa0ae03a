/* lathe-train: one job, or one of the tools verify and bench. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "search/base/log.h"
#include "trainer/backend.h"
#include "trainer/bench.h"
#include "trainer/ranks.h"
#include "trainer/run.h"
#include "trainer/stop.h"
#include "trainer/verify.h"

static const char HELP[] =
    "Usage:\n"
    "  lathe-train < job.json           does the job; events on stdout, one JSON object a line\n"
    "  lathe-train --job FILE           the same from a file\n"
    "  lathe-train verify --model DIR --expected FILE [--backend B] [--threads N]\n"
    "                                   compares with reference vectors\n"
    "  lathe-train bench --model DIR | --shape FILE --batch B --seq T [--backend B]\n"
    "                                   times steps on random tokens; bench --help has the rest\n"
    "  mpirun -np N lathe-train < job.json\n"
    "                                   kinds train and search: N processes share every batch, and\n"
    "                                   with recipe/shard_moments AdamW's moments\n"
    "  lathe-train backends             which of them this build and machine have, as JSON\n"
    "  lathe-train --help | --version\n"
    "\n"
    "A job names its kind (train, search, dataset, import, export, evaluate), a work_dir for all it\n"
    "writes, and what to do. For instance, a byte-level dataset from a text file and a small model on it:\n"
    "\n"
    "  {\"schema\": \"lathe.job/1\", \"kind\": \"dataset\", \"work_dir\": \"/tmp/d\",\n"
    "   \"files\": [{\"path\": \"/tmp/book.txt\", \"format\": \"text\"}], \"tokenizer\": "
    "{\"kind\": \"bytes\"}}\n"
    "\n"
    "  {\"schema\": \"lathe.job/1\", \"kind\": \"train\", \"work_dir\": \"/tmp/t\", \"seed\": 1,\n"
    "   \"model\": {\"shape\": {\"hidden_size\": 128, \"head_dim\": 32, \"vocab_size\": 257, "
    "\"n_layers\": 4,\n"
    "             \"layers\": [{\"q_heads\": 4, \"kv_heads\": 4, \"ffn\": 344}]}},\n"
    "   \"data\": {\"path\": \"/tmp/d/result\"}, \"budget\": {\"tokens\": 1000000}}\n"
    "\n"
    "Kind search takes a member \"search\" besides: {\"stop\": {\"ratio\": 0.5}} at least. With\n"
    "\"dry_run\": true a job of kind train or search only tells what it would take.\n"
    "\n"
    "A job that was interrupted goes on from its newest checkpoint when it is given again. "
    "SIGTERM\n"
    "ends it after the current step, with a checkpoint.\n"
    "\n"
    "Exit status: 0 done, 2 the input is wrong, 75 try again, 1 anything else.\n";

/* ---- the job's text ----------------------------------------------------------------------- */

static enum status read_stdin(char **out, size_t *len, struct error *err)
{
    struct buf text;
    char room[65536];
    size_t n;
    buf_init(&text, JOB_MAX_BYTES);
    while ((n = fread(room, 1, sizeof room, stdin)) > 0 && !text.failed) buf_put(&text, room, n);
    if (text.failed)
        fail(err, E_LIMIT, "the job has more than %d bytes", JOB_MAX_BYTES);
    else if (ferror(stdin))
        fail(err, E_IO, "cannot read the job from standard input");
    *out = buf_detach(&text, len);
    return err->status;
}

/* Launchers give standard input to rank 0 only; the others get its text. */
static void share_text(char **text, size_t *len)
{
    ranks_broadcast(len, sizeof *len);
    if (!ranks_is_root()) *text = calloc(*len + 1, 1);
    if (!*text) abort();
    ranks_broadcast(*text, *len);
}

static enum status read_job(struct job *job, const char *path, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    if (ranks_is_root() && path)
        file_read(&text, &len, path, JOB_MAX_BYTES, err);
    else if (ranks_is_root())
        read_stdin(&text, &len, err);
    if (!ranks_share(err)) share_text(&text, &len);
    if (!err->status) job_parse(job, text, len, err);
    free(text);
    return err->status;
}

/* ---- one trainer a work_dir ------------------------------------------------------------------ */

enum { LOCK_WAIT_MS = 20000, LOCK_POLL_MS = 100 };

/* The lock is held until the process ends. */
static enum status lock_work_dir(const char *work_dir, struct error *err)
{
    char path[PATH_ROOM];
    const struct timespec pause = { 0, LOCK_POLL_MS * 1000000L };
    TRY(dir_make(work_dir, err));
    TRY(path_join(path, work_dir, "lock", err));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return fail_path(err, "open", path);
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += LOCK_POLL_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) return fail_path(err, "lock", path);
        if (waited >= LOCK_WAIT_MS || stop_wanted())
            return fail(err, E_BUSY, "work_dir: another trainer is at work in %.200s", work_dir);
        nanosleep(&pause, NULL);
    }
    return OK;
}

/* ---- running -------------------------------------------------------------------------------- */

static enum status run(const struct job *job, struct events *events, struct error *err)
{
    if (job->dry_run && (job->kind == JOB_TRAIN || job->kind == JOB_SEARCH))
        return run_estimate(job, events, err);
    if (ranks_is_root()) lock_work_dir(job->work_dir, err);
    TRY(ranks_share(err));
    bool shared = job->kind == JOB_TRAIN || job->kind == JOB_SEARCH;
    if (!shared && !ranks_is_root()) return OK;
    switch (job->kind) {
    case JOB_TRAIN: return run_train(job, events, err);
    case JOB_SEARCH: return run_search(job, events, err);
    case JOB_DATASET: return run_dataset(job, events, err);
    case JOB_IMPORT: return run_import(job, events, err);
    case JOB_EXPORT: return run_export(job, events, err);
    case JOB_EVALUATE: return run_evaluate(job, events, err);
    case JOB_KINDS: break;
    }
    abort();
}

static const char *hint_of(enum status status)
{
    switch (status) {
    case E_INPUT: return "correct what the message names, then give the job again";
    case E_MISSING: return "make sure the path exists and can be read";
    case E_LIMIT: return "make the input smaller";
    case E_MEMORY: return "lower batch_size or sequence_length, or set recompute";
    case E_BUSY:
        return "free disk space or wait for the other trainer, then give the job again; it "
               "goes on from its newest checkpoint";
    case E_CANCELLED: return "give the job again; it goes on from its newest checkpoint";
    default: return "see the log on standard error";
    }
}

static void tell_error(struct events *events, const struct error *error)
{
    struct emit *e = event_begin(events, "error");
    emit_kv_string(e, "code", status_name(error->status));
    emit_kv_string(e, "message", error->text);
    emit_kv_string(e, "hint", hint_of(error->status));
    if (*error->pointer) emit_kv_string(e, "pointer", error->pointer);
    event_end(events);
}

static int job_main(const char *path)
{
    struct error err = { 0 };
    struct job job = { 0 };
    stop_install();
    if (ranks_join(&err)) {
        log_error("%s", err.text);
        return status_exit_code(err.status);
    }
    int out = ranks_is_root() ? STDOUT_FILENO : open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct events *events = events_open(out);
    if (!read_job(&job, path, &err)) run(&job, events, &err);
    if (err.status) {
        tell_error(events, &err);
        log_line(err.status == E_CANCELLED ? LOG_INFO : LOG_ERROR, "%s", err.text);
    }
    events_close(events);
    job_release(&job);
    int code = status_exit_code(err.status);
    if (code && code != 75) ranks_abort(code); /* the others may be waiting for us */
    ranks_leave();
    return code;
}

static int usage(const char *what)
{
    fprintf(stderr, "lathe-train: %s\nTry lathe-train --help.\n", what);
    return 2;
}

static int backends_main(void)
{
    static const char *const names[] = { "cpu", "ref", "cuda", "cuda-exact" };
    const char *comma = "";
    fputs("{\"backends\": [", stdout);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct error err = { 0 };
        struct backend *be;
        if (backend_open(&be, names[i], 1, &err)) continue;
        backend_close(be);
        printf("%s\"%s\"", comma, names[i]);
        comma = ", ";
    }
    return puts("]}") < 0;
}

/* Members of the OpenMP team that wait for others spin at first. Long spinning takes the time that
 * the one they wait for lacks wherever other programs want the cores too (measured: a step
 * 3 to 5 times slower), so a short spin is set. The library reads it before main: start again. */
static void wait_politely(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    if (setenv("GOMP_SPINCOUNT", "2000", 1)) return;
    execv("/proc/self/exe", argv); /* where there is no /proc, go on as we are */
}

int main(int argc, char **argv)
{
    wait_politely(argv);
    if (argc == 1) return isatty(STDIN_FILENO) ? usage("no job on standard input") : job_main(NULL);
    if (!strcmp(argv[1], "verify")) return verify_main(argc - 1, argv + 1);
    if (!strcmp(argv[1], "bench")) return bench_main(argc - 1, argv + 1);
    if (!strcmp(argv[1], "backends")) return backends_main();
    if (!strcmp(argv[1], "--job"))
        return argc == 3 ? job_main(argv[2]) : usage("--job takes a file");
    if (!strcmp(argv[1], "--version")) return puts("lathe-train " LATHE_VERSION) < 0;
    if (strcmp(argv[1], "--help") && strcmp(argv[1], "-h")) return usage("unknown argument");
    fputs(HELP, stdout);
    return 0;
}
