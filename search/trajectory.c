#include "search/trajectory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- entries ------------------------------------------------------------------------------ */

/* Entries that a touched or frozen layer has in the arrays. */
static int entries_of_layer(const struct removal *r, const struct shape *before, int l)
{
    bool queries = r->type == GROUP_HEADS && r->unit == HEAD_UNIT_QUERY;
    return queries ? before->layer[l].kv_heads : 1;
}

int removal_of_layer(const struct removal *r, const struct shape *before, int l, int *first)
{
    *first = 0;
    if (r->type == GROUP_STEM) return l == 0;
    if (r->layer >= 0) return l == r->layer ? r->n : 0;
    for (int i = 0; i < l; i++) *first += entries_of_layer(r, before, i);
    return r->position[*first] < 0 ? 0 : entries_of_layer(r, before, l);
}

static int entries_wanted(const struct removal *r, const struct shape *before)
{
    if (r->type == GROUP_STEM) return 1;
    if (r->layer >= 0) return entries_of_layer(r, before, r->layer);
    int n = 0;
    for (int l = 0; l < before->n_layers; l++) n += entries_of_layer(r, before, l);
    return n;
}

/* ---- fits? --------------------------------------------------------------------------------- */

/* Positions that entry i of layer l may have: from *low, *n of them. */
static void range_of_entry(const struct removal *r, const struct shape *s, int l, int i, int *low,
                           int *n)
{
    *low = 0;
    *n = group_count(s, r->type, r->unit, l);
    if (r->type == GROUP_HEADS && r->unit == HEAD_UNIT_QUERY) *low = i * *n;
}

static enum status check_layer(const struct removal *r, const struct shape *s, int l, int first,
                               int n, struct error *err)
{
    for (int i = 0; i < n; i++) {
        int low, count, position = r->position[first + i];
        range_of_entry(r, s, l, i, &low, &count);
        if (count < 2)
            return fail(err, E_CONFLICT, "it would leave layer %d without %s", l,
                        group_names[r->type]);
        if (position < low || position >= low + count)
            return fail(err, E_CONFLICT, "position %d of layer %d is outside %d..%d", position, l,
                        low, low + count - 1);
    }
    return OK;
}

enum status removal_check(const struct removal *r, const struct shape *before, struct error *err)
{
    if (r->layer < -1 || r->layer >= before->n_layers || (r->type == GROUP_STEM && r->layer >= 0))
        return fail(err, E_CONFLICT, "a removal of %s has no layer %d here", group_names[r->type],
                    r->layer);
    int want = entries_wanted(r, before), touched = 0;
    if (r->n != want) return fail(err, E_CONFLICT, "it has %d positions, not %d", r->n, want);
    for (int i = 0; i < r->n; i++)
        if ((r->position[i] < 0) != (r->source_index[i] < 0))
            return fail(err, E_CONFLICT, "entry %d names position %d but index %d", i,
                        r->position[i], r->source_index[i]);
    for (int l = 0; l < before->n_layers; l++) {
        int first, n = removal_of_layer(r, before, l, &first);
        TRY(check_layer(r, before, l, first, n, err));
        touched += n;
    }
    if (!touched) return fail(err, E_CONFLICT, "it removes nothing");
    return OK;
}

void removal_shrink(const struct removal *r, struct shape *shape)
{
    if (r->type == GROUP_STEM) {
        shape->hidden_size--;
        return;
    }
    const struct shape before = *shape;
    for (int l = 0; l < shape->n_layers; l++) {
        int first;
        struct layer_shape *layer = &shape->layer[l];
        if (!removal_of_layer(r, &before, l, &first)) continue;
        if (r->type == GROUP_FFN) {
            layer->ffn--;
        } else if (r->unit == HEAD_UNIT_QUERY) {
            layer->q_heads -= layer->kv_heads;
        } else {
            layer->q_heads -= layer->q_heads / layer->kv_heads;
            layer->kv_heads--;
        }
    }
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void emit_ints(struct emit *e, const char *key, const int *values, int n)
{
    emit_key(e, key);
    emit_begin(e, '[');
    for (int i = 0; i < n; i++) emit_int(e, values[i]);
    emit_end(e);
}

void removal_emit(const struct removal *r, struct emit *e)
{
    emit_kv_int(e, "ordinal", r->ordinal);
    emit_kv_int(e, "step", r->step);
    emit_kv_int(e, "tokens", r->tokens);
    emit_kv_string(e, "type", group_names[r->type]);
    if (r->type == GROUP_HEADS && r->unit == HEAD_UNIT_QUERY) emit_kv_string(e, "unit", "query");
    emit_kv_int(e, "layer", r->layer);
    emit_ints(e, "position", r->position, r->n);
    emit_ints(e, "index", r->source_index, r->n);
    emit_key(e, "min_score");
    emit_begin(e, '{');
    for (int t = 0; t < GROUP_TYPES; t++) emit_kv_double(e, group_names[t], r->min_score[t]);
    emit_end(e);
    emit_kv_double(e, "runner_up", r->runner_up);
    emit_kv_int(e, "params", r->params);
    emit_kv_string(e, "shape_hash", r->shape_hash);
}

static int read_ints(struct field *f, const char *key, int *out)
{
    struct field array;
    int n = (int)field_array(f, key, REMOVAL_MAX, &array);
    for (int i = 0; i < n; i++) out[i] = (int)field_item_int(&array, (size_t)i, -1, SHAPE_MAX_FFN);
    return n;
}

static void read_scores(struct removal *r, struct field *f)
{
    struct field scores;
    if (!field_object(f, "min_score", &scores)) return;
    for (int t = 0; t < GROUP_TYPES; t++)
        r->min_score[t] = field_double_or(&scores, group_names[t], -INFINITY, INFINITY, NAN);
    field_end(&scores);
}

enum status removal_read(struct removal *r, struct field *f)
{
    *r = (struct removal){ .min_score = { NAN, NAN, NAN } };
    r->ordinal = (int)field_int(f, "ordinal", 1, INT32_MAX);
    r->step = field_int(f, "step", 0, INT64_MAX);
    r->tokens = field_int(f, "tokens", 0, INT64_MAX);
    r->type = (enum group_type)field_choice(f, "type", group_names);
    r->unit = (enum head_unit)field_choice_or(f, "unit", head_unit_names, HEAD_UNIT_KV_GROUP);
    r->layer = (int)field_int(f, "layer", -1, SHAPE_MAX_LAYERS - 1);
    r->n = read_ints(f, "position", r->position);
    if (read_ints(f, "index", r->source_index) != r->n)
        field_fail(f, "index", "has not as many elements as position");
    read_scores(r, f);
    r->runner_up = field_double_or(f, "runner_up", -INFINITY, INFINITY, NAN);
    r->params = field_int(f, "params", 1, INT64_MAX);
    const char *hash = field_string(f, "shape_hash", HASH_HEX - 1);
    snprintf(r->shape_hash, sizeof r->shape_hash, "%s", hash ? hash : "");
    return f->err->status;
}
