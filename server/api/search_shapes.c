#include <stdlib.h>
#include <string.h>
#include "server/api/ask.h"
#include "server/api/history.h"
#include "server/api/searches.h"

/*
 * /v1/searches/{id}/shapes?ratios=0.1,0.2 or ?params=1000000,500000: for each the first
 * architecture that has lost so much (is so small), which is the one whose weights are kept
 * when the same ratio is a snapshot. Those that the search has not reached are left out. They
 * come in the order of the trajectory, so all shapes come of one replay.
 */
enum { SHAPES_MAX = 64, SHAPES_BYTES = 16 * 1024 * 1024 };

struct numbers {
    int n;
    double value[SHAPES_MAX];
};

struct asked {
    double ratio, params;
    int place, ordinal; /* in the query; of what was found */
};

struct shapes {
    struct history_ask ask;
    struct numbers ratios, params;
    struct asked asked[SHAPES_MAX];
    int n_found;
};

/* ---- finding ------------------------------------------------------------------------------- */

static bool is_enough(const struct history_item *item, const struct asked *asked)
{
    return item->ratio >= asked->ratio - 1e-9 && (double)item->params <= asked->params;
}

/* The first that lost enough; n when none did. Parameters only ever go down. */
static int find_first(const struct history *h, const struct asked *asked)
{
    int low = 0, high = h->n;
    while (low < high) {
        int middle = (low + high) / 2;
        if (is_enough(&h->item[middle], asked))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int in_order(const void *a, const void *b)
{
    const struct asked *x = a, *y = b;
    int by_ordinal = (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
    return by_ordinal ? by_ordinal : x->place - y->place;
}

static void find_all(struct shapes *s, const struct history *h)
{
    double source = h->n ? (double)h->item[0].params : 0;
    int n = s->ratios.n > s->params.n ? s->ratios.n : s->params.n;
    for (int i = 0; i < n; i++) {
        struct asked a = { .place = i };
        a.ratio = i < s->ratios.n ? s->ratios.value[i] : 1 - s->params.value[i] / source;
        a.params = i < s->params.n ? s->params.value[i] : source - s->ratios.value[i] * source;
        a.ordinal = find_first(h, &a);
        if (a.ordinal < h->n) s->asked[s->n_found++] = a;
    }
    qsort(s->asked, (size_t)s->n_found, sizeof *s->asked, in_order);
}

/* ---- the reply ----------------------------------------------------------------------------- */

static void emit_architecture(const struct history *h, const struct history_item *item, int ordinal,
                              struct emit *e)
{
    char id[32];
    snprintf(id, sizeof id, "arch_%lld", (long long)item->id);
    emit_kv_string(e, "architecture", id);
    emit_kv_int(e, "ordinal", ordinal);
    emit_kv_int(e, "step", item->step);
    emit_kv_int(e, "tokens", item->tokens);
    emit_kv_double(e, "ratio", item->ratio);
    emit_kv_string(e, "type", item->type < 0 ? NULL : group_names[item->type]);
    emit_key(e, "totals"), emit_begin(e, '{');
    emit_kv_int(e, "params", item->params);
    emit_kv_int(e, "params_non_embedding", item->params_non_embedding);
    emit_kv_int(e, "flops_per_token", item->flops_per_token);
    emit_kv_int(e, "kv_bytes_per_token", item->kv_bytes_per_token);
    emit_kv_int(e, "context", h->context);
    emit_end(e);
    emit_kv_string(e, "shape_hash", item->hash);
    emit_kv_string(e, "weights", item->kept ? "snapshot" : "none");
}

static enum status emit_items(const struct shapes *s, const struct history *h, struct emit *e,
                              struct error *err)
{
    struct history_place *at = history_place(s->ask.req, h);
    for (int i = 0; i < s->n_found; i++) {
        const struct asked *asked = &s->asked[i];
        emit_begin(e, '{');
        emit_kv_double(e, "ratio_asked", asked->ratio);
        emit_architecture(h, &h->item[asked->ordinal], asked->ordinal, e);
        TRY(history_emit_shapes(h, asked->ordinal, at, e, err));
        emit_end(e);
    }
    return OK;
}

static void got(struct history_ask *ask, const struct history *h)
{
    struct shapes *s = ask->data;
    struct error err = { 0 };
    struct buf out;
    struct emit e;
    if (!h) {
        reply_missing(ask->req, "search", request_param(ask->req, "id"));
        return;
    }
    find_all(s, h);
    buf_init(&out, SHAPES_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{'), emit_key(&e, "items"), emit_begin(&e, '[');
    if (emit_items(s, h, &e, &err)) {
        buf_release(&out);
        reply_error(ask->req, &err);
        return;
    }
    emit_end(&e), emit_end(&e);
    reply_buf(ask->req, 200, &out);
}

/* ---- the question -------------------------------------------------------------------------- */

/* "0.1,0.2" */
static void read_numbers(struct numbers *numbers, const char *name, const char *text, double min,
                         double max, struct error *err)
{
    char *end;
    while (text && !err->status) {
        double value = strtod(text, &end);
        bool good = end != text && value >= min && value <= max && (!*end || *end == ',');
        if (!good || numbers->n == SHAPES_MAX) {
            fail(err, E_INPUT, "%s must be at most %d numbers from %g to %g, with commas between "
                 "them", name, SHAPES_MAX, min, max);
            snprintf(err->pointer, sizeof err->pointer, "?%s", name);
        } else
            numbers->value[numbers->n++] = value;
        text = *end ? end + 1 : NULL;
    }
}

void search_shapes(struct request *req)
{
    struct error err = { 0 };
    struct shapes *s = request_new(req, struct shapes);
    const char *ratios = request_query(req, "ratios"), *params = request_query(req, "params");
    const char *id = request_param(req, "id"), *number = id_number(id, "srch");
    if (!ratios && !params) ratios = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9";
    if (!request_query_end(req)) return;
    read_numbers(&s->ratios, "ratios", ratios, 0, 1, &err);
    read_numbers(&s->params, "params", params, 1, 1e15, &err);
    if (err.status) {
        reply_error(req, &err);
        return;
    }
    if (!number) {
        reply_missing(req, "search", id);
        return;
    }
    s->ask = (struct history_ask){ .req = req, .search = number, .got = got, .data = s };
    history_send(&s->ask);
}
