#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/field.h"
#include "server/http/router.h"
#include "server/openapi/openapi.h"
#include "server/openapi/terms.h"

static const char head[] =
    "{\"openapi\": \"3.1.0\","
    " \"info\": {\"title\": \"Lathe\", \"version\": \"" LATHE_VERSION "\","
    "  \"description\": \"Architecture search for language models. Errors are problem documents"
    " (RFC 9457); lists are paged by keyset; ids are opaque; times are RFC 3339 in UTC.\"},"
    " \"servers\": [{\"url\": \"/\"}], \"tags\": [], \"paths\": {},"
    " \"components\": {\"securitySchemes\": {\"bearer\": {\"type\": \"http\", \"scheme\": "
    "\"bearer\"}},"
    "  \"parameters\": {"
    "   \"IdempotencyKey\": {\"name\": \"Idempotency-Key\", \"in\": \"header\", \"schema\":"
    "    {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 255, \"pattern\": \"^[!-~][ "
    "-~]*$\"},"
    "    \"description\": \"The same request sent again with the same key within a day gets the "
    "first reply.\"},"
    "   \"IfMatch\": {\"name\": \"If-Match\", \"in\": \"header\", \"schema\": {\"type\": "
    "\"string\"},"
    "    \"description\": \"An ETag: do it only if the state is still that one, else 412.\"},"
    "   \"PageSize\": {\"name\": \"page_size\", \"in\": \"query\", \"schema\":"
    "    {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 1000, \"default\": 50}},"
    "   \"PageToken\": {\"name\": \"page_token\", \"in\": \"query\", \"schema\": {\"type\": "
    "\"string\"},"
    "    \"description\": \"next_page_token of the page before.\"}},"
    "  \"responses\": {\"Problem\": {\"description\": \"What is wrong, and where\", \"content\":"
    "   {\"application/problem+json\": {\"schema\": {\"$ref\": "
    "\"#/components/schemas/Problem\"}}}}},"
    "  \"schemas\": {}}}";

struct build {
    json_t *document, *terms; /* terms: of all files, by name */
    json_t *files;
    json_t *used; /* names of operations that have a route */
    struct error *err;
};

static json_t *component(struct build *b, const char *kind)
{
    return json_object_get(json_object_get(b->document, "components"), kind);
}

/* ---- the files ----------------------------------------------------------------------------- */

static enum status read_file(struct build *b, const struct openapi_file *file)
{
    const char *name;
    json_t *term, *json = field_parse(file->text, strlen(file->text), b->err);
    if (!json) return fail_in(b->err, "%s", file->name);
    json_array_append_new(b->files, json);
    json_object_foreach(json_object_get(json, "schemas"), name, term)
    {
        if (json_object_get(b->terms, name))
            return fail(b->err, E_INPUT, "%s: schema %s is there twice", file->name, name);
        json_object_set(b->terms, name, term);
    }
    if (json_object_get(json, "tag"))
        json_array_append_new(json_object_get(b->document, "tags"),
                              json_pack("{s:O, s:O}", "name", json_object_get(json, "tag"),
                                        "description", json_object_get(json, "about")));
    return OK;
}

static enum status add_schemas(struct build *b)
{
    const char *name;
    json_t *term;
    json_object_foreach(b->terms, name, term)
    {
        json_t *schema = term_schema(term, b->terms, b->err);
        if (!schema) return fail_in(b->err, "schema %s", name);
        json_object_set_new(component(b, "schemas"), name, schema);
    }
    return OK;
}

/* ---- parameters ---------------------------------------------------------------------------- */

static void add_reference(json_t *list, const char *name)
{
    char path[96];
    snprintf(path, sizeof path, "#/components/parameters/%s", name);
    json_array_append_new(list, json_pack("{s:s}", "$ref", path));
}

static enum status add_parameter(struct build *b, json_t *list, const char *name, const char *in,
                                 json_t *term)
{
    int must;
    json_t *schema = term_member(term, b->terms, &must, b->err);
    if (!schema) return fail_in(b->err, "%s", name);
    json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", in,
                                          "required", *in == 'p' || must == 1, "schema", schema));
    return OK;
}

static enum status add_path_parameters(struct build *b, json_t *list, const char *path,
                                       json_t *file)
{
    for (const char *open = path; (open = strchr(open, '{')); open++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(open + 1, "}"), open + 1);
        json_t *term = json_incref(json_object_get(file, name));
        if (!term) term = json_string("string(1..200)");
        enum status bad = add_parameter(b, list, name, "path", term);
        json_decref(term);
        if (bad) return bad;
    }
    return OK;
}

static bool takes_key(const struct route *route)
{
    return !strcmp(route->method, "POST") && !route->no_key && route->scope != SCOPE_OPEN;
}

static bool ends_in(const struct route *route, const char *const *words)
{
    const char *last = strrchr(route->path, '/');
    for (; *words; words++)
        if (!strcmp(last, *words)) return true;
    return false;
}

static bool is_wish(const struct route *route)
{
    static const char *const words[] = { "/cancel", "/pause", "/resume", NULL };
    return ends_in(route, words);
}

/* What people change or end can depend on what they saw of it. */
static bool takes_match(const struct route *route)
{
    static const char *const words[] = { "/drain", "/undrain", NULL };
    return is_wish(route) || ends_in(route, words) || !strcmp(route->method, "DELETE");
}

static enum status add_parameters(struct build *b, json_t *out, const struct route *route,
                                  json_t *file, json_t *op)
{
    const char *name;
    json_t *term, *list = json_array();
    json_object_set_new(out, "parameters", list);
    TRY(add_path_parameters(b, list, route->path, file));
    json_object_foreach(json_object_get(op, "query"), name, term)
        TRY(add_parameter(b, list, name, "query", term));
    json_object_foreach(json_object_get(op, "headers"), name, term)
        TRY(add_parameter(b, list, name, "header", term));
    if (json_object_get(op, "page"))
        add_reference(list, "PageSize"), add_reference(list, "PageToken");
    if (takes_key(route)) add_reference(list, "IdempotencyKey");
    if (takes_match(route)) add_reference(list, "IfMatch");
    return OK;
}

/* ---- bodies -------------------------------------------------------------------------------- */

static enum status add_body(struct build *b, json_t *out, const struct route *route, json_t *op)
{
    json_t *takes = json_object_get(op, "takes"), *example = json_object_get(op, "example");
    if (route->body == BODY_NONE) return takes ? fail(b->err, E_INPUT, "takes no body") : OK;
    if (route->body == BODY_FILE) {
        json_object_set_new(
            out, "requestBody",
            json_pack("{s:b, s:{s:{}}}", "required", 1, "content", "application/octet-stream"));
        return OK;
    }
    if (!takes) return fail(b->err, E_INPUT, "takes a body that is not described");
    json_t *schema = term_schema(takes, b->terms, b->err);
    if (!schema) return b->err->status;
    json_t *content = json_pack("{s:o}", "schema", schema);
    if (example) json_object_set(content, "example", example);
    json_object_set_new(out, "requestBody",
                        json_pack("{s:b, s:{s:o}}", "required", example != NULL, "content",
                                  "application/json", content));
    return OK;
}

static json_t *page_of(const char *name)
{
    char item[128];
    snprintf(item, sizeof item, "#/components/schemas/%s", name);
    return json_pack("{s:s, s:{s:{s:{s:s, s:[s,s], s:{s:{s:s, s:{s:s}}, s:{s:[s,s]}}}},"
                     " s:{s:{s:s}}}}",
                     "description", "A page", "content", "application/json", "schema", "type",
                     "object", "required", "items", "next_page_token", "properties", "items",
                     "type", "array", "items", "$ref", item, "next_page_token", "type", "string",
                     "null", "application/x-ndjson", "schema", "type", "string");
}

static json_t *reply_of(struct build *b, json_t *term)
{
    if (json_is_null(term)) return json_pack("{s:s}", "description", "Done");
    bool response = json_object_get(term, "description") && !json_object_get(term, "type");
    if (response) return json_deep_copy(term);
    json_t *schema = term_schema(term, b->terms, b->err);
    return schema ? json_pack("{s:s, s:{s:{s:o}}}", "description", "Success", "content",
                              "application/json", "schema", schema)
                  : NULL;
}

static void add_problem(json_t *replies, int status)
{
    char name[16];
    snprintf(name, sizeof name, "%d", status);
    if (!json_object_get(replies, name))
        json_object_set_new(replies, name,
                            json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
}

/* What the way to every handler of its kind may answer. */
static void add_problems(json_t *replies, const struct route *route, json_t *op)
{
    static const int any[] = { 400, 403, 421 };
    size_t i;
    json_t *more;
    for (i = 0; i < sizeof any / sizeof *any; i++) add_problem(replies, any[i]);
    if (is_wish(route)) add_problem(replies, 409);
    if (takes_match(route)) add_problem(replies, 412);
    if (route->scope != SCOPE_OPEN) add_problem(replies, 401), add_problem(replies, 429);
    if (!json_is_true(json_object_get(op, "alone"))) add_problem(replies, 500), add_problem(replies, 503);
    if (strchr(route->path, '{')) add_problem(replies, 404);
    if (route->body != BODY_NONE) add_problem(replies, 413), add_problem(replies, 415);
    if (route->body == BODY_FILE) add_problem(replies, 411);
    if (route->body == BODY_JSON) add_problem(replies, 422);
    if (takes_key(route)) add_problem(replies, 409), add_problem(replies, 422);
    json_array_foreach(json_object_get(op, "problems"), i, more)
        add_problem(replies, (int)json_integer_value(more));
}

static enum status add_replies(struct build *b, json_t *out, const struct route *route, json_t *op)
{
    const char *status, *page = json_string_value(json_object_get(op, "page"));
    json_t *term, *replies = json_object();
    json_object_set_new(out, "responses", replies);
    if (page) json_object_set_new(replies, "200", page_of(page));
    json_object_foreach(json_object_get(op, "replies"), status, term)
    {
        json_t *reply = reply_of(b, term);
        if (!reply) return fail_in(b->err, "%s", status);
        json_object_set_new(replies, status, reply);
    }
    if (!json_object_size(replies)) return fail(b->err, E_INPUT, "says nothing of its replies");
    add_problems(replies, route, op);
    return OK;
}

/* ---- operations ---------------------------------------------------------------------------- */

static json_t *find_operation(const struct build *b, const char *name, json_t **file)
{
    size_t i;
    json_array_foreach(b->files, i, *file)
    {
        json_t *op = json_object_get(json_object_get(*file, "operations"), name);
        if (op) return op;
    }
    return NULL;
}

static void add_access(json_t *out, const struct route *route)
{
    static const char *const scopes[] = {
        [SCOPE_READ] = "read", [SCOPE_WRITE] = "write", [SCOPE_ADMIN] = "admin"
    };
    json_t *security = json_array();
    if (route->scope != SCOPE_OPEN) {
        json_array_append_new(security, json_pack("{s:[]}", "bearer"));
        json_object_set_new(out, "x-scope", json_string(scopes[route->scope]));
    }
    json_object_set_new(out, "security", security);
}

static json_t *path_of(struct build *b, const char *path)
{
    json_t *paths = json_object_get(b->document, "paths"), *found = json_object_get(paths, path);
    if (!found) json_object_set_new(paths, path, found = json_object());
    return found;
}

static enum status add_route(struct build *b, const struct route *route)
{
    json_t *file, *op = find_operation(b, route->operation, &file);
    char method[16];
    size_t n = 0;
    if (!op)
        return fail(b->err, E_INPUT, "%s (%s %s) has no description in any <resource>.json",
                    route->operation, route->method, route->path);
    json_object_set_new(b->used, route->operation, json_true());
    json_t *out = json_pack("{s:s, s:s, s:[O]}", "operationId", route->operation, "summary",
                            route->summary, "tags", json_object_get(file, "tag"));
    for (; route->method[n] && n + 1 < sizeof method; n++)
        method[n] = (char)(route->method[n] | 0x20);
    method[n] = 0;
    json_object_set_new(path_of(b, route->path), method, out);
    if (json_object_get(op, "about"))
        json_object_set(out, "description", json_object_get(op, "about"));
    add_access(out, route);
    if (add_parameters(b, out, route, file, op) || add_body(b, out, route, op) ||
        add_replies(b, out, route, op))
        return fail_in(b->err, "%s", route->operation);
    return OK;
}

static enum status check_unused(struct build *b)
{
    size_t i;
    json_t *file, *op;
    const char *name;
    json_array_foreach(b->files, i, file) json_object_foreach(
        json_object_get(file, "operations"), name,
        op) if (!json_object_get(b->used,
                                 name)) return fail(b->err, E_INPUT,
                                                    "%s is described, but no route has that name",
                                                    name);
    return OK;
}

/* The dashboard's own files are no interface. */
static bool is_interface(const struct route *route)
{
    return strncmp(route->operation, "getDashboard", 12);
}

static enum status build_all(struct build *b, const struct router *router)
{
    const struct route *route;
    for (const struct openapi_file *file = openapi_files; file->name; file++)
        TRY(read_file(b, file));
    TRY(add_schemas(b));
    for (size_t i = 0; (route = router_route(router, i)); i++)
        if (is_interface(route)) TRY(add_route(b, route));
    return check_unused(b);
}

json_t *openapi_build(const struct router *router, struct error *err)
{
    struct build b = { json_loads(head, 0, NULL), json_object(), json_array(), json_object(), err };
    if (!b.document) abort();
    if (build_all(&b, router)) json_decref(b.document), b.document = NULL;
    json_decref(b.terms);
    json_decref(b.files);
    json_decref(b.used);
    return b.document;
}
