#include "server/pg/embedded_pg.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "search/base/log.h"
#include "server/pg/pg_process.h"
#include "server/sm.h"

enum { WAITING, RUNNING, STOPPING, STOPPED };

static const struct sm_state states[] = {
    [WAITING] = { "waiting", SM_TO(RUNNING) | SM_TO(STOPPING) },
    [RUNNING] = { "running", SM_TO(WAITING) | SM_TO(STOPPING) },
    [STOPPING] = { "stopping", SM_TO(STOPPED) },
    [STOPPED] = { "stopped", 0 },
};

enum {
    LOCK_MS = 8000,    /* for the lathed before us to leave */
    START_MS = 600000, /* crash recovery may take long */
    ORPHANS_MS = 30000,
    REST_MIN_MS = 100,
    REST_MAX_MS = 5000,
    STOP_MS = 10000,
    SETTLED_MS = 10000, /* a server that lived this long starts with a short rest again */
};

struct embedded_pg {
    struct sm sm;
    uv_loop_t *loop;
    struct pg_home home;
    pid_t pid; /* 0: none */
    unsigned rest_ms;
    uint64_t started_at;
    uv_timer_t timer;
    uv_signal_t exits;
    char conninfo[1300], psql[700];
    int n_closing;
    void (*closed)(void *data);
    void *data;
};

static void tick(struct embedded_pg *pg);

static void on_timer(uv_timer_t *timer) { tick(timer->data); }

static void on_exits(uv_signal_t *handle, int number)
{
    (void)number;
    tick(handle->data);
}

/* ---- closing ---------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct embedded_pg *pg = handle->data;
    if (--pg->n_closing) return;
    pg_home_release(&pg->home);
    pg->closed(pg->data);
    free(pg);
}

static void finish(struct embedded_pg *pg)
{
    sm_move(&pg->sm, STOPPED);
    pg->n_closing = 2;
    uv_close((uv_handle_t *)&pg->timer, on_handle_closed);
    uv_close((uv_handle_t *)&pg->exits, on_handle_closed);
}

/* ---- the machine ------------------------------------------------------------------------ */

/* True when the child is gone; says how it went. */
static bool has_exited(struct embedded_pg *pg)
{
    int how;
    if (!pg->pid || waitpid(pg->pid, &how, WNOHANG) != pg->pid) return !pg->pid;
    if (pg->sm.at == RUNNING && WIFSIGNALED(how))
        log_error("postgres: killed by signal %d, starting it again", WTERMSIG(how));
    else if (pg->sm.at == RUNNING)
        log_error("postgres: exited with %d, starting it again; see %s", WEXITSTATUS(how),
                  pg->home.log);
    pg->pid = 0;
    return true;
}

static void rest(struct embedded_pg *pg)
{
    if (uv_now(pg->loop) - pg->started_at > SETTLED_MS) pg->rest_ms = 0;
    pg->rest_ms = pg->rest_ms ? pg->rest_ms * 2 : REST_MIN_MS;
    if (pg->rest_ms > REST_MAX_MS) pg->rest_ms = REST_MAX_MS;
    uv_timer_start(&pg->timer, on_timer, pg->rest_ms, 0);
}

static bool start(struct embedded_pg *pg)
{
    if (!pg_process_clear_orphans(&pg->home)) return false;
    pg->pid = pg_process_serve(&pg->home);
    if (pg->pid < 0) {
        log_error("postgres: cannot fork: %s", strerror(errno));
        pg->pid = 0;
    }
    pg->started_at = uv_now(pg->loop);
    return pg->pid != 0;
}

static void tick(struct embedded_pg *pg)
{
    switch (pg->sm.at) {
    case WAITING:
        if (uv_is_active((uv_handle_t *)&pg->timer)) return; /* a child of somebody else */
        if (start(pg))
            sm_move(&pg->sm, RUNNING);
        else
            uv_timer_start(&pg->timer, on_timer, REST_MIN_MS, 0);
        return;
    case RUNNING:
        if (!has_exited(pg)) return;
        sm_move(&pg->sm, WAITING);
        rest(pg);
        return;
    case STOPPING:
        if (has_exited(pg))
            finish(pg);
        else if (!uv_is_active((uv_handle_t *)&pg->timer))
            kill(pg->pid, SIGQUIT);
        return;
    case STOPPED: return;
    }
}

/* ---- opening ---------------------------------------------------------------------------- */

/* Path as a value in key=value text: quoted, with backslashes before quotes and backslashes. */
static void describe(struct embedded_pg *pg)
{
    char quoted[1210];
    size_t n = 0;
    for (const char *p = pg->home.run; *p; p++) {
        if (*p == '\'' || *p == '\\') quoted[n++] = '\\';
        quoted[n++] = *p;
    }
    quoted[n] = 0;
    snprintf(pg->conninfo, sizeof pg->conninfo, "host='%s' user=lathe dbname=postgres", quoted);
    snprintf(pg->psql, sizeof pg->psql, "psql -h %s -U lathe postgres", pg->home.run);
}

static enum status wait_orphans(struct embedded_pg *pg, struct error *err)
{
    for (int waited = 0; !pg_process_clear_orphans(&pg->home); waited += 100) {
        if (waited > ORPHANS_MS)
            return fail(err, E_BUSY, "an earlier PostgreSQL in %s does not stop", pg->home.data);
        usleep(100000);
    }
    return OK;
}

/* After a kill -9 the old processes may hold on for a moment: a server that exits
 * early is started again, a few times. */
static enum status wait_ready(struct embedded_pg *pg, struct error *err)
{
    bool ready = false;
    int starts = 1;
    for (int waited = 0; waited < START_MS; waited += 5) {
        if (has_exited(pg)) {
            if (starts++ == 5)
                return fail(err, E_IO, "PostgreSQL does not start, see %s", pg->home.log);
            usleep(300000);
            if (!start(pg)) starts--;
        }
        if (pg->pid && pg_process_recorded(&pg->home, &ready) == pg->pid && ready) return OK;
        usleep(5000);
    }
    return fail(err, E_BUSY, "PostgreSQL is not ready after %d s, see %s", START_MS / 1000,
                pg->home.log);
}

static enum status bring_up(struct embedded_pg *pg, struct error *err)
{
    TRY(wait_orphans(pg, err));
    TRY(pg_process_initdb(&pg->home, err));
    start(pg);
    return wait_ready(pg, err);
}

static void abandon(struct embedded_pg *pg)
{
    if (pg->pid) {
        kill(pg->pid, SIGQUIT);
        waitpid(pg->pid, NULL, 0);
    }
    pg_home_release(&pg->home);
    free(pg);
}

struct embedded_pg *embedded_pg_open(uv_loop_t *loop, const char *data_dir, const char *bin,
                                     const char *user, struct error *err)
{
    struct embedded_pg *pg = calloc(1, sizeof *pg);
    if (!pg) abort();
    pg->loop = loop;
    sm_init(&pg->sm, states, WAITING);
    if (pg_home_open(&pg->home, data_dir, bin, user, LOCK_MS, err)) {
        free(pg);
        return NULL;
    }
    if (bring_up(pg, err)) {
        abandon(pg);
        return NULL;
    }
    describe(pg);
    uv_update_time(loop); /* we have waited: what is timed from now on starts now */
    sm_move(&pg->sm, RUNNING);
    uv_timer_init(loop, &pg->timer);
    uv_signal_init(loop, &pg->exits);
    pg->timer.data = pg->exits.data = pg;
    uv_signal_start(&pg->exits, on_exits, SIGCHLD);
    return pg;
}

const char *embedded_pg_conninfo(const struct embedded_pg *pg) { return pg->conninfo; }

const char *embedded_pg_psql(const struct embedded_pg *pg) { return pg->psql; }

int embedded_pg_pid(const struct embedded_pg *pg) { return (int)pg->pid; }

void embedded_pg_close(struct embedded_pg *pg, void (*closed)(void *data), void *data)
{
    sm_move(&pg->sm, STOPPING);
    pg->closed = closed;
    pg->data = data;
    uv_timer_stop(&pg->timer);
    if (pg->pid) {
        kill(pg->pid, SIGINT);
        uv_timer_start(&pg->timer, on_timer, STOP_MS, 0);
    } else
        uv_timer_start(&pg->timer, on_timer, 0, 0);
}
