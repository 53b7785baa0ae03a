#include <unistd.h>
#include "tests/server/lathed.h"
#include "tests/support/check.h"

/* Tokens, Idempotency-Key, limits and the audit, against the whole program. */

/* `$K` stands for this token in requests of this file; "$T" is the data directory's. */
static char other[64];

static const char *ask(const char *method, const char *path, const char *headers, const char *body)
{
    static char request[8192];
    size_t n = (size_t)snprintf(request, sizeof request,
                                "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s",
                                method, path, headers);
    if (*body)
        n +=
            (size_t)snprintf(request + n, sizeof request - n, "Content-Type: application/json\r\n");
    snprintf(request + n, sizeof request - n, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    return wire_ask(&lathed_wire, request);
}

#define ADMIN "Authorization: Bearer $T\r\n"

static void expect(const char *reply, const char *status, const char *holds)
{
    CHECK(!strncmp(reply, "HTTP/1.1 ", 9) && !strncmp(reply + 9, status, 3) && strstr(reply, holds),
          "want %s and %s, got %s", status, holds, reply);
}

static const char *as_other(void)
{
    static char header[128];
    snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", other);
    return header;
}

static void make(const char *body)
{
    const char *reply = ask("POST", "/v1/tokens", ADMIN, body), *at;
    expect(reply, "201", "\"token\":\"lathe_");
    at = strstr(reply, "\"token\":\"") + strlen("\"token\":\"");
    snprintf(other, sizeof other, "%.*s", (int)strcspn(at, "\""), at);
}

/* It takes a notification to be known; never longer than a few turns of the loop. */
static void wait_for(const char *status)
{
    const char *reply = "";
    for (int i = 0; i < 400; i++, usleep(20000))
        if (!strncmp((reply = ask("GET", "/v1/jobs", as_other(), "")) + 9, status, 3)) return;
    CHECK(false, "never %s: %s", status, reply);
}

static void tokens(void)
{
    make("{\"name\":\"notebook\",\"scope\":\"read\"}");
    CHECK(!strstr(lathed_read(lathed_errors), other), "the log shows the token");
    wait_for("200");
    expect(ask("POST", "/v1/searches", as_other(), "{}"), "403",
           "it needs the scope \\\"write\\\"");
    expect(ask("GET", "/v1/tokens", as_other(), ""), "403", "it needs the scope \\\"admin\\\"");
    const char *list = ask("GET", "/v1/tokens", ADMIN, "");
    expect(list, "200",
           "\"id\":\"tok_1\",\"name\":\"notebook\",\"scope\":\"read\",\"created_by\":\"tok_0\"");
    CHECK(!strstr(list, other) && !strstr(list, "sha256"), "%s", list);
    expect(ask("GET", "/v1/tokens/tok_1", ADMIN, ""), "200", "\"revoked_at\":null");
    expect(ask("DELETE", "/v1/tokens/tok_1", ADMIN, ""), "204", "");
    wait_for("401");
    expect(ask("DELETE", "/v1/tokens/tok_1", ADMIN, ""), "204", "");
    expect(ask("DELETE", "/v1/tokens/tok_9", ADMIN, ""), "404", "there is no token tok_9");
    expect(ask("POST", "/v1/tokens", ADMIN, "{\"scope\":\"read\"}"), "422", "name");
    expect(ask("POST", "/v1/tokens", ADMIN, "{\"name\":\"x\",\"scope\":\"root\"}"), "422",
           "\"pointer\":\"/scope\"");
    make("{\"name\":\"brief\",\"scope\":\"read\",\"expires_in_days\":0.00003}"); /* 2.6 s */
    wait_for("200");
    usleep(2700000);
    expect(ask("GET", "/v1/jobs", as_other(), ""), "401", "no longer valid");
}

static void idempotency(void)
{
    static const char key[] = ADMIN "Idempotency-Key: k-1\r\n";
    static const char body[] = "{\"name\":\"d\",\"files\":[]}";
    char first[4096];
    snprintf(first, sizeof first, "%s", ask("POST", "/v1/datasets", key, body));
    expect(first, "422", "\"code\":\"input\"");
    const char *again = ask("POST", "/v1/datasets", key, body);
    expect(again, "422", "Idempotency-Replayed: true\r\n");
    CHECK_STR(strstr(again, "\r\n\r\n"), strstr(first, "\r\n\r\n"));
    expect(ask("POST", "/v1/datasets", key, "{\"name\":\"e\",\"files\":[]}"), "422",
           "was used for another request");
    expect(ask("POST", "/v1/datasets?dry_run=true", key, body), "422",
           "was used for another request");
    expect(ask("POST", "/v1/datasets", ADMIN "Idempotency-Key: \r\n", body), "400",
           "1 to 255 visible characters");
    /* made once, however often asked */
    char file[128], upload[512];
    snprintf(upload, sizeof upload,
             "%sContent-Type: application/octet-stream\r\nIdempotency-Key: u-1\r\n", ADMIN);
    for (int i = 0; i < 3; i++) {
        char request[1024];
        snprintf(request, sizeof request,
                 "POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s"
                 "Content-Length: 5\r\n\r\nhello",
                 upload);
        const char *reply = wire_ask(&lathed_wire, request);
        expect(reply, "201", "\"bytes\":5");
        const char *id = strstr(reply, "\"id\":\"");
        if (i == 0) snprintf(file, sizeof file, "%.*s", 16, id);
        CHECK(!strncmp(file, id, 12), "another upload: %s", reply);
    }
}

static void limits(void)
{
    make("{\"name\":\"fast\",\"scope\":\"write\"}");
    wait_for("200");
    int refused = 0;
    for (int i = 0; i < 60 && !refused; i++) {
        const char *reply = ask("GET", "/v1/jobs", as_other(), "");
        if (!strncmp(reply + 9, "429", 3)) expect(reply, "429", "Retry-After: 1\r\n"), refused = 1;
    }
    CHECK(refused, "60 requests at once with --rate 5");
    expect(ask("GET", "/v1/jobs", ADMIN, ""), "200", "items");
    snprintf(other, sizeof other, "lathe_guess");
    for (int i = 0; i < 300; i++)
        if (!strncmp(ask("GET", "/v1/jobs", as_other(), "") + 9, "429", 3)) return;
    CHECK(false, "300 guesses were all heard");
}

static void audited(void)
{
    char command[512], text[512] = "";
    snprintf(command, sizeof command,
             "$(ls -d /usr/lib/postgresql/*/bin | tail -1)/psql -h %s/pg/run -U lathe -Atc "
             "\"select string_agg("
             "distinct method || ' ' || path || ' ' || status, ',') from audit where path like "
             "'/v1/tokens%%' and status < 300\""
             " postgres",
             lathed_dir);
    FILE *f = popen(command, "r");
    CHECK(f && fgets(text, sizeof text, f), "psql");
    pclose(f);
    CHECK(strstr(text, "DELETE /v1/tokens/tok_1 204") && strstr(text, "POST /v1/tokens 201"), "%s",
          text);
}

int main(void)
{
    lathed_init();
    setenv("LATHE_RATE", "5", 1);
    pid_t pid = lathed_up();
    tokens();
    idempotency();
    limits();
    audited();
    lathed_down(pid);
    lathed_remove();
    printf("ok\n");
    return 0;
}
