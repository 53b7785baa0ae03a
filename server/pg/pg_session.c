#include "server/pg/pg_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static const char sql[] =
    "select set_config('statement_timeout', $1, false), set_config('timezone', 'UTC', false),"
    "       set_config('datestyle', 'ISO', false), set_config('intervalstyle', 'postgres', false),"
    "       set_config('extra_float_digits', '1', false), set_config('lathe.server', $2, false),"
    "       pg_advisory_lock_shared(x'1a74e'::int, $2::int)";

static const char *own_number(void)
{
    static char text[16];
    unsigned n;
    if (*text) return text;
    if (getrandom(&n, sizeof n, 0) != sizeof n) abort();
    snprintf(text, sizeof text, "%u", n >> 1); /* PostgreSQL's int */
    return text;
}

void pg_session_init(struct pg_session *session, unsigned statement_timeout_ms)
{
    snprintf(session->timeout, sizeof session->timeout, "%u", statement_timeout_ms);
    session->params[0] = session->timeout;
    session->params[1] = own_number();
    session->query = (struct pg_query){
        .sql = sql, .n_params = 2, .params = session->params, .dynamic = true
    };
}
