#ifndef SERVER_APP_H
#define SERVER_APP_H

#include <stdbool.h>
#include <uv.h>
#include "search/base/error.h"

struct auth;
struct config;
struct http;
struct hub;
struct pg_pool;
struct router;
struct runner;
struct web;

/*
 * What every part of lathed may reach. One process has one; main.c owns it and
 * it outlives every part. Everything runs on the thread of `loop`.
 *
 * Two pools, because a statement that waits for a lock delays whatever is
 * pipelined behind it:
 *   - `pool` for statements that finish in milliseconds: reads, single-row writes;
 *   - `slow` for what may wait or run long: claims, sweeps, big reads.
 */
struct app {
    uv_loop_t *loop;
    const struct config *config;
    struct pg_pool *pool;
    struct pg_pool *slow;
    struct auth *auth;
    struct http *http;       /* NULL when this process does not listen */
    const char *conninfo;    /* of the database, for a pg_listener; holds secrets, never print it */
    const char *uploads_dir; /* absolute; finished uploads are moved below it */
    const char *jobs_dir;    /* absolute; work directories of jobs, one below it per job */
    bool draining;           /* stop taking up new work */

    struct hub *hub;       /* private to the part that hands out events */
    struct runner *runner; /* private to the part that runs jobs; NULL without it */
    struct web *web;       /* private to the part that serves the dashboard */
};

/*
 * A part of the service, in the order of the table in main.c:
 *
 *   routes   adds its routes; called once, before anything else; may be NULL
 *   open     the database is there and migrated; start timers and children.
 *            A failure ends the program with its text
 *   drain    stop taking up work, tell long-lived clients; may be NULL
 *   close    let go of everything, then call closed(app) exactly once, never from
 *            inside close itself; the pools still work until then
 *
 * `wanted` says whether this process's --role includes the part.
 */
struct part {
    const char *name;
    bool (*wanted)(const struct config *config);
    void (*routes)(struct router *router);
    enum status (*open)(struct app *app, struct error *err);
    void (*drain)(struct app *app);
    void (*close)(struct app *app, void (*closed)(struct app *app));
};

#endif
