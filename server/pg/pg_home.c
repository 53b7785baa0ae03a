#include "server/pg/pg_home.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "search/base/hash.h"
#include "search/base/log.h"

enum { LOG_MAX_BYTES = 8 << 20 };

/* ---- who ---------------------------------------------------------------------------- */

static enum status find_user(struct pg_home *home, const char *user, struct error *err)
{
    home->uid = geteuid();
    home->gid = getegid();
    if (home->uid != 0) return OK;
    const struct passwd *who = getpwnam(user ? user : "postgres");
    if (!who || who->pw_uid == 0)
        return fail(err, E_INPUT,
                    "PostgreSQL does not run as root and there is no user \"%s\" to run it: "
                    "install postgresql, or name one with --pg-user",
                    user ? user : "postgres");
    home->other_user = true;
    home->uid = who->pw_uid;
    home->gid = who->pw_gid;
    home->n_groups = (int)(sizeof home->groups / sizeof *home->groups);
    if (getgrouplist(who->pw_name, who->pw_gid, home->groups, &home->n_groups) < 0)
        home->n_groups = 0;
    return OK;
}

/* ---- where -------------------------------------------------------------------------- */

static bool may_pass(const struct pg_home *home, const char *dir)
{
    struct stat st;
    if (stat(dir, &st)) return false;
    if (st.st_uid == home->uid) return st.st_mode & S_IXUSR;
    if (st.st_gid == home->gid && st.st_mode & S_IXGRP) return true;
    return st.st_mode & S_IXOTH;
}

/* Can the user walk to `path`, whose last part need not exist? */
static bool is_reachable(const struct pg_home *home, const char *path)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s", path);
    for (char *slash = strrchr(dir, '/'); slash && slash != dir; slash = strrchr(dir, '/')) {
        *slash = 0;
        if (!may_pass(home, dir)) return false;
    }
    return true;
}

static enum status choose_folder(struct pg_home *home, const char *data_dir, struct error *err)
{
    char hash[HASH_HEX];
    if (strlen(data_dir) > sizeof home->folder - 8)
        return fail(err, E_INPUT, "the data directory's name is too long");
    snprintf(home->folder, sizeof home->folder, "%s/pg", data_dir);
    if (!home->other_user) return OK;
    struct stat st;
    if (!stat(data_dir, &st)) chmod(data_dir, (st.st_mode & 07777) | S_IXOTH | S_IXGRP);
    if (is_reachable(home, home->folder)) return OK;
    hash_hex(data_dir, strlen(data_dir), hash);
    mkdir("/var/lib/lathe", 0711);
    snprintf(home->folder, sizeof home->folder, "/var/lib/lathe/pg-%.16s", hash);
    return OK;
}

static enum status make_dir(const struct pg_home *home, const char *dir, struct error *err)
{
    if (mkdir(dir, 0700) && errno != EEXIST)
        return fail(err, E_IO, "cannot make %s: %s", dir, strerror(errno));
    if (home->other_user && chown(dir, home->uid, home->gid))
        return fail(err, E_IO, "cannot give %s to PostgreSQL's user: %s", dir, strerror(errno));
    return OK;
}

/* A socket's path must fit struct sockaddr_un. */
static enum status choose_run(struct pg_home *home, struct error *err)
{
    snprintf(home->run, sizeof home->run, "%s/run", home->folder);
    if (strlen(home->run) + sizeof "/.s.PGSQL.5432.lock" <
        sizeof((struct sockaddr_un *)0)->sun_path)
        return make_dir(home, home->run, err);
    snprintf(home->run, sizeof home->run, "/tmp/lathe-pg-XXXXXX");
    if (!mkdtemp(home->run))
        return fail(err, E_IO, "cannot make %s: %s", home->run, strerror(errno));
    home->run_is_temporary = true;
    return make_dir(home, home->run, err);
}

static void rotate_log(const struct pg_home *home)
{
    char old[620];
    struct stat st;
    snprintf(old, sizeof old, "%s.1", home->log);
    if (!stat(home->log, &st) && st.st_size > LOG_MAX_BYTES) rename(home->log, old);
}

/* ---- which programs -------------------------------------------------------------------- */

bool pg_home_has_cluster(const struct pg_home *home)
{
    char path[640];
    snprintf(path, sizeof path, "%s/PG_VERSION", home->data);
    return access(path, F_OK) == 0;
}

static int cluster_version(const struct pg_home *home)
{
    char path[640], text[16] = "";
    snprintf(path, sizeof path, "%s/PG_VERSION", home->data);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    if (!fgets(text, sizeof text, f)) *text = 0;
    fclose(f);
    return atoi(text);
}

/* Debian and its kin keep them in /usr/lib/postgresql/<major>/bin, others in /usr/pgsql-<major>. */
static int newest(const char *pattern, size_t digits_at, int wanted, char bin[600])
{
    glob_t found;
    int best = 0;
    if (glob(pattern, 0, NULL, &found)) return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int major = atoi(found.gl_pathv[i] + digits_at);
        if (wanted ? major != wanted : major <= best) continue;
        best = major;
        snprintf(bin, 600, "%.*s", (int)(strlen(found.gl_pathv[i]) - strlen("/postgres")),
                 found.gl_pathv[i]);
    }
    globfree(&found);
    return best;
}

static enum status find_programs(struct pg_home *home, const char *bin, struct error *err)
{
    int wanted = cluster_version(home);
    if (bin) {
        snprintf(home->bin, sizeof home->bin, "%s", bin);
        return OK;
    }
    if (newest("/usr/lib/postgresql/*/bin/postgres", strlen("/usr/lib/postgresql/"), wanted,
               home->bin))
        return OK;
    if (newest("/usr/pgsql-*/bin/postgres", strlen("/usr/pgsql-"), wanted, home->bin)) return OK;
    if (wanted)
        return fail(err, E_INPUT,
                    "%s was made by PostgreSQL %d, whose server is not installed: install "
                    "postgresql-%d, or name its folder with --pg-bin",
                    home->data, wanted, wanted);
    return fail(err, E_INPUT,
                "no PostgreSQL server found: install postgresql, name its folder with --pg-bin, "
                "or use a database of yours with --database-url");
}

/* ---- the lock ------------------------------------------------------------------------- */

static void read_owner(int fd, char out[16])
{
    ssize_t n = pread(fd, out, 15, 0);
    out[n > 0 ? n : 0] = 0;
    out[strspn(out, "0123456789")] = 0;
}

static enum status take_lock(struct pg_home *home, unsigned patience_ms, struct error *err)
{
    char path[600], owner[16];
    snprintf(path, sizeof path, "%s/lock", home->folder);
    home->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (home->lock < 0) return fail(err, E_IO, "cannot open %s: %s", path, strerror(errno));
    for (unsigned waited = 0; flock(home->lock, LOCK_EX | LOCK_NB); waited += 50) {
        if (waited < patience_ms) {
            usleep(50000);
            continue;
        }
        read_owner(home->lock, owner);
        return fail(err, E_BUSY, "%s is in use by another lathed (process %s)", home->folder,
                    owner);
    }
    snprintf(owner, sizeof owner, "%d\n", (int)getpid());
    if (ftruncate(home->lock, 0) || pwrite(home->lock, owner, strlen(owner), 0) < 0)
        return fail(err, E_IO, "cannot write %s: %s", path, strerror(errno));
    return OK;
}

/* ---- open and release ------------------------------------------------------------------ */

static enum status prepare(struct pg_home *home, const char *data_dir, const char *bin,
                           const char *user, unsigned patience_ms, struct error *err)
{
    TRY(find_user(home, user, err));
    TRY(choose_folder(home, data_dir, err));
    TRY(make_dir(home, home->folder, err));
    snprintf(home->data, sizeof home->data, "%s/data", home->folder);
    snprintf(home->log, sizeof home->log, "%s/log", home->folder);
    TRY(take_lock(home, patience_ms, err));
    TRY(find_programs(home, bin, err));
    TRY(choose_run(home, err));
    rotate_log(home);
    return OK;
}

enum status pg_home_open(struct pg_home *home, const char *data_dir, const char *bin,
                         const char *user, unsigned patience_ms, struct error *err)
{
    *home = (struct pg_home){ .lock = -1 };
    enum status status = prepare(home, data_dir, bin, user, patience_ms, err);
    if (status) pg_home_release(home);
    return status;
}

void pg_home_release(struct pg_home *home)
{
    if (home->run_is_temporary) rmdir(home->run);
    if (home->lock >= 0) close(home->lock);
    home->lock = -1;
}
