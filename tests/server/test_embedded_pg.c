#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "server/pg/pg_home.h"
#include "server/pg/pg_process.h"
#include "tests/server/scratch.h"
#include "tests/support/check.h"

/* The private PostgreSQL: who runs it, who may not share it, how it comes back. */

static struct scratch scratch;

static void reopen(void)
{
    struct error err = { 0 };
    scratch.pg = embedded_pg_open(&scratch.loop, scratch.dir, NULL, NULL, &err);
    CHECK(scratch.pg, "%s", err.text);
}

static void on_closed(void *data) { *(int *)data = 1; }

static void stop(void)
{
    int closed = 0, pid = embedded_pg_pid(scratch.pg);
    embedded_pg_close(scratch.pg, on_closed, &closed);
    CHECK(!closed, "closed from inside close");
    scratch_wait(&scratch, &closed, 1);
    scratch.pg = NULL;
    CHECK(kill(pid, 0) && errno == ESRCH, "the server is still there");
}

static char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/pg/%s", scratch.dir, name);
    return path;
}

static void runs_as_somebody(void)
{
    struct stat st;
    CHECK(!stat(path_of("data"), &st), "no data");
    CHECK(st.st_uid != 0, "the data belongs to root");
    CHECK_INT(st.st_mode & 07777, 0700);
    CHECK(!stat(path_of("run"), &st), "no socket directory");
    CHECK_INT(st.st_mode & 07777, 0700);
    CHECK_STR(scratch_ask(&scratch, "show listen_addresses"), "");
    CHECK_STR(scratch_ask(&scratch, "show server_encoding"), "UTF8");
}

static void is_not_shared(void)
{
    struct pg_home home;
    struct error err = { 0 };
    char want[200];
    CHECK_INT(pg_home_open(&home, scratch.dir, NULL, NULL, 100, &err), E_BUSY);
    snprintf(want, sizeof want, "%s/pg is in use by another lathed (process %d)", scratch.dir,
             (int)getpid());
    CHECK_STR(err.text, want);
}

static void keeps_its_data(void)
{
    scratch_ask(&scratch, "create table kept as select 7 as i");
    stop();
    reopen();
    CHECK_STR(scratch_ask(&scratch, "select i from kept"), "7");
}

/* The process id in postmaster.pid belongs to somebody else now: us. */
static void survives_a_stale_lock(void)
{
    stop();
    FILE *f = fopen(path_of("data/postmaster.pid"), "w");
    fprintf(f, "%d\n%s/pg/data\n1\n5432\n", (int)getpid(), scratch.dir);
    fclose(f);
    reopen();
    CHECK_STR(scratch_ask(&scratch, "select i from kept"), "7");
}

/* A lathed was killed and its server runs on: it is stopped, then ours starts. */
static void replaces_an_orphan(void)
{
    struct pg_home home;
    struct error err = { 0 };
    bool ready = false;
    stop();
    CHECK_OK(pg_home_open(&home, scratch.dir, NULL, NULL, 1000, &err), err);
    pid_t orphan = pg_process_serve(&home);
    for (int i = 0; i < 1000 && !(pg_process_recorded(&home, &ready) == orphan && ready); i++)
        usleep(10000);
    CHECK(ready, "the orphan does not start");
    pg_home_release(&home);
    reopen();
    CHECK(embedded_pg_pid(scratch.pg) != orphan, "the orphan was kept");
    CHECK_INT(waitpid(orphan, NULL, WNOHANG), orphan);
    CHECK_STR(scratch_ask(&scratch, "select i from kept"), "7");
}

static void comes_back(void)
{
    for (int i = 0; i < 3; i++) {
        int pid = embedded_pg_pid(scratch.pg), gone = 0;
        kill(pid, SIGKILL);
        for (int n = 0; n < 800 && !gone; n++) {
            scratch_run(&scratch, 20);
            PGconn *pg = PQconnectdb(embedded_pg_conninfo(scratch.pg));
            gone = embedded_pg_pid(scratch.pg) != pid && PQstatus(pg) == CONNECTION_OK;
            PQfinish(pg);
        }
        CHECK(gone, "it did not come back");
        CHECK_STR(scratch_ask(&scratch, "select i from kept"), "7");
    }
}

static void stops_while_resting(void)
{
    int closed = 0;
    kill(embedded_pg_pid(scratch.pg), SIGKILL);
    scratch_run(&scratch, 30);
    embedded_pg_close(scratch.pg, on_closed, &closed);
    scratch_wait(&scratch, &closed, 1);
    scratch.pg = NULL;
    reopen();
}

/* A half-made cluster is made again. */
static void starts_over(void)
{
    char fresh[256], command[1024];
    stop();
    snprintf(fresh, sizeof fresh, "%s", path_of("data.new"));
    snprintf(command, sizeof command, "rm -rf %s && mkdir -m 700 %s && touch %s/PG_VERSION",
             path_of("data"), fresh, fresh);
    CHECK_INT(system(command), 0);
    reopen();
    CHECK_STR(scratch_ask(&scratch, "select to_regclass('kept') is null"), "t");
}

static void says_what_is_missing(void)
{
    struct error err = { 0 };
    struct pg_home home;
    stop();
    FILE *f = fopen(path_of("data/PG_VERSION"), "w");
    fprintf(f, "9\n");
    fclose(f);
    CHECK_INT(pg_home_open(&home, scratch.dir, NULL, NULL, 100, &err), E_INPUT);
    CHECK(strstr(err.text,
                 "was made by PostgreSQL 9, whose server is not installed: install postgresql-9"),
          "%s", err.text);
    err = (struct error){ 0 };
    if (geteuid() == 0) {
        CHECK_INT(pg_home_open(&home, scratch.dir, NULL, "no-such-user", 100, &err), E_INPUT);
        CHECK(strstr(err.text, "there is no user \"no-such-user\" to run it"), "%s", err.text);
    }
}

/* Below a directory that shuts the server's user out, the cluster lives elsewhere. */
static void goes_where_it_can(void)
{
    struct error err = { 0 };
    struct pg_home home;
    char dir[128];
    if (geteuid()) return;
    snprintf(dir, sizeof dir, "%s/closed", scratch.dir);
    mkdir(dir, 0700);
    strcat(dir, "/data");
    mkdir(dir, 0700);
    CHECK_OK(pg_home_open(&home, dir, NULL, NULL, 100, &err), err);
    CHECK(!strncmp(home.folder, "/var/lib/lathe/pg-", 18), "%s", home.folder);
    pg_home_release(&home);
    char command[600];
    snprintf(command, sizeof command, "rm -rf %s", home.folder);
    CHECK_INT(system(command), 0);
}

int main(void)
{
    scratch_open(&scratch);
    runs_as_somebody();
    is_not_shared();
    keeps_its_data();
    survives_a_stale_lock();
    replaces_an_orphan();
    comes_back();
    stops_while_resting();
    starts_over();
    goes_where_it_can();
    says_what_is_missing();
    scratch_close(&scratch);
    printf("ok\n");
    return 0;
}
