#include "server/api/action.h"

#include <string.h>
#include "server/api/create.h"

static void asked(struct ask *ask, const PGresult *rows)
{
    const struct action *action = ask->data;
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    struct ask *next = ask_new(ask->req, action->select, ask_one);
    ask_text(next, ask->params[0]);
    ask_send(next);
}

const char *action_seen(struct request *req)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyz0123456789.*";
    const char *text = request_header(req, "If-Match");
    if (!text) return NULL;
    char *list = request_alloc(req, strlen(text) + 3, 1);
    size_t n = 0;
    list[n++] = '{';
    for (; *text; text += strcspn(text, ","), text += *text == ',') {
        text += strspn(text, " \t");
        if (!strncmp(text, "W/", 2)) text += 2;
        text += *text == '"';
        size_t len = strspn(text, fine);
        if (!len) continue;
        if (n > 1) list[n++] = ',';
        memcpy(list + n, text, len);
        n += len;
    }
    list[n] = '}';
    return list;
}

/* No body, or an object without members. */
static bool takes_nothing(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return false;
    if (!field_end(&body)) return true;
    reply_invalid(req, &err);
    return false;
}

void action_send(struct request *req, const struct action *action, const char *wish)
{
    if (!takes_nothing(req)) return;
    struct ask *ask = ask_new(req, action->ask, asked);
    struct action *copy = request_new(req, struct action);
    *copy = *action;
    ask->data = copy;
    ask_id(ask, action->prefix, action->what, request_param(req, "id"));
    ask_text(ask, wish);
    if (strstr(action->ask, "$3")) ask_text(ask, action_seen(req));
    ask_send(ask);
}
