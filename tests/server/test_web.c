#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "server/config.h"
#include "server/web/files.h"
#include "server/web/web.h"
#include "tests/server/wire.h"
#include "tests/support/check.h"

/* The dashboard's files over a socket, from a folder that also holds what must not go out. */

static struct wire wire;
static char folder[80];

static void put(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && !fclose(f), "cannot write %s", path);
}

static void make_folder(void)
{
    char path[200];
    snprintf(folder, sizeof folder, "/tmp/lathe-web-XXXXXX");
    CHECK(mkdtemp(folder), "cannot make %s", folder);
    snprintf(path, sizeof path, "%s/web", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/web/views", folder);
    mkdir(path, 0700);
    put("secret.js", "outside");
    put("web/index.html", "<p>hello");
    put("web/main.js", "let a = 1;");
    put("web/main.js.gz", "packed");
    put("web/views/run.js", "let b = 2;");
    put("web/.hidden.js", "hidden");
    put("web/notes.txt", "notes");
}

static void remove_folder(void)
{
    char command[120];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK(!system(command), "cannot remove %s", folder);
}

static const char *ask(const char *path, const char *headers)
{
    char request[600];
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n", path, headers);
    return wire_ask(&wire, request);
}

static bool has(const char *reply, const char *text) { return strstr(reply, text) != NULL; }

static void test_a_file_comes_without_a_token_and_with_its_policy(void)
{
    const char *reply = ask("/", "");
    CHECK(has(reply, "200 OK") && has(reply, "<p>hello"), "%s", reply);
    CHECK(has(reply, "Content-Type: text/html; charset=utf-8"), "%s", reply);
    CHECK(has(reply, "Content-Security-Policy: default-src 'self';"), "%s", reply);
    CHECK(!has(reply, "unsafe"), "%s", reply);
    CHECK(has(reply, "X-Content-Type-Options: nosniff"), "%s", reply);
    reply = ask("/web/views/run.js", "");
    CHECK(has(reply, "let b = 2;") && has(reply, "Content-Type: text/javascript"), "%s", reply);
}

static void test_gzip_goes_to_those_who_take_it(void)
{
    const char *reply = ask("/web/main.js", "Accept-Encoding: br, gzip\r\n");
    CHECK(has(reply, "Content-Encoding: gzip") && has(reply, "\r\n\r\npacked"), "%s", reply);
    CHECK(has(reply, "Vary: Accept-Encoding"), "%s", reply);
    reply = ask("/web/main.js", "Accept-Encoding: gzip;q=0, br\r\n");
    CHECK(!has(reply, "Content-Encoding") && has(reply, "let a = 1;"), "%s", reply);
    reply = ask("/web/main.js", "Accept-Encoding: gzip;q=0.5\r\n");
    CHECK(has(reply, "Content-Encoding: gzip"), "%s", reply);
    CHECK(has(ask("/web/main.js", ""), "let a = 1;"), "plain to those who say nothing");
}

static void test_what_is_known_is_not_sent_again(void)
{
    char header[200];
    const char *at = strstr(ask("/web/main.js", ""), "ETag: ");
    CHECK(at, "there is no ETag");
    snprintf(header, sizeof header, "If-None-Match: %.18s\r\n", at + strlen("ETag: "));
    const char *reply = ask("/web/main.js", header);
    CHECK(has(reply, "304 Not Modified") && !has(reply, "let a"), "%s", reply);
    strcat(header, "Accept-Encoding: gzip\r\n");
    reply = ask("/web/main.js", header);
    CHECK(has(reply, "200 OK"), "the packed form is another thing: %s", reply);
}

static void test_nothing_else_goes_out(void)
{
    static const char *const paths[] = {
        "/web/secret.js",
        "/web/../secret.js",
        "/web/%2e%2e/secret.js",
        "/web/..%2fsecret.js",
        "/web/views/../../secret.js",
        "/web/views/%2e%2e%2f%2e%2e%2fsecret.js",
        "/web/.hidden.js",
        "/web/notes.txt",
        "/web/main.js.gz",
        "/web//etc/passwd",
        "/web/main.js%00.html",
        "/web/views",
        "/web/views/run.js/extra",
        "/web/",
        "/main.js",
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *reply = ask(paths[i], "");
        CHECK(has(reply, " 404 ") || has(reply, " 400 "), "%s: %s", paths[i], reply);
        CHECK(!has(reply, "outside") && !has(reply, "hidden\n"), "%s: %s", paths[i], reply);
    }
    CHECK(has(wire_ask(&wire, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                              "Connection: close\r\n\r\n"),
              " 405 "),
          "only GET");
}

static void test_a_missing_folder_is_a_service_without_dashboard(void)
{
    struct error err = { 0 };
    struct web_files files;
    CHECK(web_files_read(&files, "/nonexistent/web", &err) == E_MISSING, "%s", err.text);
    CHECK(!files.n && !web_files_find(&files, "index.html"), "there are none");
}

static void test_a_file_beyond_the_ceiling_is_refused(void)
{
    char path[200];
    struct error err = { 0 };
    struct web_files files;
    snprintf(path, sizeof path, "%s/web/large.js", folder);
    put("web/large.js", "");
    CHECK(!truncate(path, WEB_MAX_BYTES + 1), "cannot make %s", path);
    snprintf(path, sizeof path, "%s/web", folder);
    CHECK(web_files_read(&files, path, &err) == E_LIMIT, "%s", err.text);
    CHECK(has(err.text, "large.js"), "%s", err.text);
}

static bool is_closed;
static void closed(struct app *app)
{
    (void)app;
    is_closed = true;
}

int main(void)
{
    char path[200];
    uv_loop_t loop;
    struct error err = { 0 };
    make_folder();
    snprintf(path, sizeof path, "%s/web", folder);
    struct config config = { .web_dir = path, .role_api = true };
    struct app app = { .loop = &loop, .config = &config };
    uv_loop_init(&loop);
    wire_init(&wire);
    wire.options.app = &app;
    web_part.routes(wire.router);
    CHECK(!web_part.open(&app, &err), "%s", err.text);
    wire_open(&wire);
    test_a_file_comes_without_a_token_and_with_its_policy();
    test_gzip_goes_to_those_who_take_it();
    test_what_is_known_is_not_sent_again();
    test_nothing_else_goes_out();
    test_a_missing_folder_is_a_service_without_dashboard();
    test_a_file_beyond_the_ceiling_is_refused();
    wire_close(&wire);
    web_part.close(&app, closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(is_closed && !uv_loop_close(&loop), "the part has let go of everything");
    remove_folder();
    printf("ok\n");
    return 0;
}
