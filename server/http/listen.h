#ifndef SERVER_HTTP_LISTEN_H
#define SERVER_HTTP_LISTEN_H

#include "search/base/error.h"

/* A socket that listens on a numeric address, IPv4 or IPv6; *got is its port (`port` 0: any
 * free one). -1 with err filled when it cannot be had. */
int listen_on(const char *address, int port, int *got, struct error *err);

#endif
