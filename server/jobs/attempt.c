#include "server/jobs/attempt.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "search/base/field.h"
#include "search/base/log.h"
#include "search/base/utf8.h"
#include "server/config.h"
#include "server/jobs/batch.h"
#include "server/jobs/child.h"
#include "server/jobs/journal.h"
#include "server/jobs/last_words.h"
#include "server/jobs/launch.h"
#include "server/jobs/places.h"
#include "server/jobs/verdict.h"
#include "server/jobs/work_dir.h"
#include "server/pg/pg_pool.h"
#include "server/sm.h"

enum { WORKING, ENDED, FINISHING, LOST, OVER };

static const struct sm_state states[] = {
    [WORKING] = { "working", SM_TO(ENDED) | SM_TO(LOST) },
    [ENDED] = { "ended", SM_TO(FINISHING) | SM_TO(LOST) },
    [FINISHING] = { "finishing", SM_TO(OVER) | SM_TO(LOST) },
    [LOST] = { "lost", SM_TO(OVER) },
    [OVER] = { "over", 0 },
};

enum { QUEUE_ROOM = ATTEMPT_QUEUE + JOURNAL_CHUNK + 2 * JOURNAL_LINE };

struct attempt {
    struct sm sm;
    struct attempt_options options;
    char subject[64], work_dir[1024], log[1056];
    char job_id[24], worker_id[24], number[16], lease[24];

    struct child *child;           /* NULL when gone */
    struct journal *journal;       /* NULL when it could not be opened */
    struct batch batch;
    bool held, asking, look;       /* reading stopped; a query is out; look at the wish soon */
    bool resting;                  /* PostgreSQL was busy or away: not before the timer */
    int rests;                     /* in a row; each is twice as long */
    bool refused;                  /* PostgreSQL did not accept what the process said */
    bool has_spoken;               /* this process: a line of the journal behind speaks_from */
    int64_t speaks_from;
    bool reading; /* in the middle of the journal: on_line leaves the rest to others */
    struct verdict verdict;
    struct last_words words;
    bool waits; /* for what the words say: to be told */
    uint64_t heard_at, stored_at; /* loop time */

    uv_timer_t timer; /* the beat, and the rest before trying again */
    struct pg_query query;
    const char *params[6];
};

static void tick(struct attempt *a);

/* ---- questions to PostgreSQL ------------------------------------------------------- */

static const char ingest_sql[] =
    "select held, wish from job_ingest($1, $2, $3, $4::interval, $5::jsonb, $6)";
static const char waits_sql[] = "select job_waits($1, $2, $3, $4)";
static const char finish_sql[] = "select job_end($1, $2, $3, $4, $5)";

/* Nothing came of it for now: the server is away, starting or busy. */
static bool worth_repeating(const struct error *err)
{
    return err->status != E_INPUT && err->status != E_CONFLICT && err->status != E_MISSING;
}

static void ask(struct attempt *a, const char *sql, int n_params,
                void (*done)(struct pg_query *, PGresult *, const struct error *))
{
    a->query = (struct pg_query){
        .sql = sql, .n_params = n_params, .params = a->params, .done = done, .data = a
    };
    a->asking = true;
    pg_pool_send(a->options.app->slow, &a->query);
}

static void rest(struct attempt *a)
{
    unsigned ms = ATTEMPT_RETRY_MS << a->rests;
    if (ms < ATTEMPT_BEAT_MS) a->rests++;
    a->resting = true;
    uv_timer_start(&a->timer, a->timer.timer_cb, ms < ATTEMPT_BEAT_MS ? ms : ATTEMPT_BEAT_MS, ATTEMPT_BEAT_MS);
}

static void refuse(struct attempt *a, const char *text)
{
    a->refused = true;
    verdict_set(&a->verdict, "bad_input", "what the trainer said was not accepted: %s", text);
    log_error("runner: %s: %s", a->subject, a->verdict.why);
    batch_drop(&a->batch);
    if (a->child) child_kill(a->child);
}

static void obey(struct attempt *a, const char *wish)
{
    if (strcmp(wish, "run") && a->child) child_stop(a->child);
}

static void lose(struct attempt *a)
{
    log_warn("runner: %s: attempt %s lost its lease", a->subject, a->number);
    sm_move(&a->sm, LOST);
    batch_drop(&a->batch);
    if (a->child) child_stop(a->child);
}

static void ingested(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct attempt *a = query->data;
    a->asking = false;
    if (err->status && worth_repeating(err)) {
        log_debug("runner: %s: storing again: %s", a->subject, err->text);
        rest(a);
        tick(a);
        return;
    }
    a->stored_at = uv_now(a->options.app->loop);
    a->rests = 0;
    batch_stored(&a->batch);
    if (!err->status && a->journal) journal_forget(a->journal, a->batch.flying_to);
    bool heard = a->sm.at == WORKING || a->sm.at == ENDED;
    if (heard && err->status)
        refuse(a, err->text);
    else if (heard && !pg_bool(rows, 0, 0))
        lose(a);
    else if (heard)
        obey(a, pg_text(rows, 0, 1));
    tick(a);
}

static void send_batch(struct attempt *a)
{
    a->params[3] = a->lease;
    a->params[4] = batch_take(&a->batch);
    a->params[5] = a->batch.place;
    a->look = false;
    ask(a, ingest_sql, 6, ingested);
}

/* A launcher may say it once only, so it is told again until it is stored. */
static void told_waits(struct pg_query *query, PGresult *rows, const struct error *err)
{
    (void)rows;
    struct attempt *a = query->data;
    a->asking = false;
    a->waits |= err->status && worth_repeating(err);
    if (err->status) rest(a);
    tick(a);
}

static void send_waits(struct attempt *a)
{
    a->params[3] = a->words.text;
    a->waits = false;
    ask(a, waits_sql, 4, told_waits);
}

static void finished(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct attempt *a = query->data;
    a->asking = false;
    if (err->status && worth_repeating(err)) {
        if (!a->rests) log_warn("runner: %s: cannot be finished yet, trying on: %s", a->subject, err->text);
        rest(a);
        tick(a);
        return;
    }
    if (err->status)
        log_error("runner: %s: cannot finish: %s", a->subject, err->text);
    else if (!pg_bool(rows, 0, 0))
        log_warn("runner: %s: finished too late", a->subject);
    if (a->sm.at == FINISHING) sm_move(&a->sm, OVER);
    tick(a);
}

static void send_finish(struct attempt *a)
{
    a->params[3] = a->verdict.how;
    places_hide(a->options.app, a->verdict.why);
    utf8_mend(a->verdict.why); /* PostgreSQL takes no other, and a text may have been cut */
    a->params[4] = a->verdict.why;
    ask(a, finish_sql, 5, finished);
}

/* ---- the process ------------------------------------------------------------------- */

static bool is_event(const char *text, size_t len)
{
    struct error err = { 0 };
    json_t *json = field_parse(text, len, &err);
    bool is = json_is_string(json_object_get(json, "event"));
    json_decref(json);
    return is;
}

static void on_line(void *data, const char *text, size_t len, int64_t end)
{
    struct attempt *a = data;
    batch_pass(&a->batch, end);
    a->heard_at = uv_now(a->options.app->loop);
    a->has_spoken |= end > a->speaks_from;
    if (a->sm.at == LOST || a->refused) return;
    if (!is_event(text, len)) {
        log_warn("runner: %s: the trainer printed what is no event: %.80s", a->subject, text);
        return;
    }
    batch_add(&a->batch, a->options.app, text, len, end);
    if (a->batch.waiting.len > ATTEMPT_QUEUE && !a->held) {
        a->held = true;
        journal_hold(a->journal);
    }
    if (!a->reading) tick(a);
}

static void on_broken(void *data)
{
    struct attempt *a = data;
    verdict_set(&a->verdict, "crash", "the trainer printed a line above %d bytes", JOURNAL_LINE);
    if (a->child) child_kill(a->child);
}

static void on_exited(void *data, const struct child_end *end)
{
    struct attempt *a = data;
    a->child = NULL;
    last_words_read(&a->words, a->options.app);
    if (!a->verdict.how) verdict_of_end(&a->verdict, end, a->work_dir, a->words.text);
    log_info("runner: %s: attempt %s ended (%s, exit %d, signal %d)", a->subject, a->number,
             a->verdict.how, end->exit_status, end->signal);
    journal_hold(a->journal); /* from here on we read the rest ourselves */
    if (a->sm.at == WORKING) sm_move(&a->sm, ENDED);
    tick(a);
}

static void check_silence(struct attempt *a)
{
    uint64_t now = uv_now(a->options.app->loop);
    bool may_wait = a->options.app->config->launch && !a->has_spoken;
    if (!a->child || a->held || a->verdict.how || may_wait || now - a->heard_at < ATTEMPT_SILENCE_MS) return;
    verdict_set(&a->verdict, "crash", "the trainer said nothing for %d seconds",
                ATTEMPT_SILENCE_MS / 1000);
    child_kill(a->child);
}

/* A launcher that waits says so, and for what. */
static void hear_launcher(struct attempt *a)
{
    if (!a->child || !a->options.app->config->launch || a->has_spoken) return;
    a->waits |= last_words_read(&a->words, a->options.app);
}

static void on_timer(uv_timer_t *timer)
{
    struct attempt *a = timer->data;
    a->resting = false;
    check_silence(a);
    hear_launcher(a);
    a->look |= uv_now(a->options.app->loop) - a->stored_at >= ATTEMPT_BEAT_MS / 2;
    tick(a);
}

/* ---- all it can do ----------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct attempt *a = handle->data;
    a->options.over(a, a->options.data);
    batch_release(&a->batch);
    free(a);
}

static void let_flow(struct attempt *a)
{
    if (!a->held || a->batch.waiting.len) return;
    a->held = false;
    if (a->child) journal_flow(a->journal);
}

/* What the journal still holds, as much as fits. False when that was the end of it. */
static bool read_rest(struct attempt *a)
{
    bool more = a->journal != NULL;
    a->reading = true;
    while (more && a->batch.waiting.len < ATTEMPT_QUEUE) more = !journal_at_end(a->journal);
    a->reading = false;
    return more;
}

static void let_go(struct attempt *a)
{
    if (uv_is_closing((uv_handle_t *)&a->timer)) return;
    if (a->journal) journal_close(a->journal);
    uv_close((uv_handle_t *)&a->timer, on_timer_closed);
}

static void tick(struct attempt *a)
{
    for (;;) {
        switch (a->sm.at) {
        case WORKING:
            if (a->asking || a->resting) return;
            if (a->waits && !a->has_spoken) {
                send_waits(a);
            } else if (batch_has_lines(&a->batch) || a->look) {
                send_batch(a);
                let_flow(a);
            }
            return;
        case ENDED:
            if (a->asking || a->resting) return;
            if (a->batch.flying.len || read_rest(a) || batch_is_behind(&a->batch)) {
                send_batch(a);
                return;
            }
            sm_move(&a->sm, FINISHING);
            continue;
        case FINISHING:
            if (!a->asking && !a->resting) send_finish(a);
            return;
        case LOST:
            if (a->asking || a->child) return;
            sm_move(&a->sm, OVER);
            continue;
        case OVER: let_go(a); return;
        }
    }
}

void attempt_look(struct attempt *a)
{
    a->look = true;
    tick(a);
}

void attempt_stop(struct attempt *a)
{
    if (a->child) child_stop(a->child);
}

void attempt_abandon(struct attempt *a)
{
    if (a->child) child_kill(a->child);
    if (a->sm.at != LOST && a->sm.at != OVER) sm_move(&a->sm, LOST);
    tick(a);
}

static enum status open_journal(struct attempt *a, struct error *err)
{
    char path[sizeof a->work_dir + 32];
    snprintf(path, sizeof path, "%s/" WORK_DIR_JOURNAL, a->work_dir);
    struct journal_options options = {
        .path = path, .from = a->options.said, .line = on_line, .broken = on_broken, .data = a
    };
    return journal_open(&a->journal, a->options.app->loop, &options, err);
}

static enum status start_child(struct attempt *a, struct error *err)
{
    char **args, job[32];
    const struct config *config = a->options.app->config;
    struct launch launch = { config->trainer, job, a->work_dir, config->ranks };
    snprintf(job, sizeof job, "job_%s", a->job_id);
    TRY(launch_words(&args, config->launch, &launch, err));
    int output = journal_writer(a->journal, err);
    if (output < 0) {
        free(args);
        return err->status;
    }
    a->speaks_from = lseek(output, 0, SEEK_END);
    struct child_options options = {
        .args = args,
        .work_dir = a->work_dir,
        .log = a->log,
        .job = a->options.document,
        .n_job = strlen(a->options.document),
        .output = output,
        .exited = on_exited,
        .data = a,
    };
    enum status status = child_start(&a->child, a->options.app->loop, &options, err);
    close(output);
    free(args);
    if (!status) work_dir_claim(a->work_dir, child_pid(a->child));
    return status;
}

static enum status start(struct attempt *a, struct error *err)
{
    TRY(work_dir_make(a->work_dir, a->options.document, err));
    TRY(open_journal(a, err));
    work_dir_stop_orphan(a->work_dir);
    return start_child(a, err);
}

static void never_started(struct attempt *a, const struct error *err)
{
    verdict_set(&a->verdict, err->status == E_BUSY ? "full" : "crash", "%s", err->text);
    if (err->status == E_BUSY)
        log_warn("runner: %s: %s", a->subject, err->text);
    else
        log_error("runner: %s: %s", a->subject, err->text);
    if (a->journal) journal_hold(a->journal);
    sm_move(&a->sm, ENDED);
}

static void name_things(struct attempt *a)
{
    const struct attempt_options *o = &a->options;
    snprintf(a->subject, sizeof a->subject, "%s", o->subject);
    snprintf(a->work_dir, sizeof a->work_dir, "%s/job_%" PRId64, o->app->jobs_dir, o->job_id);
    snprintf(a->log, sizeof a->log, "%s/" WORK_DIR_LOG, a->work_dir);
    snprintf(a->job_id, sizeof a->job_id, "%" PRId64, o->job_id);
    snprintf(a->worker_id, sizeof a->worker_id, "%" PRId64, o->worker_id);
    snprintf(a->number, sizeof a->number, "%d", o->attempt);
    snprintf(a->lease, sizeof a->lease, "%d seconds", ATTEMPT_LEASE_S);
    a->params[0] = a->job_id;
    a->params[1] = a->worker_id;
    a->params[2] = a->number;
}

struct attempt *attempt_new(const struct attempt_options *options)
{
    struct attempt *a = calloc(1, sizeof *a);
    if (!a) abort();
    a->options = *options;
    sm_init(&a->sm, states, WORKING);
    name_things(a);
    last_words_begin(&a->words, a->log);
    batch_init(&a->batch, QUEUE_ROOM, options->said);
    a->heard_at = a->stored_at = uv_now(options->app->loop);
    uv_timer_init(options->app->loop, &a->timer);
    a->timer.data = a;
    uv_timer_start(&a->timer, on_timer, ATTEMPT_BEAT_MS, ATTEMPT_BEAT_MS);

    struct error err = { 0 };
    if (start(a, &err)) {
        never_started(a, &err);
        tick(a);
    }
    a->options.document = a->options.subject = NULL; /* the caller's, gone when we return */
    return a;
}
