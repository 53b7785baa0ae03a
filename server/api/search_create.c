#include <stdio.h>
#include <string.h>
#include "search/cost.h"
#include "search/search.h"
#include "server/api/api.h"
#include "server/api/create.h"
#include "server/api/estimate.h"
#include "server/api/recipe.h"
#include "server/api/searches.h"

static const char find_parts[] =
    "select d.vocab_size, dj.state, m.shape, mj.state"
    "  from (values (1)) one"
    "  left join dataset d on d.dataset_id = $1 left join job dj on dj.job_id = d.job_id"
    "  left join model m on m.model_id = $2 left join job mj on mj.job_id = m.job_id";

static const struct creation creation = {
    .create = "select search_create($1::jsonb)",
    .select = search_select,
    .prefix = "srch",
    .path = "/v1/searches",
};

struct brief {
    const char *name, *dataset, *model; /* numbers; model NULL: shape */
    struct shape shape;
    int64_t train_tokens;
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
    if (field_object(&source, "shape", &shape)) {
        if (b->model) field_fail(&source, "shape", "cannot be given together with a model");
        shape_read(&b->shape, &shape);
    } else if (!b->model) {
        field_fail(&source, NULL, "needs a shape or a model");
    }
    if (field_object(&source, "train", &train)) {
        trained = true;
        b->train_tokens = field_int(&train, "tokens", 0, INT64_C(1) << 50);
        field_end(&train);
    }
    if (!trained && !b->model)
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

static enum status read_body(struct brief *b, struct field *body)
{
    b->name = create_name(body, "search");
    b->dataset = create_id(body, "dataset", "data");
    read_source(b, body);
    read_options(b, body);
    training_read(&b->training, body, true);
    return field_end(body);
}

/* ---- checking ---------------------------------------------------------------------- */

static enum status point(struct error *err, const char *pointer)
{
    if (!*err->pointer) snprintf(err->pointer, sizeof err->pointer, "%s", pointer);
    return err->status;
}

static enum status check_parts(struct brief *b, const PGresult *rows, struct error *err)
{
    if (pg_null(rows, 0, 1)) {
        fail(err, E_INPUT, "there is no data set data_%s", b->dataset);
        return point(err, "/dataset");
    }
    const char *data = pg_text(rows, 0, 1), *model = pg_text(rows, 0, 3);
    if (!strcmp(data, "failed") || !strcmp(data, "cancelled"))
        return fail(err, E_CONFLICT, "data_%s is %s", b->dataset, data);
    if (b->model && !*model) {
        fail(err, E_INPUT, "there is no model mod_%s", b->model);
        return point(err, "/source/model");
    }
    if (b->model && strcmp(model, "succeeded"))
        return fail(err, E_CONFLICT,
                    "mod_%s is %s; a search can start from it once it has succeeded", b->model,
                    model);
    if (b->model)
        TRY(shape_parse(&b->shape, pg_text(rows, 0, 2), strlen(pg_text(rows, 0, 2)), err));
    return OK;
}

static enum status check_vocabulary(const struct brief *b, int64_t tokens, struct error *err)
{
    if (tokens <= b->shape.vocab_size) return OK;
    fail(err, E_INPUT, "source/shape/vocab_size is %d, too few for the %lld tokens of data_%s",
         b->shape.vocab_size, (long long)tokens, b->dataset);
    return point(err, b->model ? "/source/model" : "/source/shape/vocab_size");
}

static enum status check_search(struct brief *b, struct search *search, struct error *err)
{
    int64_t per_step = recipe_tokens_per_step(&b->training.recipe);
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
    emit_tokens(e, "train", b->train_tokens);
    emit_end(e);
    training_emit(&b->training, e);
    emit_end(e);
}

static void emit_document(const struct brief *b, struct emit *e)
{
    emit_begin(e, '{');
    training_emit(&b->training, e);
    if (!b->model) {
        emit_key(e, "model");
        emit_begin(e, '{');
        emit_key(e, "shape");
        shape_emit(&b->shape, e);
        emit_end(e);
    }
    emit_tokens(e, "budget", b->train_tokens);
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

void search_create(struct request *req)
{
    struct error err;
    struct field body;
    if (!create_body(req, &body, &err)) return;
    struct brief *b = request_new(req, struct brief);
    training_init(&b->training, create_threads(req));
    if (!create_dry_run(req, &b->dry_run)) return;
    if (read_body(b, &body)) {
        reply_invalid(req, &err);
        return;
    }
    struct ask *ask = ask_new(req, find_parts, got_parts);
    ask->data = b;
    ask_text(ask, b->dataset);
    ask_text(ask, b->model);
    ask_send(ask);
}
