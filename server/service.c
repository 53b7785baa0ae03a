#include "server/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "search/base/log.h"
#include "server/http/auth.h"
#include "server/http/health.h"
#include "server/http/http.h"
#include "server/http/metrics.h"
#include "server/notify.h"
#include "server/pg/embedded_pg.h"
#include "server/pg/migrate.h"
#include "server/pg/pg_pool.h"

enum { DATABASE_TRIES = 30, MAX_PARTS = 8 };

struct service {
    struct app app;
    uv_loop_t loop;
    const struct config *config;
    const struct http_gate *gate;
    const struct part *parts[MAX_PARTS];
    int n_parts; /* those opened; closed from the last to the first */
    struct embedded_pg *pg;
    struct router *router;
    struct auth *auth;
    uv_signal_t on_term, on_int;
    struct notify_watchdog watchdog;
    char uploads[1100], jobs[1100], token[1100], address[1100];
    int n_closing;
    int exit_status;
};

static struct service *service_of(struct app *app) { return (struct service *)app; }

/* ---- directories ----------------------------------------------------------------------------- */

static enum status make_dirs(const char *path, struct error *err)
{
    char part[1100];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        mkdir(part, 0755);
        *p = '/';
    }
    if (mkdir(part, 0700) && errno != EEXIST)
        return fail(err, E_IO, "cannot make %s: %s", part, strerror(errno));
    return OK;
}

static enum status open_data_dir(struct service *s, struct error *err)
{
    const char *dir = s->config->data_dir;
    if (strlen(dir) > 900) return fail(err, E_INPUT, "the data directory's name is too long");
    const char *files = s->config->files_dir;
    if (strlen(files) > 900) return fail(err, E_INPUT, "the files directory's name is too long");
    snprintf(s->uploads, sizeof s->uploads, "%s/uploads", files);
    snprintf(s->jobs, sizeof s->jobs, "%s/jobs", files);
    snprintf(s->token, sizeof s->token, "%s/token", dir);
    snprintf(s->address, sizeof s->address, "%s/address", dir);
    s->app.uploads_dir = s->uploads;
    s->app.jobs_dir = s->jobs;
    TRY(make_dirs(dir, err));
    TRY(make_dirs(files, err));
    TRY(make_dirs(s->uploads, err));
    return make_dirs(s->jobs, err);
}

/* ---- the database -------------------------------------------------------------------------- */

static enum status migrate_patiently(const char *conninfo, struct error *err)
{
    for (int i = 1;; i++) {
        *err = (struct error){ 0 };
        if (migrate(conninfo, migrations, err) != E_BUSY || i == DATABASE_TRIES) return err->status;
        log_warn("%s; trying again", err->text);
        sleep(i < 4 ? 1 : 2);
    }
}

static struct pg_pool *open_pool(struct service *s, const char *name, int n, unsigned timeout_ms)
{
    struct pg_pool_options options = {
        .conninfo = s->app.conninfo, .name = name, .n_conns = n, .statement_timeout_ms = timeout_ms
    };
    return pg_pool_open(&s->loop, &options);
}

static enum status open_database(struct service *s, struct error *err)
{
    const struct config *c = s->config;
    if (c->database_url) {
        s->app.conninfo = c->database_url;
    } else {
        s->pg = embedded_pg_open(&s->loop, c->data_dir, c->pg_bin, c->pg_user, err);
        if (!s->pg) return err->status;
        s->app.conninfo = embedded_pg_conninfo(s->pg);
        log_info("postgres: private server is up; look inside with: %s", embedded_pg_psql(s->pg));
    }
    TRY(migrate_patiently(s->app.conninfo, err));
    uv_update_time(&s->loop);
    s->app.pool = open_pool(s, "lathed", c->pool_size, 15000);
    s->app.slow = open_pool(s, "lathed slow", 2, 60000);
    return OK;
}

/* ---- parts and HTTP ------------------------------------------------------------------------ */

static bool is_wanted(const struct service *s, const struct part *part)
{
    return !part->wanted || part->wanted(s->config);
}

static enum status open_parts(struct service *s, const struct part *const *parts, struct error *err)
{
    for (; *parts; parts++) {
        if (!is_wanted(s, *parts)) continue;
        if ((*parts)->routes) (*parts)->routes(s->router);
        if ((*parts)->open && (*parts)->open(&s->app, err))
            return fail_in(err, "%s", (*parts)->name);
        s->parts[s->n_parts++] = *parts;
    }
    return OK;
}

static enum status open_http(struct service *s, struct error *err)
{
    const struct config *c = s->config;
    struct http_options options = {
        .address = c->address,
        .port = c->port,
        .hosts = c->hosts,
        .router = s->router,
        .auth = s->auth,
        .app = &s->app,
        .rate = c->rate,
        .gate = s->gate,
        .uploads_dir = s->uploads,
        .max_body = c->max_body,
        .max_upload = c->max_upload,
    };
    s->app.http = http_open(&s->loop, &options, err);
    return s->app.http ? OK : err->status;
}

/* The address, for people on standard output and for clients in <data dir>/address. */
static enum status announce(struct service *s, struct error *err)
{
    char url[128], fresh[1200];
    bool v6 = strchr(s->config->address, ':');
    snprintf(url, sizeof url, v6 ? "http://[%s]:%d" : "http://%s:%d", s->config->address,
             http_port(s->app.http));
    snprintf(fresh, sizeof fresh, "%s.new", s->address);
    FILE *f = fopen(fresh, "w");
    bool good = f && fprintf(f, "%s\n", url) > 0;
    good = f && !fclose(f) && good && !rename(fresh, s->address);
    if (!good) return fail(err, E_IO, "cannot write %s: %s", s->address, strerror(errno));
    printf("lathed is ready at %s, the token is in %s\n", url, s->token);
    fflush(stdout);
    notify_state("READY=1");
    return OK;
}

/* ---- closing: each step starts the next from its closed callback --------------------------- */

static void stop_loop_handles(struct service *s)
{
    uv_close((uv_handle_t *)&s->on_term, NULL);
    uv_close((uv_handle_t *)&s->on_int, NULL);
    notify_watchdog_close(&s->watchdog);
}

static void on_postgres_closed(void *data) { ((struct service *)data)->pg = NULL; }

static void close_postgres(void *data)
{
    struct service *s = data;
    if (--s->n_closing) return;
    stop_loop_handles(s);
    if (s->pg) embedded_pg_close(s->pg, on_postgres_closed, s);
}

static void close_pools(void *data)
{
    struct service *s = data;
    s->n_closing = 1 + (s->app.pool != NULL) + (s->app.slow != NULL);
    if (s->app.pool) pg_pool_close(s->app.pool, close_postgres, s);
    if (s->app.slow) pg_pool_close(s->app.slow, close_postgres, s);
    close_postgres(s);
}

static void close_http(struct service *s)
{
    struct http *http = s->app.http;
    s->app.http = NULL;
    if (http)
        http_close(http, close_pools, s);
    else
        close_pools(s);
}

static void close_next_part(struct app *app)
{
    struct service *s = service_of(app);
    const struct part *part = NULL;
    while (s->n_parts && !(part && part->close)) part = s->parts[--s->n_parts];
    if (part && part->close)
        part->close(app, close_next_part);
    else
        close_http(s);
}

static void on_drained(void *data) { close_next_part(&((struct service *)data)->app); }

static void drain(struct service *s)
{
    s->app.draining = true;
    for (int i = 0; i < s->n_parts; i++)
        if (s->parts[i]->drain) s->parts[i]->drain(&s->app);
    if (s->app.http)
        http_drain(s->app.http, (unsigned)s->config->drain_s * 1000u, on_drained, s);
    else
        on_drained(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct service *s = handle->data;
    if (s->app.draining) _exit(128 + number); /* asked twice */
    log_info("lathed: stopping");
    notify_state("STOPPING=1");
    drain(s);
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* Until here a signal ended the program at once: nothing was begun that a start does not mend. */
static void obey_signals(struct service *s)
{
    uv_signal_start(&s->on_term, on_signal, SIGTERM);
    uv_signal_start(&s->on_int, on_signal, SIGINT);
}

static enum status open_all(struct service *s, const struct part *const *parts, struct error *err)
{
    TRY(open_data_dir(s, err));
    TRY(open_database(s, err));
    s->router = router_new();
    health_routes(s->router);
    metrics_page_routes(s->router);
    s->app.auth = s->auth = auth_open(s->token, err);
    if (!s->auth) return err->status;
    TRY(open_parts(s, parts, err));
    TRY(open_http(s, err));
    obey_signals(s);
    return announce(s, err);
}

static void init_handles(struct service *s)
{
    uv_signal_init(&s->loop, &s->on_term);
    uv_signal_init(&s->loop, &s->on_int);
    s->on_term.data = s->on_int.data = s;
    notify_watchdog_open(&s->watchdog, &s->loop);
}

int service_run(const struct config *config, const struct part *const *parts,
                const struct http_gate *gate)
{
    struct error err = { 0 };
    struct service s = { .config = config, .gate = gate };
    uv_loop_init(&s.loop);
    s.app.loop = &s.loop;
    s.app.config = config;
    init_handles(&s);
    if (open_all(&s, parts, &err)) {
        log_error("lathed: %s", err.text);
        s.exit_status = status_exit_code(err.status);
        s.app.draining = true;
        close_next_part(&s.app);
    }
    uv_run(&s.loop, UV_RUN_DEFAULT);
    router_free(s.router);
    auth_free(s.auth);
    if (uv_loop_close(&s.loop)) log_error("lathed: the loop still has handles");
    log_info("lathed: stopped");
    return s.exit_status;
}
