#include "server/api/subject.h"

#include <stdio.h>
#include <string.h>
#include "server/api/create.h"
#include "server/api/replay.h"

const char *const subject_members[] = { "run", "architecture", "model", NULL };

static const char *const prefixes[] = { "run", "arch", "mod" };

/* One statement a kind, with the same columns. */
static const char *const selects[] = {
    "select r.shape, null, null, r.shape_hash, j.state = 'succeeded', j.state, ''"
    " from run r join job j using (job_id) where r.run_id = $1",

    "select " REPLAY_SOURCE ", " REPLAY_OPTIONS ", " REPLAY_COUNTS(
        "a.search_id", "0", "a.ordinal") ", a.shape_hash, a.snapshot is not null, '',"
                                         " coalesce(kept_near(a.search_id, a.ordinal), '')"
                                         " from architecture a left join search s using (search_id)"
                                         " where a.architecture_id = $1",

    "select m.shape, null, null, m.shape_hash, j.state = 'succeeded', j.state, ''"
    " from model m join job j using (job_id) where m.model_id = $1",
};

enum { SHAPE, OPTIONS, COUNTS, HASH, WEIGHTS, STATE, NEAREST };

void subject_read(struct subject *s, struct field *body)
{
    int n = 0;
    for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
        const char *number = create_id_or_null(body, subject_members[kind], prefixes[kind]);
        if (!number) continue;
        s->kind = (enum subject_kind)kind;
        s->number = number;
        n++;
    }
    if (n > 1)
        field_fail(body, subject_members[s->kind],
                   "is one too many: name one of run, architecture and model");
    if (n < 1)
        field_fail(body, "run",
                   "is missing, and so are architecture and model: one of them says of what");
}

static enum status take_shape(struct subject *s, const PGresult *rows, struct error *err)
{
    struct replay replay;
    const char *text = pg_text(rows, 0, SHAPE);
    if (s->kind != SUBJECT_ARCHITECTURE) return shape_parse(&s->shape, text, strlen(text), err);
    TRY(replay_open(&replay, text, pg_text(rows, 0, OPTIONS), err));
    TRY(replay_apply(&replay, pg_text(rows, 0, COUNTS), pg_text(rows, 0, HASH), err));
    s->shape = replay.shape;
    return OK;
}

static enum status take(struct subject *s, const PGresult *rows, struct error *err)
{
    const char *member = subject_members[s->kind];
    if (!PQntuples(rows)) {
        fail(err, E_INPUT, "there is no %s %s_%s", member, prefixes[s->kind], s->number);
        snprintf(err->pointer, sizeof err->pointer, "/%s", member);
        return E_INPUT;
    }
    s->has_weights = pg_bool(rows, 0, WEIGHTS);
    s->state = request_strdup(s->req, pg_text(rows, 0, STATE));
    s->nearest = request_strdup(s->req, pg_text(rows, 0, NEAREST));
    if (pg_null(rows, 0, SHAPE))
        return fail(err, E_CONFLICT, "%s_%s is %s: its shape is not known", prefixes[s->kind],
                    s->number, s->state);
    return take_shape(s, rows, err);
}

static void got(struct ask *ask, const PGresult *rows)
{
    struct subject *s = ask->data;
    struct error err = { 0 };
    if (take(s, rows, &err))
        reply_invalid(s->req, &err);
    else
        s->found(s);
}

void subject_find(struct subject *s)
{
    struct ask *ask = ask_new(s->req, selects[s->kind], got);
    ask->data = s;
    ask_text(ask, s->number);
    ask_send(ask);
}

void subject_refuse(const struct subject *s)
{
    struct error err = { 0 };
    if (s->kind != SUBJECT_ARCHITECTURE)
        fail(&err, E_CONFLICT, "%s_%s is %s; it has weights once it has succeeded",
             prefixes[s->kind], s->number, s->state);
    else
        fail(&err, E_CONFLICT, "arch_%s has no weights; %s%s", s->number,
             *s->nearest ? "the nearest that were kept are "
                         : "none were kept: ask its search for snapshots, or train it with a run",
             s->nearest);
    snprintf(err.pointer, sizeof err.pointer, "/%s", subject_members[s->kind]);
    reply_error(s->req, &err);
}

void subject_emit(const struct subject *s, struct emit *e)
{
    static const char *const columns[] = { "run_id", "architecture_id", "model_id" };
    char hash[HASH_HEX];
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        emit_kv_string(e, columns[kind], (int)s->kind == kind ? s->number : NULL);
    shape_hash(&s->shape, hash);
    emit_kv_string(e, "shape_hash", hash);
}
