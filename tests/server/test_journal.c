#include "server/jobs/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/support/check.h"

/* The promises of journal.h. */

static uv_loop_t loop;
static char path[] = "/tmp/lathe-journal-XXXXXX";
static struct journal *journal;
static char said[4096];
static int n_lines, n_broken, hold_at;
static size_t longest;
static int64_t place;

static void on_line(void *data, const char *text, size_t len, int64_t end)
{
    (void)data;
    CHECK_INT(strlen(text), len);
    n_lines++;
    place = end;
    if (len > longest) longest = len;
    if (strlen(said) + len + 2 < sizeof said) strcat(strcat(said, text), ";");
    if (n_lines == hold_at) journal_hold(journal);
}

static void on_broken(void *data)
{
    (void)data;
    n_broken++;
}

static void begin(int64_t from)
{
    struct error err = { 0 };
    struct journal_options options = {
        .path = path, .from = from, .line = on_line, .broken = on_broken
    };
    n_lines = n_broken = hold_at = 0;
    longest = 0;
    *said = 0;
    CHECK_OK(journal_open(&journal, &loop, &options, &err), err);
    CHECK_INT(n_lines, 0);
}

static void on_timer(uv_timer_t *timer) { uv_close((uv_handle_t *)timer, NULL); }

static void run(unsigned ms)
{
    uv_timer_t timer;
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_timer, ms, 0);
    while (uv_is_active((uv_handle_t *)&timer)) uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_NOWAIT);
}

static void finish(void)
{
    journal_close(journal);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void append(const char *text)
{
    struct error err = { 0 };
    int fd = journal_writer(journal, &err);
    CHECK(fd >= 0, "%s", err.text);
    CHECK_INT(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void lines_as_they_come(void)
{
    begin(0);
    append("one\n\ntwo\nthr");
    run(50);
    CHECK_STR(said, "one;two;");
    CHECK_INT(place, 9);
    append("ee\n");
    run(50);
    CHECK_STR(said, "one;two;three;");
    CHECK_INT(place, 15);
    append("half a li");
    finish();

    begin(4); /* somebody else reads on; what was cut off stays apart from what follows */
    append("new\n");
    run(50);
    CHECK_STR(said, "two;three;half a li;new;");
    finish();
    begin(1000000); /* a place of another life */
    run(20);
    CHECK_INT(n_lines, 5);
    finish();
}

static void reading_at_the_end(void)
{
    begin(0);
    while (!journal_at_end(journal)) {
    }
    CHECK_INT(n_lines, 5);
    finish();
}

static void write_file(const char *byte, size_t n, const char *end)
{
    FILE *file = fopen(path, "w");
    for (size_t i = 0; i < n; i++) fputs(byte, file);
    fputs(end, file);
    fclose(file);
}

static void long_lines(void)
{
    write_file("x", JOURNAL_LINE, "\nafter\n");
    begin(0);
    run(50);
    CHECK_INT(longest, JOURNAL_LINE);
    CHECK_INT(n_lines, 2);
    finish();
    write_file("x", JOURNAL_LINE + 1, "\nafter\n");
    begin(0);
    run(50);
    CHECK_INT(n_broken, 1);
    CHECK_INT(n_lines, 0);
    CHECK(journal_at_end(journal), "nothing follows");
    finish();
}

static void back_pressure(void)
{
    write_file("123456\n", 100000, "");
    begin(0);
    hold_at = 10;
    run(50);
    CHECK(n_lines >= 10 && n_lines <= 10 + JOURNAL_CHUNK / 7, "%d lines came although held",
          n_lines);
    journal_flow(journal);
    for (int i = 0; i < 200 && n_lines < 100000; i++) run(10);
    CHECK_INT(n_lines, 100000);
    CHECK_INT(place, 700000);
    struct stat before, after;
    stat(path, &before);
    journal_forget(journal, 350000);
    stat(path, &after);
    CHECK_INT(after.st_size, before.st_size);
    CHECK(after.st_blocks <= before.st_blocks, "%ld blocks", (long)after.st_blocks);
    finish();
    begin(350000);
    run(100);
    CHECK_INT(n_lines, 50000);
    finish();
}

int main(void)
{
    int fd = mkstemp(path);
    CHECK(fd >= 0, "mkstemp");
    close(fd);
    uv_loop_init(&loop);
    lines_as_they_come();
    reading_at_the_end();
    long_lines();
    back_pressure();
    CHECK_INT(uv_loop_close(&loop), 0);
    unlink(path);
    puts("ok");
}
