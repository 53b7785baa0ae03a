#include "tests/fuzz/fuzz.h"

#include <string.h>
#include "search/base/utf8.h"
#include "server/http/guard.h"
#include "server/http/gzip.h"
#include "server/http/range.h"
#include "server/http/router.h"
#include "server/http/uri.h"

/* The lines of a request that we read ourselves: target, Host, Origin, Range, Accept-Encoding. */

static void handle(struct request *req) { (void)req; }

static const struct route routes[] = {
    { "GET", "/", handle, .scope = SCOPE_OPEN },
    { "GET", "/v1/things", handle, .scope = SCOPE_OPEN },
    { "GET", "/v1/things/special", handle, .scope = SCOPE_OPEN },
    { "POST", "/v1/things/{id}/stop", handle, .scope = SCOPE_OPEN },
    { "GET", "/v1/things/{id}", handle, .scope = SCOPE_OPEN },
    { "GET", "/v1/{a}/{b}/{c}/{d}", handle, .scope = SCOPE_OPEN },
};

static void check_path(const char *path)
{
    FUZZ_CHECK(path[0] == '/' && utf8_is_valid(path, strlen(path)));
    for (const char *p = path; *p; p++)
        FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f && *p != '\\');
    FUZZ_CHECK(!strstr(path, "/../") && !strstr(path, "/./") && !strstr(path, "//"));
}

static void check_match(const char *path)
{
    struct route_match match;
    struct router *router = router_new();
    router_add(router, routes, sizeof routes / sizeof *routes);
    if (router_match(router, "GET", path, &match)) {
        FUZZ_CHECK(match.n_params <= ROUTER_MAX_PARAMS);
        for (int i = 0; i < match.n_params; i++)
            FUZZ_CHECK(match.n_value[i] > 0 && !memchr(match.value[i], '/', match.n_value[i]));
    }
    router_free(router);
}

static void check_range(const char *text)
{
    struct range range;
    for (int64_t size = 0; size < 40; size += 13)
        if (range_parse(text, size, &range) == RANGE_GOOD)
            FUZZ_CHECK(0 <= range.first && range.first <= range.last && range.last < size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct uri uri;
    struct error err = { 0 };
    struct arena arena;
    char *text = malloc(size + 1), *line[4], *p = text;
    memcpy(text, data, size);
    text[size] = 0;
    for (int i = 0; i < 4; i++) {
        line[i] = p;
        p += strcspn(p, "\n");
        if (*p) *p++ = 0;
    }
    arena_init(&arena, 1 << 20);
    if (uri_parse(&uri, line[0], &arena, &err)) {
        FUZZ_CHECK(err.text[0]);
    } else {
        check_path(uri.path);
        check_match(uri.path);
    }
    if (guard_host(line[1], line[2])) FUZZ_CHECK(line[1][0]);
    if (guard_origin(line[2], line[1])) FUZZ_CHECK(line[2][0]);
    check_range(line[3]);
    gzip_is_taken(line[3]);
    arena_release(&arena);
    free(text);
    return 0;
}
