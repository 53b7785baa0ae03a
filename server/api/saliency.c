#include "server/api/saliency.h"

#include <string.h>
#include "server/api/ask.h"
#include "server/api/rows.h"

static const char select_scores[] =
    "with s as (select search_id, removals, greatest(1, (removals - 1) / $3::int + 1) as every"
    "   from search where search_id = $1)"
    " select null::bigint as x, null::float8, null::float8, null::float8 from s"
    " union all (select case $2 when 'ordinal' then a.ordinal when 'step' then a.step else "
    "a.tokens end,"
    "   a.min_heads, a.min_ffn, a.min_stem from s join architecture a using (search_id)"
    "   where a.ordinal > 0 and (a.ordinal % s.every = 0 or a.ordinal in (1, s.removals))"
    "   order by a.ordinal)";

static const char *const types[] = { "heads", "ffn", "stem" };
enum { SALIENCY_BYTES = 32 * 1024 * 1024 };

static void emit_type(const PGresult *rows, int type, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "key", types[type]);
    emit_key(e, "points");
    emit_begin(e, '[');
    for (int i = 1; i < PQntuples(rows); i++) { /* the first row says that the search exists */
        if (pg_null(rows, i, 1 + type)) continue;
        emit_begin(e, '[');
        rows_value(e, rows, i, 0);
        rows_value(e, rows, i, 1 + type);
        emit_end(e);
    }
    emit_end(e);
    emit_end(e);
}

static void got(struct ask *ask, const PGresult *rows)
{
    struct buf out;
    struct emit e;
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    buf_init(&out, SALIENCY_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_kv_string(&e, "x", ask->params[1]);
    emit_key(&e, "series");
    emit_begin(&e, '[');
    for (int type = 0; type < 3; type++) emit_type(rows, type, &e);
    emit_end(&e);
    emit_end(&e);
    reply_buf(ask->req, 200, &out);
}

void search_saliency(struct request *req)
{
    struct ask *ask = ask_new(req, select_scores, got);
    const char *x = request_query(req, "x");
    if (!x) x = "ordinal";
    if (strcmp(x, "ordinal") && strcmp(x, "step") && strcmp(x, "tokens")) {
        fail(&ask->err, E_INPUT, "x must be ordinal, step or tokens");
        strcpy(ask->err.pointer, "?x");
    }
    ask_id(ask, "srch", "search", request_param(req, "id"));
    ask_text(ask, x);
    ask_int(ask, request_query_int(req, "max_points", 2, 100000, 1000, &ask->err));
    if (ask->err.status || request_query_end(req)) ask_send(ask);
}
