#include <string.h>
#include "search/cost.h"
#include "server/api/architectures.h"
#include "server/api/ask.h"
#include "server/api/config_format.h"

/*
 * One architecture seen otherwise: /config in the words of others, /diff beside another one.
 */
static const char select_one[] = "select " REPLAY_SOURCE ", " REPLAY_OPTIONS ", " REPLAY_COUNTS(
    "a.search_id", "0",
    "a.ordinal") ", a.shape_hash, coalesce(s.context, a.context), a.architecture_id from "
                 "architecture a"
                 " left join search s using (search_id)"
                 " where a.architecture_id in ($1, $2) order by a.architecture_id <> $1";

enum { SOURCE, OPTIONS, COUNTS, HASH, CONTEXT, ID };
enum { VIEW_BYTES = 1024 * 1024 };

static enum status replay_row(struct replay *replay, const PGresult *rows, int row,
                              struct error *err)
{
    TRY(replay_open(replay, pg_text(rows, row, SOURCE), pg_text(rows, row, OPTIONS), err));
    return replay_apply(replay, pg_text(rows, row, COUNTS), pg_text(rows, row, HASH), err);
}

static void finish(struct request *req, struct buf *out, const struct error *err)
{
    if (!err->status) {
        reply_buf(req, 200, out);
    } else {
        buf_release(out);
        reply_error(req, err);
    }
}

/* ---- config ------------------------------------------------------------------------- */

static void got_config(struct ask *ask, const PGresult *rows)
{
    struct error err = { 0 };
    struct replay replay;
    struct buf out;
    struct emit e;
    const int *format = ask->data;
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    buf_init(&out, VIEW_BYTES);
    emit_init(&e, &out);
    if (!replay_row(&replay, rows, 0, &err))
        config_emit((enum config_format) * format, &replay.shape, (int)pg_int(rows, 0, CONTEXT), &e,
                    &err);
    finish(ask->req, &out, &err);
}

void architecture_config(struct request *req)
{
    struct ask *ask = ask_new(req, select_one, got_config);
    const char *name = request_query(req, "format");
    int *format = request_new(req, int);
    while (name && config_formats[*format] && strcmp(config_formats[*format], name)) ++*format;
    if (!config_formats[*format]) {
        fail(&ask->err, E_INPUT, "format must be hf, per_layer_config, decilm or gguf");
        strcpy(ask->err.pointer, "?format");
    }
    ask->data = format;
    ask_id(ask, "arch", "architecture", request_param(req, "id"));
    ask_text(ask, NULL);
    if (ask->err.status || request_query_end(req)) ask_send(ask);
}

/* ---- diff --------------------------------------------------------------------------- */

/* "ffn": [48, 32], when they differ. */
static void emit_pair(struct emit *e, const char *key, int64_t a, int64_t b, bool always)
{
    if (a == b && !always) return;
    emit_key(e, key);
    emit_begin(e, '[');
    emit_int(e, a);
    emit_int(e, b);
    emit_end(e);
}

static void emit_layers(const struct shape *a, const struct shape *b, struct emit *e)
{
    static const struct layer_shape none;
    int n = a->n_layers > b->n_layers ? a->n_layers : b->n_layers;
    emit_key(e, "layers");
    emit_begin(e, '[');
    for (int l = 0; l < n; l++) {
        const struct layer_shape *x = l < a->n_layers ? &a->layer[l] : &none;
        const struct layer_shape *y = l < b->n_layers ? &b->layer[l] : &none;
        if (x->q_heads == y->q_heads && x->kv_heads == y->kv_heads && x->ffn == y->ffn) continue;
        emit_begin(e, '{');
        emit_kv_int(e, "layer", l);
        emit_pair(e, "q_heads", x->q_heads, y->q_heads, false);
        emit_pair(e, "kv_heads", x->kv_heads, y->kv_heads, false);
        emit_pair(e, "ffn", x->ffn, y->ffn, false);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_diff(const struct shape *a, const struct shape *b, int context, struct emit *e)
{
    struct cost x = cost_of(a, context), y = cost_of(b, context);
    emit_kv_bool(e, "same", shape_equal(a, b));
    emit_key(e, "totals");
    emit_begin(e, '{');
    emit_pair(e, "params", x.params, y.params, true);
    emit_pair(e, "params_non_embedding", x.params_non_embedding, y.params_non_embedding, true);
    emit_pair(e, "flops_per_token", x.flops_per_token, y.flops_per_token, true);
    emit_pair(e, "kv_bytes_per_token", x.kv_bytes_per_token, y.kv_bytes_per_token, true);
    emit_end(e);
    emit_pair(e, "hidden_size", a->hidden_size, b->hidden_size, false);
    emit_pair(e, "head_dim", a->head_dim, b->head_dim, false);
    emit_pair(e, "vocab_size", a->vocab_size, b->vocab_size, false);
    emit_pair(e, "n_layers", a->n_layers, b->n_layers, false);
    emit_layers(a, b, e);
}

static void got_diff(struct ask *ask, const PGresult *rows)
{
    struct error err = { 0 };
    struct replay a, b;
    struct buf out;
    struct emit e;
    bool first = PQntuples(rows) && !strcmp(pg_text(rows, 0, ID), ask->params[0]);
    bool itself = !strcmp(ask->params[0], ask->params[1]);
    if (!first || PQntuples(rows) < (itself ? 1 : 2)) {
        reply_missing(ask->req, ask->what,
                      first ? request_query(ask->req, "against") : request_param(ask->req, "id"));
        return;
    }
    buf_init(&out, VIEW_BYTES);
    emit_init(&e, &out);
    if (!replay_row(&a, rows, 0, &err) && !replay_row(&b, rows, itself ? 0 : 1, &err)) {
        emit_begin(&e, '{');
        emit_kv_string(&e, "a", request_param(ask->req, "id"));
        emit_kv_string(&e, "b", request_query(ask->req, "against"));
        emit_diff(&a.shape, &b.shape, (int)pg_int(rows, 0, CONTEXT), &e);
        emit_end(&e);
    }
    finish(ask->req, &out, &err);
}

void architecture_diff(struct request *req)
{
    struct ask *ask = ask_new(req, select_one, got_diff);
    ask_id(ask, "arch", "architecture", request_param(req, "id"));
    ask_filter_id(ask, "arch", "against");
    if (!ask->params[1] && !ask->err.status) {
        fail(&ask->err, E_INPUT, "against is missing: the architecture to compare with");
        strcpy(ask->err.pointer, "?against");
    }
    if (ask->err.status || request_query_end(req)) ask_send(ask);
}
