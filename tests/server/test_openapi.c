/* The document and the router's table say the same, both ways; and what the words in the files
 * mean. */
#include <stdlib.h>
#include <string.h>
#include "server/access/access.h"
#include "server/api/api.h"
#include "server/http/health.h"
#include "server/http/metrics.h"
#include "server/http/router.h"
#include "server/openapi/openapi.h"
#include "server/openapi/terms.h"
#include "server/web/web.h"
#include "tests/support/check.h"

static struct router *whole(bool with_api)
{
    struct router *router = router_new();
    health_routes(router);
    metrics_page_routes(router);
    access_part.routes(router);
    if (with_api) api_part.routes(router);
    web_part.routes(router);
    openapi_part.routes(router);
    return router;
}

static json_t *at(json_t *json, const char *a, const char *b)
{
    return json_object_get(json_object_get(json, a), b);
}

static bool is_method(const char *key)
{
    return !strcmp(key, "get") || !strcmp(key, "post") || !strcmp(key, "delete") ||
           !strcmp(key, "patch") || !strcmp(key, "put");
}

static size_t count_operations(json_t *paths)
{
    const char *path, *key;
    json_t *item, *op;
    size_t n = 0;
    json_object_foreach(paths, path, item) json_object_foreach(item, key, op)
    {
        CHECK(is_method(key), "%s %s", key, path);
        CHECK(json_string_length(json_object_get(op, "summary")) > 0, "%s %s", key, path);
        CHECK(json_object_size(json_object_get(op, "responses")) > 0, "%s %s", key, path);
        n++;
    }
    return n;
}

static void check_both_ways(void)
{
    struct error err = { 0 };
    struct router *router = whole(true);
    json_t *document = openapi_build(router, &err);
    CHECK_STR(err.text, "");
    size_t n = 0;
    const struct route *route;
    for (size_t i = 0; (route = router_route(router, i)); i++) {
        if (!strncmp(route->operation, "getDashboard", 12)) continue;
        char method[8] = { 0 };
        for (size_t k = 0; route->method[k]; k++) method[k] = (char)(route->method[k] | 0x20);
        json_t *op = json_object_get(at(document, "paths", route->path), method);
        CHECK_STR(json_string_value(json_object_get(op, "operationId")), route->operation);
        CHECK((json_object_get(op, "requestBody") != NULL) == (route->body != BODY_NONE), "%s",
              route->operation);
        CHECK((json_array_size(json_object_get(op, "security")) == 0) ==
                  (route->scope == SCOPE_OPEN),
              "%s", route->operation);
        n++;
    }
    CHECK(n == count_operations(json_object_get(document, "paths")), "%s", err.text);
    json_decref(document);
    router_free(router);
}

static void check_gaps_are_found(void)
{
    static const struct route extra[] = { { .method = "GET",
                                            .path = "/v1/extra",
                                            .scope = SCOPE_READ,
                                            .operation = "getExtra",
                                            .summary = "x" } };
    struct error err = { 0 };
    struct router *router = whole(true);
    router_add(router, extra, 1);
    CHECK(!openapi_build(router, &err), "%s", err.text);
    CHECK(strstr(err.text, "getExtra (GET /v1/extra) has no description"), "%s", err.text);
    router_free(router);
    err = (struct error){ 0 };
    router = whole(false);
    CHECK(!openapi_build(router, &err), "%s", err.text);
    CHECK(strstr(err.text, "is described, but no route has that name"), "%s", err.text);
    router_free(router);
}

static void check_word(const char *word, const char *want)
{
    struct error err = { 0 };
    json_t *term = json_string(word), *schema = term_schema(term, NULL, &err);
    char *text = schema ? json_dumps(schema, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    CHECK_STR(text ? text : err.text, want);
    free(text);
    json_decref(schema);
    json_decref(term);
}

static void check_words(void)
{
    check_word("count", "{\"minimum\":0,\"type\":\"integer\"}");
    check_word("int(1..64)", "{\"maximum\":64,\"minimum\":1,\"type\":\"integer\"}");
    check_word("number(0..)?", "{\"minimum\":0,\"type\":[\"number\",\"null\"]}");
    check_word("string(1..200)", "{\"maxLength\":200,\"minLength\":1,\"type\":\"string\"}");
    check_word("srch_", "{\"pattern\":\"^srch_[1-9][0-9]{0,17}$\",\"type\":\"string\"}");
    check_word("a|b - which",
               "{\"description\":\"which\",\"enum\":[\"a\",\"b\"],\"type\":\"string\"}");
    check_word("Shape?",
               "{\"anyOf\":[{\"$ref\":\"#/components/schemas/Shape\"},{\"type\":\"null\"}]}");
    check_word("File[1..4]", "{\"items\":{\"$ref\":\"#/components/schemas/"
                             "File\"},\"maxItems\":4,\"minItems\":1,\"type\":\"array\"}");
    check_word(
        "Shape{}",
        "{\"additionalProperties\":{\"$ref\":\"#/components/schemas/Shape\"},\"type\":\"object\"}");
    check_word("wide", "\"wide\" is no word for a value");
    check_word("a]", "\"a\" closes what it did not open");
}

static void check_objects(void)
{
    struct error err = { 0 };
    json_t *all = json_loads("{\"A\": {\"takes\": {\"a\": \"count\", \"b\": \"bool!\"}}, \"B\": "
                             "{\"with\": \"A\", \"takes\": {\"c\": \"string\"}},"
                             " \"C\": {\"members\": {\"x\": \"bool\", \"y\": \"bool~\"}}, \"D\": "
                             "{\"with\": \"Z\", \"members\": {}}}",
                             0, NULL);
    json_t *b = term_schema(json_object_get(all, "B"), all, &err);
    CHECK(json_object_size(json_object_get(b, "properties")) == 3, "%s", err.text);
    CHECK(json_array_size(json_object_get(b, "required")) == 1, "%s", err.text);
    CHECK(json_is_false(json_object_get(b, "additionalProperties")), "%s", err.text);
    json_t *c = term_schema(json_object_get(all, "C"), all, &err);
    CHECK_STR(json_string_value(json_array_get(json_object_get(c, "required"), 0)), "x");
    CHECK(json_array_size(json_object_get(c, "required")) == 1 &&
              !json_object_get(c, "additionalProperties"),
          "%s", err.text);
    CHECK(!term_schema(json_object_get(all, "D"), all, &err), "%s", err.text);
    CHECK_STR(err.text, "there is no \"Z\"");
    json_decref(b);
    json_decref(c);
    json_decref(all);
}

int main(void)
{
    check_words();
    check_objects();
    check_both_ways();
    check_gaps_are_found();
    return 0;
}
