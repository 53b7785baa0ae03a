#include <sys/stat.h>
#include <unistd.h>
#include "clients/cli/sse.h"
#include "clients/cli/where.h"
#include "tests/support/check.h"

/* What comes over the wire, cut anywhere; and where the wire goes. */

static char seen[1024];

static void on_event(void *context, const struct sse_event *event)
{
    size_t len = strlen(seen);
    (void)context;
    snprintf(seen + len, sizeof seen - len, "[%s|%s|%s]", event->id, event->name, event->data);
}

static const char stream[] = ": hello\r\nretry: 1500\r\n\r\n"
                             "id: 7\nevent: step\ndata: {\"a\":1}\n\n"
                             "event: nothing\n\n"
                             "data:one\rdata: two\r\r"
                             "id: 9\r\ndata\r\n\r\n"
                             "id: 10\ndata: unfinished\n";

/* However the bytes are cut into pieces, the events are the same. */
static void every_cut(void)
{
    for (size_t cut = 1; cut < sizeof stream; cut++) {
        struct sse sse;
        seen[0] = '\0';
        sse_init(&sse, on_event, NULL);
        for (size_t at = 0; at < sizeof stream - 1; at += cut) {
            size_t left = sizeof stream - 1 - at;
            CHECK(sse_feed(&sse, stream + at, left < cut ? left : cut), "refused");
        }
        CHECK_STR(seen, "[7|step|{\"a\":1}][7|message|one\ntwo][9|message|]");
        CHECK_INT(sse.retry_ms, 1500);
        sse_release(&sse);
    }
}

static void restarts(void)
{
    struct sse sse;
    seen[0] = '\0';
    sse_init(&sse, on_event, NULL);
    sse_feed(&sse, "id: 3\ndata: x\n\nid: 4\ndata: half", 31);
    sse_restart(&sse);
    sse_feed(&sse, "data: y\n\n", 9);
    CHECK_STR(seen, "[3|message|x][3|message|y]");
    sse_release(&sse);
}

static void has_a_ceiling(void)
{
    struct sse sse;
    char part[65536];
    bool taken = true;
    memset(part, 'x', sizeof part);
    sse_init(&sse, on_event, NULL);
    for (int i = 0; i < 32 && taken; i++) taken = sse_feed(&sse, part, sizeof part);
    CHECK(!taken, "two megabytes without an end were taken");
    sse_release(&sse);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    CHECK(file, "%s", path);
    fputs(text, file);
    fclose(file);
}

static void finds(void)
{
    char dir[] = "/tmp/lathe-where-XXXXXX";
    struct where where;
    struct error err = { 0 };
    CHECK(mkdtemp(dir), "mkdtemp");
    write_file(dir, "address", "http://127.0.0.1:7001/\n");
    write_file(dir, "token", "secret\n");
    unsetenv("LATHE_SERVER");
    unsetenv("LATHE_TOKEN");
    CHECK_OK(where_find(&where, NULL, NULL, dir, &err), err);
    CHECK_STR(where.server, "http://127.0.0.1:7001");
    CHECK_STR(where.token, "secret");
    /* The directory's token is for its service and for this machine, not for strangers. */
    CHECK_OK(where_find(&where, "http://example.org", NULL, dir, &err), err);
    CHECK_STR(where.token, "");
    CHECK_OK(where_find(&where, "http://127.0.0.1.example.org", NULL, dir, &err), err);
    CHECK_STR(where.token, "");
    CHECK_OK(where_find(&where, "http://localhost:1", NULL, dir, &err), err);
    CHECK_STR(where.token, "secret");
    setenv("LATHE_TOKEN", "other", 1);
    CHECK_OK(where_find(&where, NULL, NULL, dir, &err), err);
    CHECK_STR(where.token, "other");
    CHECK_OK(where_find(&where, NULL, "given", dir, &err), err);
    CHECK_STR(where.token, "given");
    CHECK_INT(where_find(&where, "ftp://x", NULL, dir, &err), E_INPUT);
    char path[256];
    snprintf(path, sizeof path, "%s/address", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/token", dir);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    every_cut();
    restarts();
    has_a_ceiling();
    finds();
    puts("ok");
}
