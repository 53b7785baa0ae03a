#include "server/api/page.h"

#include <stdlib.h>
#include <string.h>
#include "server/api/rows.h"

enum { TOKEN_MAX = 100, PAGE_BYTES = 64 * 1024 * 1024 };

struct page {
    int size;
    const char *exists, *parent; /* page_within */
};

/* ---- replies ------------------------------------------------------------------------------- */

/* One object a line; the next page's token is in a header. */
static void reply_lines(struct request *req, const PGresult *rows, int n, const char *next)
{
    struct buf out;
    struct emit e;
    buf_init(&out, PAGE_BYTES);
    for (int i = 0; i < n; i++) {
        emit_init(&e, &out);
        rows_object(&e, rows, i);
        buf_putc(&out, '\n');
    }
    if (next) reply_header(req, "Next-Page-Token", next);
    if (out.failed)
        reply_problem(req, 500, "internal", "the reply is too large; ask for less of it");
    else
        reply_bytes(req, 200, "application/x-ndjson", out.bytes ? out.bytes : "", out.len);
    buf_release(&out);
}

static bool wants_lines(struct request *req)
{
    const char *accept = request_header(req, "Accept");
    const char *lines = accept ? strstr(accept, "application/x-ndjson") : NULL;
    const char *json = lines ? strstr(accept, "application/json") : NULL;
    return lines && (!json || lines < json);
}

void page_reply(struct ask *ask, const PGresult *rows, int n, const char *next)
{
    struct buf out;
    struct emit e;
    reply_header(ask->req, "Vary", "Accept, Accept-Encoding");
    if (wants_lines(ask->req)) {
        reply_lines(ask->req, rows, n, next);
        return;
    }
    buf_init(&out, PAGE_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_key(&e, "items");
    rows_array(&e, rows, n);
    emit_kv_string(&e, "next_page_token", next);
    emit_end(&e);
    reply_buf(ask->req, 200, &out);
}

static void got_parent(struct ask *parent, const PGresult *rows)
{
    if (PQntuples(rows))
        page_reply(parent, rows, 0, NULL);
    else
        reply_missing(parent->req, parent->what, parent->id);
}

static void got(struct ask *ask, const PGresult *rows)
{
    const struct page *page = ask->data;
    if (!PQntuples(rows) && page->exists) {
        struct ask *parent = ask_new(ask->req, page->exists, got_parent);
        parent->what = ask->what, parent->id = ask->id;
        ask_text(parent, page->parent);
        ask_send(parent);
        return;
    }
    int n = PQntuples(rows), shown = n > page->size ? page->size : n;
    page_reply(ask, rows, shown, n > shown ? PQgetvalue(rows, shown - 1, 0) : NULL);
}

/* ---- asking -------------------------------------------------------------------------------- */

/* Numbers, joined by ':'; what they mean is the statement's business. */
static bool is_token(const char *text)
{
    size_t n = strspn(text, "0123456789.:-+e");
    return n && n <= TOKEN_MAX && !text[n];
}

int page_most(struct request *req)
{
    enum { FEW = 100 };
    const char *size = request_query(req, "page_size");
    return 1 + (!size || (strlen(size) <= 3 && atoi(size) <= FEW) ? FEW : PAGE_MAX);
}

struct ask *page_new(struct request *req, const char *sql, const char *first)
{
    struct ask *ask = ask_new(req, sql, got);
    struct page *page = request_new(req, struct page);
    ask->data = page;
    page->size = (int)request_query_int(req, "page_size", 1, PAGE_MAX, PAGE_DEFAULT, &ask->err);
    const char *token = request_query(req, "page_token");
    if (token && !is_token(token) && !ask->err.status) {
        fail(&ask->err, E_INPUT, "page_token is not one that this service gave out");
        strcpy(ask->err.pointer, "?page_token");
    }
    ask_text(ask, token ? token : first);
    ask_int(ask, page->size + 1);
    return ask;
}

void page_within(struct ask *ask, const char *prefix, const char *what, const char *exists)
{
    struct page *page = ask->data;
    ask_id(ask, prefix, what, request_param(ask->req, "id"));
    page->exists = exists;
    page->parent = ask->params[ask->query.n_params - 1];
}

void page_send(struct ask *ask)
{
    if (ask->err.status || request_query_end(ask->req)) ask_send(ask);
}
