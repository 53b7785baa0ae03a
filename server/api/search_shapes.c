#include <stdlib.h>
#include <string.h>
#include "server/api/architectures.h"
#include "server/api/ask.h"
#include "server/api/rows.h"
#include "server/api/searches.h"

/*
 * /v1/searches/{id}/shapes?ratios=0.1,0.2 or ?params=1000000,500000: for each the first
 * architecture that has lost so much (is so small), which is the one whose weights are kept
 * when the same ratio is a snapshot. Those that the search has not reached are left out. Each
 * row counts the removals since the row before it, so all shapes come of one pass.
 */
static const char select_shapes[] =
    "with s as (select * from search where search_id = $1),"
    " asked as (select r.n, coalesce(r.ratio, 1 - r.params / s.params_source) as ratio_asked,"
    "     coalesce(r.params, s.params_source - r.ratio * s.params_source) as target"
    "   from s, unnest($2::float8[], $3::float8[]) with ordinality r (ratio, params, n)),"
    " found as (select asked.n, asked.ratio_asked, a.*, coalesce(lag(a.ordinal) over"
    "     (order by a.ordinal, asked.n), 0) as after"
    "   from asked cross join lateral (select * from architecture a where a.search_id = $1"
    "     and a.ratio >= asked.ratio_asked - 1e-9 and a.params <= asked.target"
    "     order by a.ratio, a.ordinal limit 1) a)"
    " select a.architecture_id as _found, s.source_shape as _source, s.options as _options,"
    "   case when a.n is not null then " REPLAY_COUNTS(
        "$1", "a.after", "a.ordinal") " end as _counts,"
                                      "   a.shape_hash as _hash, a.ratio_asked, 'arch_' || "
                                      "a.architecture_id as architecture, " ARCHITECTURE_COLUMNS
                                      "   from s left join found a on true order by a.ordinal, a.n";

enum { FOUND, SOURCE, OPTIONS, COUNTS, HASH };
enum { SHAPES_MAX = 64, SHAPES_BYTES = 16 * 1024 * 1024 };

/* "0.1,0.2" as "{0.1,0.2}"; NULL with err filled when it is not that. */
static const char *numbers(struct request *req, const char *name, const char *text, double min,
                           double max, struct error *err)
{
    char *list = request_printf(req, "{%s}", text), *end = list;
    int n = 0;
    do {
        char *start = end + 1;
        double value = strtod(start, &end);
        if (end == start || !(value >= min && value <= max) || ++n > SHAPES_MAX) break;
    } while (*end == ',');
    if (!strcmp(end, "}") && n && n <= SHAPES_MAX) return list;
    fail(err, E_INPUT, "%s must be at most %d numbers from %g to %g, with commas between them",
         name, SHAPES_MAX, min, max);
    snprintf(err->pointer, sizeof err->pointer, "?%s", name);
    return NULL;
}

static enum status emit_item(struct replay *replay, const PGresult *rows, int i, struct emit *e,
                             struct error *err)
{
    TRY(replay_apply(replay, pg_text(rows, i, COUNTS), pg_text(rows, i, HASH), err));
    emit_begin(e, '{');
    rows_members(e, rows, i);
    architecture_emit_shapes(replay, e);
    emit_end(e);
    return OK;
}

static enum status emit_items(const PGresult *rows, struct emit *e, struct error *err)
{
    struct replay replay;
    if (pg_null(rows, 0, FOUND)) return OK;
    TRY(replay_open(&replay, pg_text(rows, 0, SOURCE), pg_text(rows, 0, OPTIONS), err));
    for (int i = 0; i < PQntuples(rows); i++) TRY(emit_item(&replay, rows, i, e, err));
    return OK;
}

static void got(struct ask *ask, const PGresult *rows)
{
    struct error err = { 0 };
    struct buf out;
    struct emit e;
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    buf_init(&out, SHAPES_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_key(&e, "items");
    emit_begin(&e, '[');
    if (emit_items(rows, &e, &err)) {
        buf_release(&out);
        reply_error(ask->req, &err);
        return;
    }
    emit_end(&e);
    emit_end(&e);
    reply_buf(ask->req, 200, &out);
}

void search_shapes(struct request *req)
{
    struct ask *ask = ask_new(req, select_shapes, got);
    const char *ratios = request_query(req, "ratios"), *params = request_query(req, "params");
    if (!ratios && !params) ratios = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9";
    if (!request_query_end(req)) return;
    ask_id(ask, "srch", "search", request_param(req, "id"));
    ask_text(ask, ratios ? numbers(req, "ratios", ratios, 0, 1, &ask->err) : NULL);
    ask_text(ask, params ? numbers(req, "params", params, 1, 1e15, &ask->err) : NULL);
    ask_send(ask);
}
