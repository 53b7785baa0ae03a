#include <stdlib.h>
#include <string.h>
#include "server/api/architectures.h"
#include "server/api/page.h"

/*
 * GET /v1/architectures. Filters and orders are pieces of one statement; each combination that
 * somebody asked for is put together once and kept, so that PostgreSQL plans for just those
 * filters and every order has an index:
 *
 *   of one search   by its ordinals, whatever the order: parameters only fall along them
 *   of all          by id, by (params, id) or by (ratio, id)
 *
 * ?pareto=A,B is no page but the front: those that no other one beats in both.
 */
enum { FRONT_MOST = 100000, ITEMS_MOST = 1000 };

#define FROM " from architecture a left join search s using (search_id)"

struct filter {
    const char *name, *sql; /* @: its parameter; NULL: it has none */
    enum { ID_OF_SEARCH, COUNT, SHARE, WEIGHTS, SOURCE } kind;
};

static const struct filter filters[] = {
    { "search", "a.search_id = @::bigint", ID_OF_SEARCH },
    { "min_params", "a.params >= @::bigint", COUNT },
    { "max_params", "a.params <= @::bigint", COUNT },
    { "min_ratio", "a.ratio >= @::float8", SHARE },
    { "max_ratio", "a.ratio <= @::float8", SHARE },
    { "weights", NULL, WEIGHTS },
    { "source", "s.source_hash = @", SOURCE },
};
enum { N_FILTERS = sizeof filters / sizeof *filters, OF_SEARCH = 1 << 0, KEPT = 1 << N_FILTERS };

/* Keys are text: "12" or "0.5:12". */
#define PLACE(type) "(split_part($1, ':', 1)::" type ", split_part($1, ':', 2)::bigint)"

struct order {
    const char *name, *key, *after, *by, *first;
};

static const struct order of_all[] = {
    { "id", "a.architecture_id", "a.architecture_id > $1", "a.architecture_id", "0" },
    { "-id", "a.architecture_id", "a.architecture_id < $1", "a.architecture_id desc", PAGE_NEWEST },
    { "params", "a.params || ':' || a.architecture_id",
      "(a.params, a.architecture_id) > " PLACE("bigint"), "a.params, a.architecture_id", "0:0" },
    { "-params", "a.params || ':' || a.architecture_id",
      "(a.params, a.architecture_id) < " PLACE("bigint"), "a.params desc, a.architecture_id desc",
      PAGE_NEWEST ":" PAGE_NEWEST },
    { "ratio", "a.ratio || ':' || a.architecture_id",
      "(a.ratio, a.architecture_id) > " PLACE("float8"), "a.ratio, a.architecture_id", "-1:0" },
    { "-ratio", "a.ratio || ':' || a.architecture_id",
      "(a.ratio, a.architecture_id) < " PLACE("float8"), "a.ratio desc, a.architecture_id desc",
      "2:" PAGE_NEWEST },
};
static const struct order of_one[] = {
    { "up", "a.ordinal", "a.ordinal > $1", "a.ordinal", "-1" },
    { "down", "a.ordinal", "a.ordinal < $1", "a.ordinal desc", "2147483647" },
};
enum { N_ORDERS = sizeof of_all / sizeof *of_all };

/* ---- what was asked ------------------------------------------------------------------------ */

struct wanted {
    unsigned filters; /* a bit each; KEPT when weights=snapshot */
    const char *value[N_FILTERS];
    int order; /* index of of_all */
};

static void refuse(struct error *err, const char *name, const char *text)
{
    if (err->status) return;
    fail(err, E_INPUT, "%s", text);
    snprintf(err->pointer, sizeof err->pointer, "?%s", name);
}

static const char *value_of(struct request *req, const struct filter *f, const char *text,
                            struct error *err)
{
    switch (f->kind) {
    case COUNT: request_query_int(req, f->name, 0, INT64_MAX, 0, err); return text;
    case SHARE: request_query_double(req, f->name, 0, 1, 0, err); return text;
    case ID_OF_SEARCH:
        if (!id_number(text, "srch")) refuse(err, f->name, "search must be an id such as srch_1");
        return id_number(text, "srch");
    case WEIGHTS:
        if (strcmp(text, "none") && strcmp(text, "snapshot"))
            refuse(err, f->name, "weights must be none or snapshot");
        return strcmp(text, "none") ? "true" : "false";
    case SOURCE:
        if (strlen(text) != 64 || text[strspn(text, "0123456789abcdef")])
            refuse(err, f->name, "source must be a shape_hash, the one of the searches' source");
        return text;
    }
    return NULL;
}

static int order_of(const char *name)
{
    for (int i = 0; i < N_ORDERS; i++)
        if (!strcmp(of_all[i].name, name)) return i;
    return -1;
}

static void read_wanted(struct request *req, struct wanted *w, struct error *err)
{
    for (int i = 0; i < N_FILTERS; i++) {
        const char *text = request_query(req, filters[i].name);
        if (!text) continue;
        w->filters |= 1u << i;
        w->value[i] = value_of(req, &filters[i], text, err);
        if (filters[i].kind == WEIGHTS && !strcmp(text, "snapshot")) w->filters |= KEPT;
    }
    const char *by = request_query(req, "order_by");
    bool by_params = w->filters & 6, by_ratio = w->filters & 24;
    w->order = order_of(by ? by : by_params ? "params" : by_ratio ? "ratio" : "id");
    if (w->order < 0)
        refuse(err, "order_by", "order_by must be id, -id, params, -params, ratio or -ratio");
}

/* ---- statements ---------------------------------------------------------------------------- */

static void put_filters(struct buf *sql, unsigned which, int next)
{
    for (int i = 0; i < N_FILTERS; i++) {
        if (!(which & 1u << i)) continue;
        if (filters[i].kind == WEIGHTS) { /* as the partial index says it */
            buf_printf(sql, " and a.snapshot is %s", which & KEPT ? "not null" : "null");
            continue;
        }
        const char *at = strchr(filters[i].sql, '@');
        buf_printf(sql, " and %.*s$%d%s", (int)(at - filters[i].sql), filters[i].sql, next++,
                   at + 1);
    }
}

static const struct order *order_for(const struct wanted *w)
{
    bool down[N_ORDERS] = { false, true, true, false, false, true };
    return w->filters & OF_SEARCH ? &of_one[down[w->order]] : &of_all[w->order];
}

/* The first page begins at the bound of what it is ordered by: PostgreSQL would look at all that
 * lies before it, because it enters the index at the key. */
static const char *first_key(struct request *req, const struct wanted *w)
{
    enum {
        BOUNDED = 2
    }; /* of_all from here on: each has its bound among the filters, in the same order */
    int bound = w->order - BOUNDED + 1;
    bool bounded = w->order >= BOUNDED && w->filters & 1u << bound && !(w->filters & OF_SEARCH);
    if (!bounded) return order_for(w)->first;
    return request_printf(req, "%s:%s", w->value[bound], bound % 2 ? "0" : PAGE_NEWEST);
}

static char *make_list(const struct wanted *w, int most)
{
    const struct order *o = order_for(w);
    struct buf sql;
    size_t len;
    buf_init(&sql, 16384);
    buf_printf(&sql, "select * from (select %s as _key, " ARCHITECTURE_LISTED FROM " where %s", o->key,
               o->after);
    put_filters(&sql, w->filters, 3);
    buf_printf(&sql, " order by %s limit %d) page limit $2", o->by, most);
    return buf_detach(&sql, &len);
}

/* Statements are prepared by their address, so each is made once and stays. */
static const char *list_sql(const struct wanted *w, int most)
{
    static char *made[2][N_ORDERS][KEPT << 1];
    char **slot = &made[most > PAGE_MAX][w->order][w->filters];
    if (!*slot) *slot = make_list(w, most);
    return *slot;
}

static void add_values(struct ask *ask, const struct wanted *w)
{
    for (int i = 0; i < N_FILTERS; i++)
        if (w->filters & 1u << i && filters[i].sql) ask_text(ask, w->value[i]);
}

/* ---- the front ----------------------------------------------------------------------------- */

static const struct {
    const char *name, *value, *join;
} axes[] = {
    { "params", "a.params", "" },
    { "flops_per_token", "a.flops_per_token", "" },
    { "kv_bytes_per_token", "a.kv_bytes_per_token", "" },
    { "validation_loss", "l.loss", " join architecture_losses($1) l using (architecture_id)" },
    { "latency_ms", "t.milliseconds", " join architecture_latencies() t using (architecture_id)" },
};
enum { N_AXES = sizeof axes / sizeof *axes, LOSS = 3 };

static int axis_of(const char *name, size_t n)
{
    for (int i = 0; i < N_AXES; i++)
        if (strlen(axes[i].name) == n && !strncmp(axes[i].name, name, n)) return i;
    return -1;
}

static char *make_front(const struct wanted *w, int x, int y)
{
    struct buf sql;
    size_t len;
    buf_init(&sql, 16384);
    buf_printf(&sql,
               "with c as (select a.architecture_id, %s::float8 as x, %s::float8 as y" FROM
               "%s%s where ($1::bigint is null or true)",
               axes[x].value, axes[y].value, axes[x].join, axes[y].join);
    put_filters(&sql, w->filters, 3);
    buf_printf(
        &sql,
        " limit $2::int + 1),"
        " f as (select *, min(y) over (partition by x) as here,"
        "   min(y) over (order by x groups between unbounded preceding and 1 preceding) as before,"
        "   (select count(*) from c) as n from c)"
        " select f.n as _n, " ARCHITECTURE_LISTED
        ", f.x as \"pareto.%s\", f.y as \"pareto.%s\"" FROM
        " join f using (architecture_id) where f.y = f.here and (f.before is null or f.y < "
        "f.before)"
        " order by f.x, a.architecture_id limit %d",
        axes[x].name, axes[y].name, ITEMS_MOST);
    return buf_detach(&sql, &len);
}

static const char *front_sql(const struct wanted *w, int x, int y)
{
    static char *made[N_AXES][N_AXES][KEPT << 1];
    char **slot = &made[x][y][w->filters];
    if (!*slot) *slot = make_front(w, x, y);
    return *slot;
}

static void got_front(struct ask *ask, const PGresult *rows)
{
    int n = PQntuples(rows);
    if (n && pg_int(rows, 0, 0) > FRONT_MOST) {
        struct error err = { 0 };
        refuse(&err, "pareto",
               "more than 100000 architectures would be compared; say search, source, weights,"
               " or bounds of params or ratio");
        reply_error(ask->req, &err);
        return;
    }
    page_reply(ask, rows, n, NULL);
}

static void send_front(struct request *req, const struct wanted *w, const char *text,
                       struct error *err)
{
    size_t n = strcspn(text, ",");
    int x = axis_of(text, n), y = text[n] ? axis_of(text + n + 1, strlen(text + n + 1)) : -1;
    const char *dataset = request_query(req, "dataset");
    if (x < 0 || y < 0 || x == y)
        refuse(err, "pareto",
               "pareto must be two of params, flops_per_token, kv_bytes_per_token,"
               " validation_loss and latency_ms, with a comma between them");
    if (dataset && !id_number(dataset, "data"))
        refuse(err, "dataset", "dataset must be an id such as data_1");
    if ((x == LOSS || y == LOSS) && !dataset && !(w->filters & OF_SEARCH))
        refuse(err, "dataset", "losses compare on one data set only: say dataset or search");
    if (err->status) {
        reply_error(req, err);
        return;
    }
    struct ask *ask = ask_new(req, front_sql(w, x, y), got_front);
    ask_text(ask, id_number(dataset, "data"));
    ask_int(ask, FRONT_MOST);
    add_values(ask, w);
    request_query(req, "page_size"); /* programs send it with every list; a front has no pages */
    if (request_query_end(req)) ask_send_slow(ask);
}

/* ---- the first of each search that has lost so much ---------------------------------------- */

/* The box holds a little more than asked: what is exact is said below it. Its nearest are the
 * first, by the index search_by_reached. */
#define AT_RATIO(which)                                                                            \
    "select s.search_id as _key, " ARCHITECTURE_LISTED                                             \
    " from search s cross join lateral (select * from architecture x where x.search_id = "         \
    "s.search_id"                                                                                  \
    "   and x.ratio >= $3::float8 - 1e-9 and x.params <= s.params_source - $3::float8 * "          \
    "s.params_source"                                                                              \
    "   order by x.ratio, x.ordinal limit 1) a"                                                    \
    " where point(s.search_id, s.reached) <@ box(point($1::bigint, $3::float8 - 1e-6), "           \
    "point(1e18, 2))"                                                                              \
    "   and s.search_id > $1::bigint " which                                                       \
    " order by point(s.search_id, s.reached) <-> point($1::bigint, 0) limit $2"

static const char list_at_ratio[] = AT_RATIO("");
static const char list_at_ratio_of[] = AT_RATIO("and s.search_id = $4");

static void send_at_ratio(struct request *req)
{
    bool within = request_query(req, "search");
    struct ask *ask = page_new(req, within ? list_at_ratio_of : list_at_ratio, "0");
    ask_double(ask, request_query_double(req, "ratio", 0, 1, 0, &ask->err));
    if (within) ask_filter_id(ask, "srch", "search");
    page_send(ask);
}

void architecture_list(struct request *req)
{
    struct error err = { 0 };
    struct wanted w = { 0 };
    const char *pareto = request_query(req, "pareto");
    if (request_query(req, "ratio")) {
        send_at_ratio(req);
        return;
    }
    read_wanted(req, &w, &err);
    if (pareto) {
        send_front(req, &w, pareto, &err);
    } else if (err.status) {
        reply_error(req, &err);
    } else {
        struct ask *ask = page_new(req, list_sql(&w, page_most(req)), first_key(req, &w));
        add_values(ask, &w);
        page_send(ask);
    }
}
