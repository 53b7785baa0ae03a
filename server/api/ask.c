#include "server/api/ask.h"

#include <inttypes.h>
#include <string.h>
#include "server/api/rows.h"

enum { REPLY_MAX = 64 * 1024 * 1024, MAX_DIGITS = 18 };

static void on_done(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct ask *ask = query->data;
    if (err->status)
        reply_error(ask->req, err);
    else
        ask->got(ask, rows);
}

struct ask *ask_new(struct request *req, const char *sql,
                    void (*got)(struct ask *ask, const PGresult *rows))
{
    struct ask *ask = request_new(req, struct ask);
    *ask = (struct ask){
        .req = req, .got = got, .what = "resource", .id = "of that id", .status = 200
    };
    ask->query =
        (struct pg_query){ .sql = sql, .params = ask->params, .done = on_done, .data = ask };
    return ask;
}

void ask_text(struct ask *ask, const char *value) { ask->params[ask->query.n_params++] = value; }

void ask_int(struct ask *ask, int64_t value)
{
    ask_text(ask, request_printf(ask->req, "%" PRId64, value));
}

void ask_double(struct ask *ask, double value)
{
    ask_text(ask, request_printf(ask->req, "%.17g", value));
}

const char *id_number(const char *id, const char *prefix)
{
    size_t n = strlen(prefix);
    if (!id || strncmp(id, prefix, n) || id[n] != '_') return NULL;
    const char *digits = id + n + 1;
    size_t len = strspn(digits, "0123456789");
    return len && len <= MAX_DIGITS && !digits[len] && *digits != '0' ? digits : NULL;
}

void ask_id(struct ask *ask, const char *prefix, const char *what, const char *id)
{
    const char *number = id_number(id, prefix);
    ask->what = what;
    ask->id = id;
    ask->missing |= !number;
    ask_text(ask, number);
}

void ask_filter_id(struct ask *ask, const char *prefix, const char *name)
{
    const char *id = request_query(ask->req, name);
    const char *number = id_number(id, prefix);
    if (id && !number && !ask->err.status) {
        fail(&ask->err, E_INPUT, "%s must be an id such as %s_1, not \"%.60s\"", name, prefix, id);
        snprintf(ask->err.pointer, sizeof ask->err.pointer, "?%s", name);
    }
    ask_text(ask, number);
}

/* False when it replied. */
static bool may_send(struct ask *ask)
{
    if (ask->err.status)
        reply_error(ask->req, &ask->err);
    else if (ask->missing)
        reply_missing(ask->req, ask->what, ask->id);
    return !ask->err.status && !ask->missing;
}

void ask_send(struct ask *ask)
{
    if (may_send(ask)) request_send(ask->req, &ask->query);
}

void ask_send_slow(struct ask *ask)
{
    if (may_send(ask)) request_send_slow(ask->req, &ask->query);
}

void ask_one(struct ask *ask, const PGresult *rows)
{
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    struct buf out;
    struct emit e;
    int etag = PQfnumber(rows, "_etag");
    if (etag >= 0)
        reply_header(ask->req, "ETag",
                     request_printf(ask->req, "W/\"%s\"", pg_text(rows, 0, etag)));
    buf_init(&out, REPLY_MAX);
    emit_init(&e, &out);
    rows_object(&e, rows, 0);
    reply_buf(ask->req, ask->status, &out);
}
