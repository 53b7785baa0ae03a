/* state.json: everything in a checkpoint but removals and tensors (checkpoint.h). */
#include "trainer/checkpoint_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/field.h"

static const char *const schemas[] = { "lathe.checkpoint/1", NULL };

/* ---- writing -------------------------------------------------------------------------- */

static void emit_feed(const struct checkpoint *cp, struct emit *e)
{
    emit_key(e, "feed");
    emit_begin(e, '{');
    emit_kv_int(e, "samples", (int64_t)cp->samples);
    emit_key(e, "taken");
    emit_begin(e, '[');
    for (int d = 0; d < cp->n_domains; d++) emit_int(e, (int64_t)cp->taken[d]);
    emit_end(e);
    emit_key(e, "weights");
    emit_begin(e, '[');
    for (int d = 0; d < cp->n_domains; d++) emit_double(e, cp->weight[d]);
    emit_end(e);
    emit_end(e);
}

void checkpoint_emit(const struct checkpoint *cp, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_string(e, "schema", schemas[0]);
    emit_kv_int(e, "step", cp->step);
    emit_kv_int(e, "tokens", cp->tokens);
    emit_kv_double(e, "loss", cp->loss);
    emit_kv_string(e, "identity", cp->identity);
    emit_key(e, "capacity");
    shape_emit(&cp->capacity, e);
    emit_key(e, "shape");
    shape_emit(&cp->shape, e);
    emit_feed(cp, e);
    emit_kv_int(e, "scores", cp->n_scores);
    emit_kv_double(e, "scores_weight", cp->scores_weight);
    emit_end(e);
}

/* ---- reading ---------------------------------------------------------------------------- */

static void read_shape(struct shape *shape, struct field *f, const char *key)
{
    struct field child;
    if (field_object(f, key, &child))
        shape_read(shape, &child);
    else
        field_fail(f, key, "is missing");
}

static void read_feed(struct checkpoint *cp, struct field *root)
{
    struct field f, taken, weights;
    if (!field_object(root, "feed", &f)) {
        field_fail(root, "feed", "is missing");
        return;
    }
    cp->samples = (uint64_t)field_int(&f, "samples", 0, INT64_MAX);
    cp->n_domains = (int)field_array(&f, "taken", DATASET_MAX_DOMAINS, &taken);
    int n = (int)field_array(&f, "weights", DATASET_MAX_DOMAINS, &weights);
    if (n != cp->n_domains) field_fail(&f, "weights", "are not as many as taken");
    for (int d = 0; d < cp->n_domains && d < n; d++) {
        cp->taken[d] = (uint64_t)field_item_int(&taken, (size_t)d, 0, INT64_MAX);
        cp->weight[d] = field_item_double(&weights, (size_t)d, 0, 1);
    }
    field_end(&f);
}

static enum status read_state(struct checkpoint *cp, struct field *root)
{
    field_choice(root, "schema", schemas);
    cp->step = field_int(root, "step", 0, INT64_MAX);
    cp->tokens = field_int(root, "tokens", 0, INT64_MAX);
    cp->loss = field_has(root, "loss") ? field_double(root, "loss", -1e308, 1e308) : NAN;
    const char *identity = field_string(root, "identity", CHECKPOINT_MAX_STATE);
    read_shape(&cp->capacity, root, "capacity");
    read_shape(&cp->shape, root, "shape");
    read_feed(cp, root);
    cp->n_scores = field_int(root, "scores", 0, INT64_C(1) << 32);
    cp->scores_weight = field_double(root, "scores_weight", 0, 1e18);
    if (field_end(root)) return root->err->status;
    cp->identity = strdup(identity);
    if (!cp->identity) abort();
    return OK;
}

enum status checkpoint_parse(struct checkpoint *out, const char *text, size_t len,
                             struct error *err)
{
    struct field root;
    *out = (struct checkpoint){ 0 };
    json_t *json = field_parse(text, len, err);
    if (!json) return err->status;
    field_root(&root, json, err);
    if (!err->status) read_state(out, &root);
    json_decref(json);
    return err->status;
}
