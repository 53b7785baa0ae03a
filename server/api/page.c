#include "server/api/page.h"

#include <string.h>
#include "server/api/rows.h"

enum { TOKEN_MAX = 100, PAGE_BYTES = 64 * 1024 * 1024 };

struct page {
    int size;
};

static void got(struct ask *ask, const PGresult *rows)
{
    const struct page *page = ask->data;
    int n = PQntuples(rows), shown = n > page->size ? page->size : n;
    struct buf out;
    struct emit e;
    buf_init(&out, PAGE_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    emit_key(&e, "items");
    rows_array(&e, rows, shown);
    emit_kv_string(&e, "next_page_token", n > shown ? PQgetvalue(rows, shown - 1, 0) : NULL);
    emit_end(&e);
    reply_buf(ask->req, 200, &out);
}

/* Numbers, joined by ':'; what they mean is the statement's business. */
static bool is_token(const char *text)
{
    size_t n = strspn(text, "0123456789.:-+e");
    return n && n <= TOKEN_MAX && !text[n];
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

void page_send(struct ask *ask)
{
    if (ask->err.status || request_query_end(ask->req)) ask_send(ask);
}
