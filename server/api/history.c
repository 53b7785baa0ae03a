#include "server/api/history.h"

#include <stdlib.h>
#include <string.h>
#include "search/base/list.h"
#include "server/api/architectures.h"

enum { SHAPES_BYTES = 1024 * 1024 };

static struct list histories = { &histories, &histories }; /* the last asked for comes last */
static size_t total;

static const char select_news[] =
    "select s.removals, array(select k.ordinal from architecture k where k.search_id = $1"
    "   and k.snapshot is not null), case when a.ordinal = 0 then s.source_shape end,"
    " case when a.ordinal = 0 then s.options end, s.context, a.ordinal, a.architecture_id, a.step,"
    " a.tokens, a.params, a.params_non_embedding, a.flops_per_token, a.kv_bytes_per_token, a.ratio,"
    " a.type, a.layer, a.unit = 'query', a.shape_hash"
    " from search s left join architecture a on a.search_id = s.search_id and a.ordinal > $2::int"
    " where s.search_id = $1 order by a.ordinal";

enum {
    REMOVALS, KEPT, SOURCE, OPTIONS, CONTEXT, ORDINAL, ID, STEP, TOKENS, PARAMS, NON_EMBEDDING,
    FLOPS, KV_BYTES, RATIO, TYPE, LAYER, BY_QUERY, HASH
};

/* ---- what is kept -------------------------------------------------------------------------- */

static size_t bytes_of(const struct history *h)
{
    return sizeof *h + (size_t)h->capacity * sizeof *h->item;
}

static struct history *find(const char *search)
{
    list_each(link, &histories)
    {
        struct history *h = container_of(link, struct history, link);
        if (!strcmp(h->search, search)) return h;
    }
    return NULL;
}

static void forget(struct history *h)
{
    list_remove(&h->link);
    total -= bytes_of(h);
    for (int i = 0; i < h->n; i++) {
        total -= h->item[i].shapes ? strlen(h->item[i].shapes) : 0;
        free(h->item[i].shapes);
    }
    free(h->item);
    free(h);
}

static struct history *make(const char *search)
{
    struct history *h = calloc(1, sizeof *h);
    if (!h) abort();
    snprintf(h->search, sizeof h->search, "%s", search);
    list_append(&histories, &h->link);
    total += bytes_of(h);
    return h;
}

static void touch(struct history *h)
{
    list_remove(&h->link);
    list_append(&histories, &h->link);
    while (total > HISTORY_BYTES && histories.next != &h->link)
        forget(container_of(histories.next, struct history, link));
}

static struct history_item *add(struct history *h)
{
    if (h->n == h->capacity) {
        total -= bytes_of(h);
        h->capacity = h->capacity ? 2 * h->capacity : 64;
        h->item = realloc(h->item, (size_t)h->capacity * sizeof *h->item);
        if (!h->item) abort();
        total += bytes_of(h);
    }
    struct history_item *item = &h->item[h->n++];
    *item = (struct history_item){ .type = -1 };
    return item;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int type_of(const char *name)
{
    int type = 0;
    while (group_names[type] && strcmp(group_names[type], name)) type++;
    return group_names[type] ? type : -1;
}

static void read_item(struct history *h, const PGresult *rows, int row)
{
    struct history_item *item = add(h);
    *item = (struct history_item){ .id = pg_int(rows, row, ID),
                                   .step = pg_int(rows, row, STEP),
                                   .tokens = pg_int(rows, row, TOKENS),
                                   .params = pg_int(rows, row, PARAMS),
                                   .params_non_embedding = pg_int(rows, row, NON_EMBEDDING),
                                   .flops_per_token = pg_int(rows, row, FLOPS),
                                   .kv_bytes_per_token = pg_int(rows, row, KV_BYTES),
                                   .ratio = pg_double(rows, row, RATIO),
                                   .type = type_of(pg_text(rows, row, TYPE)),
                                   .layer = pg_null(rows, row, LAYER) ? -1
                                                                      : (int)pg_int(rows, row, LAYER),
                                   .by_query = pg_bool(rows, row, BY_QUERY) };
    snprintf(item->hash, sizeof item->hash, "%s", pg_text(rows, row, HASH));
}

/* "{0,12}" */
static void read_kept(struct history *h, const char *text)
{
    while (*text && *++text && *text != '}') {
        char *end;
        long ordinal = strtol(text, &end, 10);
        if (ordinal >= 0 && ordinal < h->n) h->item[ordinal].kept = true;
        text = end;
    }
}

static enum status read_rows(struct history *h, const PGresult *rows, struct error *err)
{
    int n = pg_null(rows, 0, ORDINAL) ? 0 : PQntuples(rows);
    for (int row = 0; row < n; row++) {
        if (pg_int(rows, row, ORDINAL) != h->n) continue; /* somebody else read it meanwhile */
        if (h->n == 0)
            TRY(replay_open(&h->start, pg_text(rows, row, SOURCE), pg_text(rows, row, OPTIONS),
                            err));
        read_item(h, rows, row);
    }
    h->context = (int)pg_int(rows, 0, CONTEXT);
    read_kept(h, pg_text(rows, 0, KEPT));
    return OK;
}

static void got(struct pg_query *query, PGresult *rows, const struct error *failure)
{
    struct history_ask *ask = query->data;
    struct error err = *failure;
    struct history *h = find(ask->search);
    if (!err.status && !PQntuples(rows)) {
        if (h) forget(h);
        ask->got(ask, NULL);
        return;
    }
    bool stale = !err.status && h && h->n > pg_int(rows, 0, REMOVALS) + 1 && h->n == ask->from;
    if (stale) forget(h), h = NULL; /* an older database was put back */
    if (!err.status && ask->from > (h ? h->n : 0)) { /* forgotten meanwhile */
        history_send(ask);
        return;
    }
    if (!err.status && !h) h = make(ask->search);
    if (!err.status && read_rows(h, rows, &err)) forget(h);
    if (err.status) {
        reply_error(ask->req, &err);
        return;
    }
    touch(h);
    ask->got(ask, h);
}

void history_send(struct history_ask *ask)
{
    const struct history *h = find(ask->search);
    ask->from = h ? h->n : 0;
    ask->params[0] = ask->search;
    ask->params[1] = request_printf(ask->req, "%d", ask->from - 1);
    ask->query = (struct pg_query){
        .sql = select_news, .n_params = 2, .params = ask->params, .done = got, .data = ask
    };
    request_send(ask->req, &ask->query);
}

/* ---- replaying ----------------------------------------------------------------------------- */

/* What spans all layers is counted first: the order of removals does not matter. */
static enum status replay_to(const struct history *h, int ordinal, struct history_place *at,
                             struct error *err)
{
    int whole[GROUP_TYPES][2] = { 0 };
    while (at->ordinal < ordinal) {
        const struct history_item *item = &h->item[++at->ordinal];
        if (item->type >= 0 && item->layer < 0)
            whole[item->type][item->by_query]++;
        else if (item->type >= 0)
            replay_narrow(&at->replay, item->type, item->by_query, item->layer, 1);
    }
    for (int type = 0; type < GROUP_TYPES; type++)
        for (int by_query = 0; by_query < 2; by_query++)
            if (whole[type][by_query])
                replay_narrow(&at->replay, type, by_query, -1, whole[type][by_query]);
    return replay_check(&at->replay, h->item[ordinal].hash, err);
}

struct history_place *history_place(struct request *req, const struct history *h)
{
    struct history_place *at = request_new(req, struct history_place);
    at->replay = h->start;
    return at;
}

/* The members without the braces around them. */
static enum status render(const struct replay *replay, char **text, struct error *err)
{
    struct buf out;
    struct emit e;
    size_t len;
    buf_init(&out, SHAPES_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    architecture_emit_shapes(replay, &e);
    if (out.failed) {
        buf_release(&out);
        return fail(err, E_DB, "a shape takes more than %d bytes", SHAPES_BYTES);
    }
    *text = buf_detach(&out, &len);
    memmove(*text, *text + 1, len);
    return OK;
}

enum status history_emit_shapes(const struct history *h, int ordinal, struct history_place *at,
                                struct emit *e, struct error *err)
{
    struct history_item *item = &h->item[ordinal];
    if (!item->shapes) {
        TRY(replay_to(h, ordinal, at, err));
        TRY(render(&at->replay, &item->shapes, err));
        total += strlen(item->shapes);
    }
    emit_raw(e, item->shapes, strlen(item->shapes));
    return OK;
}
