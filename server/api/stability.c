#include <stdlib.h>
#include <string.h>
#include "search/shape.h"
#include "search/stability.h"
#include "server/api/api.h"
#include "server/api/ask.h"
#include "server/api/explain.h"

/* Both searches, each with its removals up to the first architecture at the ratio. */
static const char select_both[] =
    "with both_of as (select s.search_id, s.source_hash, s.source_shape,"
    "   (select min(a.ordinal) from architecture a where a.search_id = s.search_id"
    "     and a.ratio >= $3::float8) as upto"
    "   from search s where s.search_id in ($1::bigint, $2::bigint))"
    " select (q.search_id <> $1::bigint)::int, q.source_hash, q.source_shape, q.upto,"
    "   a.ordinal, a.type, a.layer, coalesce(a.unit = 'query', false), a.indices"
    "   from both_of q left join architecture a on a.search_id = q.search_id"
    "    and a.ordinal between 1 and q.upto order by 1, a.ordinal";

enum { WHICH, HASH, SHAPE, UPTO, ORDINAL, TYPE, LAYER, QUERY, INDICES };
enum { TYPES = 3, MAX_UNITS = 8 << 20, STABILITY_BYTES = 64 * 1024 };

static const char *const type_names[TYPES] = { "heads", "ffn", "stem" };

/* When every unit of the source went, by type: layers one after another. */
struct units {
    int n, first[SHAPE_MAX_LAYERS];
    double *went[2]; /* of both searches; those that survive: one more than the last ordinal */
};

struct comparison {
    struct shape source;
    bool query, has_heads;
    int64_t upto[2];
    struct units type[TYPES];
};

/* ---- reading ----------------------------------------------------------------------- */

static int type_of(const char *name)
{
    int t = 0;
    while (t < TYPES - 1 && strcmp(type_names[t], name)) t++;
    return t;
}

static int units_in(const struct comparison *c, int type, int l)
{
    const struct layer_shape *layer = &c->source.layer[l];
    return type == 1 ? layer->ffn : c->query ? layer->q_heads : layer->kv_heads;
}

static enum status make_room(struct comparison *c, struct error *err)
{
    int64_t all = c->source.hidden_size;
    for (int t = 0; t < 2; t++)
        for (int l = 0; l < c->source.n_layers; l++) all += units_in(c, t, l);
    if (all > MAX_UNITS)
        return fail(err, E_LIMIT, "the source has %lld units, at most %d can be compared",
                    (long long)all, MAX_UNITS);
    for (int t = 0; t < TYPES; t++) {
        struct units *u = &c->type[t];
        for (int l = 0; t < 2 && l < c->source.n_layers; l++) {
            u->first[l] = u->n;
            u->n += units_in(c, t, l);
        }
        if (t == 2) u->n = c->source.hidden_size;
        for (int s = 0; s < 2; s++) {
            u->went[s] = malloc((size_t)u->n * sizeof(double));
            if (!u->went[s]) abort();
            for (int i = 0; i < u->n; i++) u->went[s][i] = (double)(c->upto[s] + 1);
        }
    }
    return OK;
}

static void mark(struct comparison *c, int search, int type, int l, long index, double ordinal)
{
    struct units *u = &c->type[type];
    long at = (type == 2 ? 0 : u->first[l]) + index;
    if (index >= 0 && at < u->n) u->went[search][at] = ordinal;
}

/* "{3,17,-1}": one entry a layer, by query one for each of its KV heads. */
static void read_removal(struct comparison *c, const PGresult *rows, int row)
{
    int type = type_of(pg_text(rows, row, TYPE)), only = (int)pg_int(rows, row, LAYER);
    int which = (int)pg_int(rows, row, WHICH), l = only < 0 ? 0 : only, taken = 0;
    bool query = type == 0 && pg_bool(rows, row, QUERY);
    double ordinal = (double)pg_int(rows, row, ORDINAL);
    for (const char *at = pg_text(rows, row, INDICES) + 1; *at && l < c->source.n_layers;) {
        char *end;
        mark(c, which, type, l, strtol(at, &end, 10), ordinal);
        if (end == at) break;
        at = *end == ',' ? end + 1 : end;
        if (++taken >= (query ? c->source.layer[l].kv_heads : 1)) l++, taken = 0;
    }
}

/* Do both cut heads alike? */
static enum status check_heads(struct comparison *c, const PGresult *rows, struct error *err)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        if (pg_null(rows, i, TYPE) || type_of(pg_text(rows, i, TYPE))) continue;
        bool query = pg_bool(rows, i, QUERY);
        if (c->has_heads && query != c->query)
            return fail(err, E_CONFLICT, "one search cuts heads by query, the other by KV group");
        c->has_heads = true;
        c->query = query;
    }
    return OK;
}

static enum status check_rows(struct comparison *c, const PGresult *rows, struct error *err)
{
    int n = PQntuples(rows), last = n - 1;
    if (pg_int(rows, 0, WHICH) == pg_int(rows, last, WHICH)) {
        fail(err, E_INPUT, "there is no other search of that name");
        strcpy(err->pointer, "?against");
        return err->status;
    }
    if (strcmp(pg_text(rows, 0, HASH), pg_text(rows, last, HASH)))
        return fail(err, E_CONFLICT, "the two searches start from different shapes");
    for (int i = 0; i < 2; i++) {
        if (pg_null(rows, i ? last : 0, UPTO))
            return fail(err, E_CONFLICT, "%s search has not come to that ratio",
                        i ? "the other" : "this");
        c->upto[i] = pg_int(rows, i ? last : 0, UPTO);
    }
    TRY(check_heads(c, rows, err));
    return shape_parse(&c->source, pg_text(rows, 0, SHAPE), strlen(pg_text(rows, 0, SHAPE)), err);
}

/* ---- writing ----------------------------------------------------------------------- */

static int survivors(const struct units *u, int search, double last, int *to)
{
    int n = 0;
    for (int i = 0; i < u->n; i++)
        if (u->went[search][i] > last) to[n++] = i;
    return n;
}

static void emit_type(const struct comparison *c, const struct units *u, struct emit *e)
{
    int *list = malloc(2 * (size_t)u->n * sizeof *list), n[2];
    if (!list) abort();
    for (int s = 0; s < 2; s++)
        n[s] = survivors(u, s, (double)c->upto[s], list + (size_t)s * (size_t)u->n);
    emit_begin(e, '{');
    emit_kv_int(e, "units", u->n);
    emit_key(e, "survive"), emit_begin(e, '[');
    for (int s = 0; s < 2; s++) emit_int(e, n[s]);
    emit_end(e);
    emit_kv_double(e, "overlap", stability_overlap(list, n[0], list + u->n, n[1]));
    emit_kv_double(e, "chance", stability_chance_overlap(n[0], n[1], u->n));
    emit_kv_double(e, "rank_correlation", stability_rank_correlation(u->went[0], u->went[1], u->n));
    emit_end(e);
    free(list);
}

static void emit_comparison(const struct comparison *c, struct emit *e)
{
    emit_begin(e, '{');
    emit_key(e, "ordinals"), emit_begin(e, '[');
    for (int s = 0; s < 2; s++) emit_int(e, c->upto[s]);
    emit_end(e);
    for (int t = 0; t < TYPES; t++) {
        emit_key(e, type_names[t]);
        emit_type(c, &c->type[t], e);
    }
    emit_end(e);
}

static void got(struct ask *ask, const PGresult *rows)
{
    struct comparison *c = request_new(ask->req, struct comparison);
    struct error err = { 0 };
    struct buf out;
    struct emit e;
    if (!PQntuples(rows) || pg_int(rows, 0, WHICH)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    buf_init(&out, STABILITY_BYTES);
    emit_init(&e, &out);
    if (!check_rows(c, rows, &err) && !make_room(c, &err)) {
        for (int i = 0; i < PQntuples(rows); i++)
            if (!pg_null(rows, i, TYPE)) read_removal(c, rows, i);
        emit_comparison(c, &e);
    }
    for (int t = 0; t < TYPES; t++)
        for (int s = 0; s < 2; s++) free(c->type[t].went[s]);
    if (err.status) {
        buf_release(&out);
        reply_error(ask->req, &err);
    } else {
        reply_buf(ask->req, 200, &out);
    }
}

void search_stability(struct request *req)
{
    struct ask *ask = ask_new(req, select_both, got);
    ask_id(ask, "srch", "search", request_param(req, "id"));
    ask_filter_id(ask, "srch", "against");
    if (!ask->params[1] && !ask->err.status) {
        fail(&ask->err, E_INPUT, "is missing: the search to compare with");
        strcpy(ask->err.pointer, "?against");
    }
    ask_double(ask, request_query_double(req, "ratio", 0, 1, 0.5, &ask->err));
    if (ask->err.status || request_query_end(req)) ask_send(ask);
}
