#ifndef SERVER_HTTP_GUARD_H
#define SERVER_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include "search/base/error.h"

struct MHD_Connection;

/*
 * Refuses a request that two programs could read in two ways, which libmicrohttpd lets
 * through: odd header names, control characters in values, none or several Hosts, several
 * Content-Lengths, folded lines, Transfer-Encoding with Content-Length or other than "chunked". After a
 * refusal the connection is closed, since nobody can say where the next request begins.
 */
enum status guard_headers(struct MHD_Connection *connection, const char *version,
                          struct error *err);

/*
 * Is this Host one of ours? A numeric address, localhost, or a name listed in `hosts` (by
 * commas, may be NULL), with any port: a page on somebody's domain that resolves to us
 * (DNS rebinding) says its own name.
 */
bool guard_host(const char *host, const char *hosts);

/* An Origin, when there is one, must be http:// or https:// and then exactly the Host. */
bool guard_origin(const char *origin, const char *host);

#endif
