#ifndef SERVER_HTTP_URI_H
#define SERVER_HTTP_URI_H

#include <stdbool.h>
#include <stddef.h>
#include "search/base/arena.h"
#include "search/base/error.h"

/*
 * The target of a request line, read strictly, once.
 *
 * The path is decoded segment by segment; refused are: anything but '/' at its start,
 * a malformed %XX, a decoded '/', '\', NUL, control character or byte sequence that is
 * not UTF-8, a '.' or '..' segment and an empty one. The query is decoded likewise (a '+' is a
 * space), a name given twice is refused.
 */
enum { URI_MAX_QUERY = 32 };

struct uri {
    const char *path;
    int n_query;
    struct uri_member {
        const char *name, *value;
        bool asked;
    } query[URI_MAX_QUERY];
};

enum status uri_parse(struct uri *uri, const char *target, struct arena *arena, struct error *err);

#endif
