#include "server/jobs/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "search/base/log.h"
#include "server/config.h"
#include "server/jobs/attempt.h"
#include "server/jobs/launch.h"
#include "server/jobs/machine.h"
#include "server/pg/pg_listen.h"
#include "server/pg/pg_pool.h"

enum { POLL_MS = 1000, MAX_SLOTS = 64, CLOSE_MS = 25000, MACHINE_BYTES = 16 * 1024 };

struct runner {
    struct app *app;
    int lock; /* the descriptor of data_dir/runner.lock */
    int slots, n_attempts;
    struct attempt *attempts[MAX_SLOTS];
    int64_t worker_id; /* 0 until PostgreSQL gave us one */
    bool asking, draining, closing;
    bool heard; /* of a change while a question was out: its answer may be from before */

    uv_timer_t timer, patience;
    int open_handles;
    struct pg_listener *listener;
    struct pg_query query;
    const char *params[7];
    char name[512], host[256], process[16], n_slots[16], worker[24], lease[24], ranks[16];
    struct buf machine; /* what it has, as JSON */
    void (*closed)(struct app *app);
};

static void tick(struct runner *r);

/* ---- attempts ---------------------------------------------------------------------- */

static void on_over(struct attempt *attempt, void *data)
{
    struct runner *r = data;
    for (int i = 0; i < r->n_attempts; i++)
        if (r->attempts[i] == attempt) r->attempts[i--] = r->attempts[--r->n_attempts];
    tick(r);
}

static void take_up(struct runner *r, PGresult *rows)
{
    struct attempt_options options = {
        .app = r->app,
        .worker_id = r->worker_id,
        .job_id = pg_int(rows, 0, 0),
        .attempt = (int)pg_int(rows, 0, 1),
        .subject = pg_text(rows, 0, 2),
        .document = pg_text(rows, 0, 3),
        .said = pg_int(rows, 0, 4),
        .over = on_over,
        .data = r,
    };
    log_info("runner: %s: attempt %d starts", options.subject, options.attempt);
    r->attempts[r->n_attempts++] = attempt_new(&options);
}

/* ---- questions to PostgreSQL ------------------------------------------------------- */

static const char join_sql[] =
    "select worker_join($1::jsonb || jsonb_build_object('name', $2::text, 'host', $3::text,"
    " 'process', $4::int, 'slots', $5::int, 'ranks', $6::int, 'launch', $7::text))";
static const char claim_sql[] =
    "select j.job_id, j.attempt, j.subject, job_document(j, $3, $4), j.said"
    "  from job_claim($1, $2::interval) j";
static const char seen_sql[] = "select worker_seen($1)";

static void ask(struct runner *r, const char *sql, int n_params,
                void (*done)(struct pg_query *, PGresult *, const struct error *))
{
    r->asking = true;
    r->query = (struct pg_query){
        .sql = sql, .n_params = n_params, .params = r->params, .done = done, .data = r
    };
    pg_pool_send(r->app->slow, &r->query);
}

static void started(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct runner *r = query->data;
    r->asking = false;
    if (err->status) {
        log_warn("runner: cannot register yet: %s", err->text);
        if (r->closing) tick(r);
        return;
    }
    r->worker_id = pg_int(rows, 0, 0);
    snprintf(r->worker, sizeof r->worker, "%" PRId64, r->worker_id);
    log_info("runner: wrk_%s takes %d job%s at a time", r->worker, r->slots,
             r->slots > 1 ? "s" : "");
    tick(r);
}

/* A job that came when we were about to stop is stopped at once, and so goes back. */
static void claimed(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct runner *r = query->data;
    r->asking = false;
    bool more = !err->status && PQntuples(rows);
    if (err->status) log_debug("runner: no claim: %s", err->text);
    if (more) take_up(r, rows);
    if (more && r->draining) attempt_stop(r->attempts[r->n_attempts - 1]);
    if (more || r->closing || r->heard) tick(r);
}

static void seen(struct pg_query *query, PGresult *rows, const struct error *err)
{
    (void)rows, (void)err;
    struct runner *r = query->data;
    r->asking = false;
    tick(r);
}

static void send_start(struct runner *r)
{
    r->params[0] = r->machine.bytes;
    r->params[1] = r->name;
    r->params[2] = r->host;
    r->params[3] = r->process;
    r->params[4] = r->n_slots;
    r->params[5] = r->ranks;
    r->params[6] = r->app->config->launch;
    ask(r, join_sql, 7, started);
}

static void send_claim(struct runner *r)
{
    r->params[0] = r->worker;
    r->params[1] = r->lease;
    r->params[2] = r->app->jobs_dir;
    r->params[3] = r->app->uploads_dir;
    ask(r, claim_sql, 4, claimed);
}

static void send_seen(struct runner *r)
{
    r->params[0] = r->worker;
    ask(r, seen_sql, 1, seen);
}

/* ---- all it can do ----------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct runner *r = handle->data;
    if (--r->open_handles) return;
    struct app *app = r->app;
    void (*closed)(struct app *) = r->closed;
    close(r->lock);
    buf_release(&r->machine);
    free(r);
    app->runner = NULL;
    closed(app);
}

static void on_listener_closed(void *data)
{
    struct runner *r = data;
    uv_close((uv_handle_t *)&r->timer, on_handle_closed);
    uv_close((uv_handle_t *)&r->patience, on_handle_closed);
}

static void tick(struct runner *r)
{
    if (r->asking) return;
    r->heard = false;
    if (r->closing) {
        struct pg_listener *listener = r->listener;
        if (r->n_attempts || !listener) return;
        r->listener = NULL;
        pg_listener_close(listener, on_listener_closed, r);
    } else if (!r->worker_id)
        send_start(r);
    else if (r->draining || r->app->draining)
        return;
    else if (r->n_attempts < r->slots)
        send_claim(r);
}

static void on_timer(uv_timer_t *timer)
{
    struct runner *r = timer->data;
    if (r->asking) return;
    if (r->worker_id && r->n_attempts == r->slots)
        send_seen(r);
    else
        tick(r);
}

/* Something about a job changed: perhaps there is work, perhaps one of ours is wanted otherwise. */
static void on_heard(void *data, const char *channel, const char *payload)
{
    (void)channel, (void)payload;
    struct runner *r = data;
    for (int i = 0; i < r->n_attempts; i++) attempt_look(r->attempts[i]);
    r->heard = true;
    tick(r);
}

/* ---- the part ---------------------------------------------------------------------- */

static enum status lock_folder(struct runner *r, struct error *err)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/runner.lock", r->app->config->data_dir);
    r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (r->lock < 0) return fail(err, E_IO, "cannot open %s: %s", path, strerror(errno));
    if (!flock(r->lock, LOCK_EX | LOCK_NB)) return OK;
    close(r->lock);
    return fail(err, E_BUSY,
                "another runner works in %s; give this one a data directory of its own",
                r->app->config->data_dir);
}

static void name_things(struct runner *r)
{
    if (gethostname(r->host, sizeof r->host - 1)) snprintf(r->host, sizeof r->host, "unknown");
    snprintf(r->name, sizeof r->name, "%s:%.240s", r->host, r->app->config->data_dir);
    snprintf(r->process, sizeof r->process, "%d", (int)getpid());
    snprintf(r->n_slots, sizeof r->n_slots, "%d", r->slots);
    snprintf(r->ranks, sizeof r->ranks, "%d", r->app->config->ranks);
    snprintf(r->lease, sizeof r->lease, "%d seconds", ATTEMPT_LEASE_S);
}

/* A template that cannot work is better said now than by every job. */
static enum status check_launch(const struct config *config, struct error *err)
{
    char **words;
    struct launch launch = { config->trainer, "job_1", "/", config->ranks };
    TRY(launch_words(&words, config->launch, &launch, err));
    free(words);
    return OK;
}

static enum status runner_open(struct app *app, struct error *err)
{
    static const char *const channels[] = { "lathe_job", NULL };
    struct runner *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->app = app;
    buf_init(&r->machine, MACHINE_BYTES);
    if (check_launch(app->config, err) || lock_folder(r, err)) {
        free(r);
        return err->status;
    }
    int slots = app->config->slots;
    r->slots = slots < 1 ? 1 : slots > MAX_SLOTS ? MAX_SLOTS : slots;
    name_things(r);
    machine_describe(app->config, &r->machine);
    uv_update_time(app->loop);
    uv_timer_init(app->loop, &r->timer);
    uv_timer_init(app->loop, &r->patience);
    r->timer.data = r->patience.data = r;
    r->open_handles = 2;
    uv_timer_start(&r->timer, on_timer, 0, POLL_MS);
    r->listener = pg_listen(app->loop, app->conninfo, channels, on_heard, r);
    app->runner = r;
    return OK;
}

static void runner_drain(struct app *app)
{
    struct runner *r = app->runner;
    r->draining = true;
    for (int i = 0; i < r->n_attempts; i++) attempt_stop(r->attempts[i]);
}

static void on_patience_over(uv_timer_t *timer)
{
    struct runner *r = timer->data;
    for (int i = 0; i < r->n_attempts; i++) attempt_abandon(r->attempts[i]);
}

static void on_close_later(uv_timer_t *timer)
{
    struct runner *r = timer->data;
    uv_timer_start(&r->patience, on_patience_over, CLOSE_MS, 0);
    r->closing = true;
    tick(r);
}

static void runner_close(struct app *app, void (*closed)(struct app *app))
{
    struct runner *r = app->runner;
    runner_drain(app);
    r->closed = closed;
    uv_timer_stop(&r->timer);
    uv_timer_start(&r->patience, on_close_later, 0, 0);
}

static bool runner_wanted(const struct config *config) { return config->role_runner; }

void runner_load(const struct app *app, int *busy, int *slots)
{
    *busy = app->runner ? app->runner->n_attempts : 0;
    *slots = app->runner ? app->runner->slots : 0;
}

const struct part runner_part = {
    .name = "runner",
    .wanted = runner_wanted,
    .open = runner_open,
    .drain = runner_drain,
    .close = runner_close,
};
