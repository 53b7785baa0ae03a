#include "server/api/origin.h"

#include <stdio.h>
#include <string.h>

static const char select_origin[] =
    "select a.architecture_id, " REPLAY_SOURCE ", " REPLAY_OPTIONS ", " REPLAY_COUNTS(
        "a.search_id", "0",
        "a.ordinal") ", a.shape_hash, s.spec -> 'recipe', a.tokens,"
                     " a.snapshot is not null,"
                     " (select string_agg(format('arch_%s (ratio %s)', n.architecture_id, "
                     "round(n.ratio::numeric, 3)), ', '"
                     "    order by n.ratio) from (select k.architecture_id, k.ratio from "
                     "architecture k"
                     "    where k.search_id = a.search_id and k.snapshot is not null"
                     "    order by abs(k.ordinal - a.ordinal) limit 4) n),"
                     " d.dataset_id, d.vocab_size, j.state"
                     " from (values (1)) one left join architecture a on a.architecture_id = $1"
                     " left join search s on s.search_id = a.search_id"
                     " left join dataset d on d.dataset_id = coalesce($2, s.dataset_id)"
                     " left join job j on j.job_id = d.job_id";

enum {
    ARCHITECTURE,
    SOURCE,
    OPTIONS,
    COUNTS,
    HASH,
    RECIPE,
    TOKENS,
    KEPT,
    NEAREST,
    DATASET,
    VOCAB,
    STATE
};

static enum status refuse(struct error *err, const char *pointer, const char *text)
{
    fail(err, E_INPUT, "%s", text);
    snprintf(err->pointer, sizeof err->pointer, "%s", pointer);
    return E_INPUT;
}

static enum status check_dataset(const PGresult *rows, struct error *err)
{
    const char *state = pg_text(rows, 0, STATE);
    if (pg_null(rows, 0, DATASET)) return refuse(err, "/dataset", "there is no such data set");
    if (strcmp(state, "failed") && strcmp(state, "cancelled")) return OK;
    return fail(err, E_CONFLICT, "data_%s is %s", pg_text(rows, 0, DATASET), state);
}

static enum status take(struct origin *o, const PGresult *rows, struct error *err)
{
    o->has_architecture = !pg_null(rows, 0, ARCHITECTURE);
    if (o->architecture && !o->has_architecture)
        return refuse(err, "/architecture", "there is no such architecture");
    TRY(check_dataset(rows, err));
    o->data_id = request_strdup(o->req, pg_text(rows, 0, DATASET));
    o->vocab_size = (int)pg_int(rows, 0, VOCAB);
    if (!o->has_architecture) return OK;
    o->recipe = pg_null(rows, 0, RECIPE) ? NULL : request_strdup(o->req, pg_text(rows, 0, RECIPE));
    o->search_tokens = pg_int(rows, 0, TOKENS);
    o->has_weights = pg_bool(rows, 0, KEPT);
    o->nearest = request_strdup(o->req, pg_text(rows, 0, NEAREST));
    TRY(replay_open(&o->replay, pg_text(rows, 0, SOURCE), pg_text(rows, 0, OPTIONS), err));
    return replay_apply(&o->replay, pg_text(rows, 0, COUNTS), pg_text(rows, 0, HASH), err);
}

static void got(struct ask *ask, const PGresult *rows)
{
    struct origin *o = ask->data;
    struct error err = { 0 };
    if (take(o, rows, &err))
        reply_invalid(o->req, &err);
    else
        o->found(o);
}

void origin_find(struct origin *o)
{
    struct ask *ask = ask_new(o->req, select_origin, got);
    ask->data = o;
    ask_text(ask, o->architecture);
    ask_text(ask, o->dataset);
    ask_send(ask);
}

void origin_refuse_inherit(const struct origin *o, const char *pointer)
{
    struct error err = { 0 };
    fail(&err, E_CONFLICT, "arch_%s has no weights; %s%s", o->architecture,
         *o->nearest ? "the nearest that were kept are "
                     : "its search kept none: ask for snapshots",
         o->nearest);
    snprintf(err.pointer, sizeof err.pointer, "%s", pointer);
    reply_error(o->req, &err);
}

bool origin_vocabulary_fits(const struct origin *o, const struct shape *shape)
{
    struct error err = { 0 };
    char text[160];
    if (o->vocab_size <= shape->vocab_size) return true;
    snprintf(text, sizeof text, "vocab_size is %d, too few for the %d tokens of data_%s",
             shape->vocab_size, o->vocab_size, o->data_id);
    refuse(&err, "/dataset", text);
    reply_invalid(o->req, &err);
    return false;
}
