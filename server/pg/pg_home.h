#ifndef SERVER_PG_PG_HOME_H
#define SERVER_PG_PG_HOME_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>
#include "search/base/error.h"

/*
 * Where a private PostgreSQL lives: its folder, its programs, the user that runs it,
 * and the lock that makes it ours.
 *
 *   <folder>/data        the cluster, made by initdb
 *   <folder>/run         the socket
 *   <folder>/log         what the server says; log.1 is the one before
 *   <folder>/lock        flock of the lathed that owns it, with its process id
 *
 * <folder> is <data dir>/pg. PostgreSQL refuses to run as root: then another user runs
 * it (`postgres`, made by Debian's package, or --pg-user), who must be able to reach
 * the folder. When a parent directory shuts him out, as /root does, the folder is
 * /var/lib/lathe/pg-<hash of the data dir> instead.
 */
struct pg_home {
    char folder[512], data[600], run[600], log[600], bin[600];
    bool other_user; /* we are root and `uid` runs the programs */
    uid_t uid;
    gid_t gid;
    gid_t groups[64];
    int n_groups;
    bool run_is_temporary; /* <folder>/run is too long for a socket; removed at the end */
    int lock;              /* descriptor, or -1 */
};

/* Fills `home`, makes the directories and takes the lock, for which it waits up to
 * `patience_ms` (the lathed before may be just leaving). `bin` and `user` may be NULL. */
enum status pg_home_open(struct pg_home *home, const char *data_dir, const char *bin,
                         const char *user, unsigned patience_ms, struct error *err);

void pg_home_release(struct pg_home *home);

/* True when initdb has finished here. */
bool pg_home_has_cluster(const struct pg_home *home);

#endif
