#include <stdio.h>
#include <string.h>
#include "search/cost.h"
#include "search/search.h"
#include "server/api/api.h"
#include "server/api/create.h"
#include "server/api/estimate.h"
#include "server/api/recipe.h"
#include "server/api/replay.h"
#include "server/api/searches.h"

static const char find_parts[] =
    "select d.vocab_size, dj.state, m.shape, mj.state,"
    " a.snapshot is not null, " REPLAY_SOURCE ", " REPLAY_OPTIONS ", " REPLAY_COUNTS(
        "a.search_id", "0", "a.ordinal") ", a.shape_hash, a.architecture_id"
                                         "  from (values (1)) one"
                                         "  left join dataset d on d.dataset_id = $1 left join job "
                                         "dj on dj.job_id = d.job_id"
                                         "  left join model m on m.model_id = $2 left join job mj "
                                         "on mj.job_id = m.job_id"
                                         "  left join architecture a on a.architecture_id = $3"
                                         "  left join search s on s.search_id = a.search_id";

static const struct creation creation = {
    .create = "select search_create($1::jsonb)",
    .select = search_select,
    .prefix = "srch",
    .path = "/v1/searches",
};

enum { VOCAB, DATA_STATE, SHAPE, MODEL_STATE, KEPT, SOURCE, OPTIONS, COUNTS, HASH, ARCHITECTURE };

struct brief {
    const char *name, *dataset;
    const char *model, *architecture; /* numbers; both NULL: shape */
    struct shape shape;
    int64_t train_tokens, recover_tokens;
    struct search_options options;
    struct training training;
    bool dry_run;
};

/* ---- reading ----------------------------------------------------------------------- */

static void read_source(struct brief *b, struct field *body)
{
    struct field source, shape, train;
    bool trained = false;
    if (!field_object(body, "source", &source)) {
        field_fail(body, "source", "is missing");
        return;
    }
    b->model = create_id_or_null(&source, "model", "mod");
    b->architecture = create_id_or_null(&source, "architecture", "arch");
    bool given = b->model || b->architecture;
    if (b->model && b->architecture)
        field_fail(&source, "architecture", "cannot be given together with a model");
    if (field_object(&source, "shape", &shape)) {
        if (given) field_fail(&source, "shape", "cannot be given together with weights");
        shape_read(&b->shape, &shape);
    } else if (!given) {
        field_fail(&source, NULL, "needs a shape, a model or an architecture");
    }
    if (field_object(&source, "train", &train)) {
        trained = true;
        b->train_tokens = field_int(&train, "tokens", 0, INT64_C(1) << 50);
        field_end(&train);
    }
    if (!trained && !given)
        field_fail(&source, "train", "is missing: how many tokens the source trains on");
    field_end(&source);
}

/* The options are members of the body, beside others; search_options_read wants them alone. */
static void read_options(struct brief *b, struct field *body)
{
    static const char *const keys[] = { "space",    "criterion", "update",
                                        "schedule", "stop",      "snapshots" };
    json_t *alone = json_object();
    struct field f;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = field_json(body, keys[i]);
        if (value) json_object_set(alone, keys[i], value);
    }
    search_options_init(&b->options);
    field_root(&f, alone, body->err);
    search_options_read(&b->options, &f);
    json_decref(alone);
}

static void read_recovery(struct brief *b, struct field *body)
{
    struct field recover;
    if (!field_object(body, "recover", &recover)) return;
    b->recover_tokens = field_int(&recover, "tokens", 0, INT64_C(1) << 50);
    field_end(&recover);
}

static enum status read_body(struct brief *b, struct field *body)
{
    b->name = create_name(body, "search");
    b->dataset = create_id(body, "dataset", "data");
    read_source(b, body);
    read_options(b, body);
    read_recovery(b, body);
    training_read(&b->training, body, true);
    training_refuse_lora(&b->training, body,
                         "is for runs with init inherit, of an architecture that a search found");
    return field_end(body);
}

/* ---- checking ---------------------------------------------------------------------- */

static enum status point(struct error *err, const char *pointer)
{
    if (!*err->pointer) snprintf(err->pointer, sizeof err->pointer, "%s", pointer);
    return err->status;
}

static enum status check_data(const struct brief *b, const PGresult *rows, struct error *err)
{
    const char *state = pg_text(rows, 0, DATA_STATE);
    if (!*state) {
        fail(err, E_INPUT, "there is no data set data_%s", b->dataset);
        return point(err, "/dataset");
    }
    if (strcmp(state, "failed") && strcmp(state, "cancelled")) return OK;
    return fail(err, E_CONFLICT, "data_%s is %s", b->dataset, state);
}

static enum status take_model(struct brief *b, const PGresult *rows, struct error *err)
{
    const char *state = pg_text(rows, 0, MODEL_STATE), *shape = pg_text(rows, 0, SHAPE);
    if (!*state) {
        fail(err, E_INPUT, "there is no model mod_%s", b->model);
        return point(err, "/source/model");
    }
    if (strcmp(state, "succeeded"))
        return fail(err, E_CONFLICT,
                    "mod_%s is %s; a search can start from it once it has succeeded", b->model,
                    state);
    return shape_parse(&b->shape, shape, strlen(shape), err);
}

static enum status take_architecture(struct brief *b, const PGresult *rows, struct error *err)
{
    struct replay replay;
    if (pg_null(rows, 0, ARCHITECTURE)) {
        fail(err, E_INPUT, "there is no architecture arch_%s", b->architecture);
        return point(err, "/source/architecture");
    }
    if (!pg_bool(rows, 0, KEPT))
        return fail(err, E_CONFLICT, "arch_%s has no weights to start from", b->architecture);
    TRY(replay_open(&replay, pg_text(rows, 0, SOURCE), pg_text(rows, 0, OPTIONS), err));
    TRY(replay_apply(&replay, pg_text(rows, 0, COUNTS), pg_text(rows, 0, HASH), err));
    b->shape = replay.shape;
    return OK;
}

static enum status check_parts(struct brief *b, const PGresult *rows, struct error *err)
{
    TRY(check_data(b, rows, err));
    if (b->model) return take_model(b, rows, err);
    return b->architecture ? take_architecture(b, rows, err) : OK;
}

static enum status check_vocabulary(const struct brief *b, int64_t tokens, struct error *err)
{
    if (tokens <= b->shape.vocab_size) return OK;
    fail(err, E_INPUT, "source/shape/vocab_size is %d, too few for the %lld tokens of data_%s",
         b->shape.vocab_size, (long long)tokens, b->dataset);
    return point(err, b->model          ? "/source/model"
                      : b->architecture ? "/source/architecture"
                                        : "/source/shape/vocab_size");
}

static enum status check_search(struct brief *b, struct search *search, struct error *err)
{
    int64_t per_step = recipe_tokens_per_step(&b->training.recipe);
    search_source(&b->options, &b->shape);
    b->options.tokens_per_step = per_step;
    b->options.start_step = (b->train_tokens + per_step - 1) / per_step;
    if (search_open(search, &b->shape, &b->options, (uint64_t)b->training.seed, err))
        return point(err, !strncmp(err->text, "stop", 4) ? "/stop" : "/space");
    return OK;
}

/* ---- writing ----------------------------------------------------------------------- */

static void emit_tokens(struct emit *e, const char *key, int64_t tokens)
{
    emit_key(e, key);
    emit_begin(e, '{');
    emit_kv_int(e, "tokens", tokens);
    emit_end(e);
}

static void emit_widths(const struct shape *shape, struct emit *e)
{
    emit_kv_int(e, "hidden", shape->hidden_size);
    emit_kv_int(e, "head_dim", shape->head_dim);
    emit_key(e, "q_heads"), emit_begin(e, '[');
    for (int l = 0; l < shape->n_layers; l++) emit_int(e, shape->layer[l].q_heads);
    emit_end(e);
    emit_key(e, "kv_heads"), emit_begin(e, '[');
    for (int l = 0; l < shape->n_layers; l++) emit_int(e, shape->layer[l].kv_heads);
    emit_end(e);
    emit_key(e, "ffn"), emit_begin(e, '[');
    for (int l = 0; l < shape->n_layers; l++) emit_int(e, shape->layer[l].ffn);
    emit_end(e);
}

static void emit_spec(const struct brief *b, struct emit *e)
{
    emit_begin(e, '{');
    emit_key(e, "source");
    emit_begin(e, '{');
    emit_kv_id(e, "model", "mod", b->model);
    emit_kv_id(e, "architecture", "arch", b->architecture);
    emit_tokens(e, "train", b->train_tokens);
    emit_end(e);
    emit_tokens(e, "recover", b->recover_tokens);
    training_emit(&b->training, e);
    emit_end(e);
}

static void emit_document(const struct brief *b, struct emit *e)
{
    emit_begin(e, '{');
    training_emit(&b->training, e);
    emit_kv_int(e, "memory_bytes", estimate_memory(&b->shape, &b->training.recipe));
    if (!b->model && !b->architecture) {
        emit_key(e, "model");
        emit_begin(e, '{');
        emit_key(e, "shape");
        shape_emit(&b->shape, e);
        emit_end(e);
    }
    emit_key(e, "budget");
    emit_begin(e, '{');
    emit_kv_int(e, "tokens", b->train_tokens);
    if (b->recover_tokens) emit_kv_int(e, "recover_tokens", b->recover_tokens);
    emit_end(e);
    emit_key(e, "search");
    search_options_emit(&b->options, e);
    emit_end(e);
}

static void emit_object(const struct brief *b, struct emit *e)
{
    char hash[HASH_HEX];
    int context = (int)b->training.recipe.sequence_length;
    struct cost cost = cost_of(&b->shape, context);
    shape_hash(&b->shape, hash);
    emit_begin(e, '{');
    emit_kv_string(e, "name", b->name);
    emit_kv_string(e, "dataset_id", b->dataset);
    emit_kv_string(e, "model_id", b->model);
    emit_kv_string(e, "architecture_id", b->architecture);
    emit_kv_int(e, "seed", b->training.seed);
    emit_kv_int(e, "priority", b->training.priority);
    emit_kv_int(e, "context", context);
    emit_kv_string(e, "source_hash", hash);
    emit_key(e, "source_shape");
    shape_emit(&b->shape, e);
    emit_key(e, "totals");
    cost_emit(&cost, e);
    emit_widths(&b->shape, e);
    emit_key(e, "options");
    search_options_emit(&b->options, e);
    emit_key(e, "spec");
    emit_spec(b, e);
    emit_key(e, "document");
    emit_document(b, e);
    emit_end(e);
}

/* ---- the handler ------------------------------------------------------------------- */

static void got_parts(struct ask *ask, const PGresult *rows)
{
    struct request *req = ask->req;
    struct brief *b = ask->data;
    struct search search;
    struct error err = { 0 };
    if (check_parts(b, rows, &err) || check_vocabulary(b, pg_int(rows, 0, 0), &err) ||
        check_search(b, &search, &err)) {
        reply_invalid(req, &err);
        return;
    }
    if (b->dry_run) {
        estimate_search(req, &search, &b->training);
        search_close(&search);
        return;
    }
    search_close(&search);
    struct buf object;
    struct emit e;
    buf_init(&object, CREATE_BYTES);
    emit_init(&e, &object);
    emit_object(b, &e);
    create_send(req, &creation, &object);
}

static void create(struct request *req, json_t *json)
{
    struct error err = { 0 };
    struct field body;
    struct brief *b = request_new(req, struct brief);
    if (!create_dry_run(req, &b->dry_run)) return;
    training_init(&b->training, create_threads(req));
    field_root(&body, json, &err);
    if (read_body(b, &body)) {
        reply_invalid(req, &err);
        return;
    }
    struct ask *ask = ask_new(req, find_parts, got_parts);
    ask->data = b;
    b->name = request_strdup(req, b->name); /* the JSON of a fork goes before the request */
    ask_text(ask, b->dataset = request_strdup(req, b->dataset));
    ask_text(ask, b->model = b->model ? request_strdup(req, b->model) : NULL);
    ask_text(ask, b->architecture = b->architecture ? request_strdup(req, b->architecture) : NULL);
    ask_send(ask);
}

void search_create(struct request *req)
{
    struct error err = { 0 };
    json_t *json = request_json(req, &err);
    if (json)
        create(req, json);
    else
        reply_error(req, &err);
}

/* ---- again ------------------------------------------------------------------------- */

static const char select_body[] = "select search_body(search_id) from search where search_id = $1";

static void change(json_t *body, json_t *changes)
{
    json_t *recipe = json_object_get(body, "recipe"), *other = json_object_get(changes, "recipe");
    if (json_is_object(other) && json_is_object(recipe)) {
        json_object_update(recipe, other);
        json_object_del(changes, "recipe");
    }
    json_object_update(body, changes);
}

static void got_body(struct ask *ask, const PGresult *rows)
{
    struct error err = { 0 };
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    json_t *body = field_parse(pg_text(rows, 0, 0), strlen(pg_text(rows, 0, 0)), &err);
    json_t *changes = request_json(ask->req, &err);
    if (changes && !json_is_object(changes)) fail(&err, E_INPUT, "expected a JSON object");
    if (err.status) {
        reply_error(ask->req, &err);
    } else {
        change(body, changes);
        create(ask->req, body);
    }
    json_decref(body);
}

void search_fork(struct request *req)
{
    struct ask *ask = ask_new(req, select_body, got_body);
    ask_id(ask, "srch", "search", request_param(req, "id"));
    ask_send(ask);
}
