#ifndef CLIENTS_CLI_WHERE_H
#define CLIENTS_CLI_WHERE_H

#include <stdbool.h>
#include "search/base/error.h"

/*
 * Which service to talk to, and with which token. For each of the two the first
 * that is there: the option, the environment (LATHE_SERVER, LATHE_TOKEN), the
 * files `address` and `token` in the data directory (--data-dir, LATHE_DATA_DIR,
 * or ~/.local/share/lathe). Without any, http://127.0.0.1:7878 and no token.
 *
 * The token of the data directory belongs to the service of that directory, so
 * it is sent only to the address written there or to this machine.
 */
enum { WHERE_MAX = 1024 };

struct where {
    char server[WHERE_MAX]; /* no slash at the end */
    char token[WHERE_MAX];  /* "" when there is none */
    char data_dir[WHERE_MAX];
};

/* Arguments may be NULL: not given. */
enum status where_find(struct where *where, const char *server, const char *token,
                       const char *data_dir, struct error *err);

#endif
