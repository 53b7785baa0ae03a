#include "server/api/listing.h"

#include <stdio.h>
#include <string.h>

const char *const job_states[] = { "queued",    "starting", "running",   "pausing", "paused",
                                   "succeeded", "failed",   "cancelled", NULL };

static char *make(const struct listing *l, unsigned which, bool up)
{
    struct buf sql;
    size_t len;
    int next = 3;
    buf_init(&sql, 32768);
    buf_printf(&sql, "select %s as _key, %s from %s where %s %c $1", l->key, l->columns, l->from,
               l->key, up ? '>' : '<');
    if (l->where) buf_printf(&sql, " and %s", l->where);
    for (int i = 0; l->filters[i].name; i++) {
        if (!(which & 1u << i)) continue;
        const char *at = strchr(l->filters[i].sql, '@');
        buf_printf(&sql, " and %.*s$%d%s", (int)(at - l->filters[i].sql), l->filters[i].sql, next++,
                   at + 1);
    }
    buf_printf(&sql, " order by %s%s limit $2", l->key, up ? "" : " desc");
    return buf_detach(&sql, &len);
}

static void refuse(struct ask *ask, const char *name, const char *text)
{
    if (ask->err.status) return;
    fail(&ask->err, E_INPUT, "%s must be %s", name, text);
    snprintf(ask->err.pointer, sizeof ask->err.pointer, "?%s", name);
}

static void add_word(struct ask *ask, const struct listing_filter *f, const char *value)
{
    char list[256] = "one of";
    int i = 0;
    while (f->words[i] && strcmp(f->words[i], value)) i++;
    bool known = f->words[i];
    for (i = 0; f->words[i]; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s %s", i ? "," : "", f->words[i]);
    }
    if (!known) refuse(ask, f->name, list);
    ask_text(ask, value);
}

static void add_value(struct ask *ask, const struct listing_filter *f, const char *value)
{
    if (f->prefix) {
        ask_filter_id(ask, f->prefix, f->name);
    } else if (f->words) {
        add_word(ask, f, value);
    } else {
        if (strlen(value) > LISTING_TEXT) refuse(ask, f->name, "shorter");
        ask_text(ask, value);
    }
}

/* Does the list begin with the oldest? */
static bool is_up(struct request *req, const struct listing *l, struct error *err)
{
    const char *by = request_query(req, "order_by");
    if (!by) return l->oldest_first;
    if (strcmp(by, "id") && strcmp(by, "-id")) {
        fail(err, E_INPUT, "order_by must be id or -id");
        strcpy(err->pointer, "?order_by");
    }
    return *by == 'i';
}

void listing_send(struct request *req, struct listing *l)
{
    struct error err = { 0 };
    unsigned which = 0;
    bool up = is_up(req, l, &err);
    for (int i = 0; l->filters[i].name; i++)
        if (request_query(req, l->filters[i].name)) which |= 1u << i;
    char **slot = &l->made[up][which];
    if (!*slot) *slot = make(l, which, up);
    struct ask *ask = page_new(req, *slot, up ? "0" : PAGE_NEWEST);
    if (err.status) ask->err = err;
    for (int i = 0; l->filters[i].name; i++)
        if (which & 1u << i) add_value(ask, &l->filters[i], request_query(req, l->filters[i].name));
    page_send(ask);
}
