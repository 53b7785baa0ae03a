#include "server/http/uri.h"

#include <string.h>
#include "search/base/utf8.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Decodes in place. False on a malformed escape, a control character or bad UTF-8. */
static bool decode(char *text, bool plus, bool is_path)
{
    char *out = text;
    for (const char *p = text; *p; p++) {
        char c = *p;
        if (c == '%') {
            int high = hex(p[1]), low = high < 0 ? -1 : hex(p[2]);
            if (low < 0) return false;
            c = (char)(high * 16 + low);
            p += 2;
            if (is_path && c == '/') return false;
        } else if (plus && c == '+')
            c = ' ';
        if ((unsigned char)c < 0x20 || c == 0x7f || (is_path && c == '\\')) return false;
        *out++ = c;
    }
    *out = 0;
    return utf8_is_valid(text, (size_t)(out - text));
}

static char *copy(struct arena *arena, const char *text, size_t len)
{
    char *out = arena_alloc(arena, len + 1, 1);
    if (out) memcpy(out, text, len);
    return out;
}

static enum status parse_path(struct uri *uri, char *path, struct error *err)
{
    if (*path != '/') return fail(err, E_INPUT, "the path must start with '/'");
    for (const char *p = path; *p == '/' && p[1];) {
        size_t n = strcspn(++p, "/");
        if (n == 0) return fail(err, E_INPUT, "the path has an empty segment");
        p += n;
    }
    if (!decode(path, false, true))
        return fail(err, E_INPUT, "the path has a malformed or forbidden character");
    for (const char *p = path; *p == '/' && p[1];) {
        size_t n = strcspn(++p, "/");
        if ((n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return fail(err, E_INPUT, "the path has a dot segment");
        p += n;
    }
    uri->path = path;
    return OK;
}

static enum status add_member(struct uri *uri, char *name, char *value, struct error *err)
{
    if (!decode(name, true, false) || !decode(value, true, false))
        return fail(err, E_INPUT, "the query has a malformed or forbidden character");
    for (int i = 0; i < uri->n_query; i++)
        if (!strcmp(uri->query[i].name, name))
            return fail(err, E_INPUT, "the query names \"%.60s\" twice", name);
    if (uri->n_query == URI_MAX_QUERY)
        return fail(err, E_INPUT, "the query has more than %d members", URI_MAX_QUERY);
    uri->query[uri->n_query++] = (struct uri_member){ .name = name, .value = value };
    return OK;
}

static enum status parse_query(struct uri *uri, char *query, struct error *err)
{
    static char nothing[1];
    while (query && *query) {
        char *next = strchr(query, '&'), *equals;
        if (next) *next++ = 0;
        if ((equals = strchr(query, '='))) *equals++ = 0;
        if (*query) TRY(add_member(uri, query, equals ? equals : nothing, err));
        query = next;
    }
    return OK;
}

enum status uri_parse(struct uri *uri, const char *target, struct arena *arena, struct error *err)
{
    *uri = (struct uri){ 0 };
    size_t n = strcspn(target, "?");
    char *path = copy(arena, target, n);
    char *query = target[n] ? copy(arena, target + n + 1, strlen(target + n + 1)) : NULL;
    if (!path) return fail(err, E_LIMIT, "the target is too long");
    TRY(parse_path(uri, path, err));
    return parse_query(uri, query, err);
}
