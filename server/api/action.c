#include "server/api/action.h"

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

void action_send(struct request *req, const struct action *action, const char *wish)
{
    struct ask *ask = ask_new(req, action->ask, asked);
    struct action *copy = request_new(req, struct action);
    *copy = *action;
    ask->data = copy;
    ask_id(ask, action->prefix, action->what, request_param(req, "id"));
    ask_text(ask, wish);
    ask_send(ask);
}
