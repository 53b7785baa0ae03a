#include "server/api/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const job_states[] = { "queued",    "starting", "running",   "pausing", "paused",
                                   "succeeded", "failed",   "cancelled", NULL };

/* What decides which statement a request takes. */
struct choice {
    unsigned filters; /* a bit each */
    int state;        /* of job_states, -1: any */
    bool up;
    int most; /* page_most */
};

struct listing_made {
    struct choice choice;
    char *sql;
    struct listing_made *next;
};

static bool is_state(const struct listing_filter *f) { return f->words == job_states; }

static void put_filter(struct buf *sql, const struct listing_filter *f, int state, int *next)
{
    const char *at = strchr(f->sql, '@');
    buf_printf(sql, " and %.*s", (int)(at - f->sql), f->sql);
    if (is_state(f))
        buf_printf(sql, "'%s'", job_states[state]);
    else
        buf_printf(sql, "$%d", (*next)++);
    buf_puts(sql, at + 1);
}

static char *make(const struct listing *l, const struct choice *c)
{
    struct buf sql;
    size_t len;
    int next = 3;
    buf_init(&sql, 32768);
    buf_printf(&sql, "select * from (select %s as _key, %s from %s where %s %c $1", l->key,
               l->columns, l->from, l->key, c->up ? '>' : '<');
    if (l->where) buf_printf(&sql, " and %s", l->where);
    for (int i = 0; l->filters[i].name; i++)
        if (c->filters & 1u << i) put_filter(&sql, &l->filters[i], c->state, &next);
    buf_printf(&sql, " order by %s%s limit %d) page limit $2", l->key, c->up ? "" : " desc",
               c->most);
    return buf_detach(&sql, &len);
}

/* Statements are prepared by their address, so each is made once and stays. */
static const char *sql_of(struct listing *l, const struct choice *c)
{
    struct listing_made *m = l->made;
    while (m && (m->choice.filters != c->filters || m->choice.state != c->state ||
                 m->choice.up != c->up || m->choice.most != c->most))
        m = m->next;
    if (m) return m->sql;
    m = malloc(sizeof *m);
    if (!m) abort();
    *m = (struct listing_made){ *c, make(l, c), l->made };
    l->made = m;
    return m->sql;
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
    if (!is_state(f)) ask_text(ask, value);
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

/* An unknown state is refused later; until then it is the first. */
static void choose(struct choice *c, struct request *req, const struct listing *l)
{
    for (int i = 0; l->filters[i].name; i++) {
        const char *value = request_query(req, l->filters[i].name);
        if (!value) continue;
        c->filters |= 1u << i;
        if (!is_state(&l->filters[i])) continue;
        for (c->state = 0; job_states[c->state] && strcmp(job_states[c->state], value);) c->state++;
        if (!job_states[c->state]) c->state = 0;
    }
}

void listing_send(struct request *req, struct listing *l)
{
    struct error err = { 0 };
    struct choice c = { .state = -1, .up = is_up(req, l, &err), .most = page_most(req) };
    choose(&c, req, l);
    struct ask *ask = page_new(req, sql_of(l, &c), c.up ? "0" : PAGE_NEWEST);
    if (err.status) ask->err = err;
    for (int i = 0; l->filters[i].name; i++)
        if (c.filters & 1u << i)
            add_value(ask, &l->filters[i], request_query(req, l->filters[i].name));
    page_send(ask);
}
