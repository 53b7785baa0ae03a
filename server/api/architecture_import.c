#include <stdlib.h>
#include <string.h>
#include "search/cost.h"
#include "search/hf_config.h"
#include "server/api/architectures.h"
#include "server/api/create.h"

/*
 * POST /v1/architectures: a shape that no search of ours made, to train, compare and convert.
 *
 *     {"name": "SmolLM2", "shape": {...}} or
 *     {"name": "SmolLM2", "config": the config.json of a Hugging Face folder: llama, qwen2, either
 *      with per_layer_config, nemotron-nas (DeciLM), openelm,
 *      "context": 2048}                    tokens of a sequence: what its costs are stated for
 */
enum { DEFAULT_CONTEXT = 2048, MAX_CONTEXT = 1 << 20 };

struct import {
    const char *name;
    struct shape shape;
    int context;
};

static const char select_imported[] =
    "select " ARCHITECTURE_LISTED ", a.shape, a.at as created_at"
    " from architecture a left join search s using (search_id) where a.architecture_id = $1";

static const struct creation creation = {
    .create = "select architecture_create($1::jsonb)",
    .select = select_imported,
    .prefix = "arch",
    .path = "/v1/architectures",
};

/* Errors of a document inside the body point into the body. */
static void put_below(struct error *err, const struct error *inner)
{
    if (err->status) return;
    fail(err, inner->status, "config%s: %s", inner->pointer, inner->text);
    snprintf(err->pointer, sizeof err->pointer, "/config%.100s", inner->pointer);
}

static void read_config(struct import *it, json_t *config, struct error *err)
{
    struct error inner = { 0 };
    const char *type = json_string_value(json_object_get(config, "model_type"));
    if (type && !strcmp(type, "openelm")) {
        struct field f;
        field_root(&f, config, &inner);
        shape_read(&it->shape, &f);
    } else {
        char *text = json_dumps(config, JSON_COMPACT);
        if (!text) abort();
        struct hf_config_extra extra = { 0 };
        hf_config_parse(&it->shape, &extra, text, strlen(text), &inner);
        if (extra.max_position > 0 && extra.max_position <= MAX_CONTEXT)
            it->context = extra.max_position;
        free(text);
    }
    if (inner.status) put_below(err, &inner);
}

static enum status read_body(struct import *it, struct field *body)
{
    struct field shape;
    it->name = create_name(body, "shape");
    it->context = DEFAULT_CONTEXT;
    json_t *config = field_json(body, "config");
    if (json_is_null(config)) config = NULL;
    bool given = field_object(body, "shape", &shape);
    if (given && config)
        field_fail(body, "config", "cannot be given together with a shape");
    else if (config && !json_is_object(config))
        field_fail(body, "config", "must be an object, the content of a config.json");
    else if (given)
        shape_read(&it->shape, &shape);
    else if (config)
        read_config(it, config, body->err);
    else
        field_fail(body, "shape",
                   "is missing, and so is config: one of them says what to bring in");
    it->context = (int)field_int_or(body, "context", 1, MAX_CONTEXT, it->context);
    return field_end(body);
}

static void emit_facts(const struct import *it, struct emit *e)
{
    char hash[HASH_HEX];
    struct cost cost = cost_of(&it->shape, it->context);
    shape_hash(&it->shape, hash);
    emit_kv_string(e, "name", it->name);
    emit_kv_string(e, "shape_hash", hash);
    emit_key(e, "totals");
    cost_emit(&cost, e);
    emit_key(e, "shape");
    shape_emit(&it->shape, e);
}

void architecture_create(struct request *req)
{
    struct error err;
    struct field body;
    struct buf out;
    struct emit e;
    bool dry_run;
    struct import it = { 0 };
    if (!create_dry_run(req, &dry_run) || !create_body(req, &body, &err)) return;
    if (read_body(&it, &body)) {
        reply_invalid(req, &err);
        return;
    }
    buf_init(&out, CREATE_BYTES);
    emit_init(&e, &out);
    emit_begin(&e, '{');
    if (dry_run)
        emit_kv_bool(&e, "dry_run", true);
    else
        emit_kv_int(&e, "context", it.context);
    emit_facts(&it, &e);
    emit_end(&e);
    if (dry_run)
        reply_buf(req, 200, &out);
    else
        create_send(req, &creation, &out);
}
