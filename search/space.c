#include "search/space.h"

#include <string.h>

const char *const scope_names[] = { "uniform", "per_layer", NULL };
static const char *const index_names[] = { "own", "shared", NULL };

void space_init(struct space *space)
{
    *space = (struct space){ .types = { true, true, true }, .last_layer = -1 };
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static int type_named(const char *name)
{
    for (int t = 0; t < GROUP_TYPES; t++)
        if (!strcmp(group_names[t], name)) return t;
    return -1;
}

static void read_types(struct space *space, struct field *f)
{
    struct field array;
    if (!field_has(f, "types")) return;
    size_t n = field_array(f, "types", GROUP_TYPES, &array);
    memset(space->types, 0, sizeof space->types);
    if (!n) field_fail(f, "types", "names no type; known are heads, ffn, stem");
    for (size_t i = 0; i < n; i++) {
        const char *name = field_item_string(&array, i, 16);
        int t = name ? type_named(name) : 0;
        if (t < 0)
            field_fail(f, "types", "'%s' is not one of: heads, ffn, stem", name);
        else
            space->types[t] = true;
    }
}

static void read_floors(struct space *space, struct field *f)
{
    struct field floors;
    if (!field_object(f, "floors", &floors)) return;
    for (int t = 0; t < GROUP_TYPES; t++)
        space->floors[t] = (int)field_int_or(&floors, group_names[t], 1, SHAPE_MAX_FFN, 0);
    field_end(&floors);
}

static void read_layer_floors(struct space *space, struct field *f)
{
    struct field array, item;
    size_t n = field_array(f, "layer_floors", SHAPE_MAX_LAYERS, &array);
    for (size_t i = 0; i < n; i++) {
        if (!field_item_object(&array, i, &item)) return;
        int64_t l = field_int(&item, "layer", 0, SHAPE_MAX_LAYERS - 1);
        for (int t = GROUP_HEADS; t <= GROUP_FFN; t++)
            space->layer_floors[t][l] =
                (int)field_int_or(&item, group_names[t], 1, SHAPE_MAX_FFN, 0);
        field_end(&item);
    }
}

static void read_frozen(struct space *space, struct field *f)
{
    struct field array;
    size_t n = field_array(f, "frozen_layers", SHAPE_MAX_LAYERS, &array);
    for (size_t i = 0; i < n; i++) {
        int64_t l = field_item_int(&array, i, 0, SHAPE_MAX_LAYERS - 1);
        if (!f->err->status) space->frozen[l] = true;
    }
}

static void read_range(struct space *space, struct field *f)
{
    struct field range;
    if (!field_object(f, "layers", &range)) return;
    space->first_layer = (int)field_int_or(&range, "from", 0, SHAPE_MAX_LAYERS - 1, 0);
    space->last_layer = (int)field_int_or(&range, "to", 0, SHAPE_MAX_LAYERS - 1, -1);
    if (space->last_layer >= 0 && space->last_layer < space->first_layer)
        field_fail(&range, "to", "is %d, before 'from'", space->last_layer);
    field_end(&range);
}

static void read_index(struct space *space, struct field *f)
{
    space->index = (enum layer_index)field_choice_or(f, "index", index_names, INDEX_OWN);
    if (space->index == INDEX_SHARED && space->scope != SCOPE_UNIFORM)
        field_fail(f, "index", "shared needs scope uniform");
}

enum status space_read(struct space *space, struct field *f)
{
    space_init(space);
    read_types(space, f);
    space->scope = (enum scope)field_choice_or(f, "scope", scope_names, SCOPE_UNIFORM);
    read_index(space, f);
    space->head_unit =
        (enum head_unit)field_choice_or(f, "head_unit", head_unit_names, HEAD_UNIT_KV_GROUP);
    read_floors(space, f);
    read_layer_floors(space, f);
    read_frozen(space, f);
    read_range(space, f);
    return field_end(f);
}

static void emit_floors(const struct space *space, struct emit *e)
{
    emit_key(e, "floors");
    emit_begin(e, '{');
    for (int t = 0; t < GROUP_TYPES; t++)
        if (space->floors[t]) emit_kv_int(e, group_names[t], space->floors[t]);
    emit_end(e);
}

static void emit_layer_floors(const struct space *space, struct emit *e)
{
    emit_key(e, "layer_floors");
    emit_begin(e, '[');
    for (int l = 0; l < SHAPE_MAX_LAYERS; l++) {
        if (!space->layer_floors[GROUP_HEADS][l] && !space->layer_floors[GROUP_FFN][l]) continue;
        emit_begin(e, '{');
        emit_kv_int(e, "layer", l);
        for (int t = GROUP_HEADS; t <= GROUP_FFN; t++)
            if (space->layer_floors[t][l])
                emit_kv_int(e, group_names[t], space->layer_floors[t][l]);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_range(const struct space *space, struct emit *e)
{
    if (!space->first_layer && space->last_layer < 0) return;
    emit_key(e, "layers");
    emit_begin(e, '{');
    emit_kv_int(e, "from", space->first_layer);
    if (space->last_layer >= 0) emit_kv_int(e, "to", space->last_layer);
    emit_end(e);
}

void space_emit(const struct space *space, struct emit *e)
{
    emit_begin(e, '{');
    emit_key(e, "types");
    emit_begin(e, '[');
    for (int t = 0; t < GROUP_TYPES; t++)
        if (space->types[t]) emit_string(e, group_names[t]);
    emit_end(e);
    emit_kv_string(e, "scope", scope_names[space->scope]);
    if (space->index == INDEX_SHARED) emit_kv_string(e, "index", index_names[space->index]);
    emit_kv_string(e, "head_unit", head_unit_names[space->head_unit]);
    emit_floors(space, e);
    emit_layer_floors(space, e);
    emit_key(e, "frozen_layers");
    emit_begin(e, '[');
    for (int l = 0; l < SHAPE_MAX_LAYERS; l++)
        if (space->frozen[l]) emit_int(e, l);
    emit_end(e);
    emit_range(space, e);
    emit_end(e);
}

void space_resolve(struct space *space, const struct shape *source)
{
    int last = space->last_layer < 0 ? source->n_layers - 1 : space->last_layer;
    for (int l = 0; l < source->n_layers; l++)
        if (l < space->first_layer || l > last) space->frozen[l] = true;
}

/* ---- floors -------------------------------------------------------------------------------- */

static int eighth(int n) { return (n + 7) / 8; }

int space_floor(const struct space *space, const struct shape *source, enum group_type type, int l)
{
    int count = group_count(source, type, space->head_unit, l);
    if (!space->types[type]) return count;
    if (type != GROUP_STEM) {
        if (space->frozen[l]) return count;
        if (space->layer_floors[type][l]) return space->layer_floors[type][l];
    }
    if (space->floors[type]) return space->floors[type];
    return type == GROUP_HEADS ? 1 : eighth(count);
}

static bool above_floor(const struct space *space, const struct shape *source,
                        const struct shape *shape, enum group_type type, int l)
{
    return group_count(shape, type, space->head_unit, l) > space_floor(space, source, type, l);
}

bool space_allows(const struct space *space, const struct shape *source, const struct shape *shape,
                  enum group_type type, int l)
{
    if (!space->types[type]) return false;
    if (type == GROUP_STEM || space->scope == SCOPE_PER_LAYER)
        return above_floor(space, source, shape, type, l);
    int free = 0;
    for (l = 0; l < shape->n_layers; l++) {
        if (space->frozen[l]) continue;
        if (!above_floor(space, source, shape, type, l)) return false;
        free++;
    }
    return free > 0;
}

struct shape space_smallest(const struct space *space, const struct shape *source)
{
    struct shape shape = *source;
    for (int t = 0; t < GROUP_TYPES; t++)
        for (int l = 0; l < source->n_layers; l++)
            group_set_count(&shape, t, space->head_unit, l, space_floor(space, source, t, l));
    return shape;
}

/* ---- check --------------------------------------------------------------------------------- */

static enum status check_layers_exist(const struct space *space, const struct shape *source,
                                      struct error *err)
{
    int last = space->last_layer > space->first_layer ? space->last_layer : space->first_layer;
    if (last >= source->n_layers)
        return fail(err, E_INPUT, "layers names layer %d; the source has %d layers", last,
                    source->n_layers);
    for (int l = source->n_layers; l < SHAPE_MAX_LAYERS; l++) {
        if (space->frozen[l])
            return fail(err, E_INPUT, "frozen_layers names layer %d; the source has %d layers", l,
                        source->n_layers);
        if (space->layer_floors[GROUP_HEADS][l] || space->layer_floors[GROUP_FFN][l])
            return fail(err, E_INPUT, "layer_floors names layer %d; the source has %d layers", l,
                        source->n_layers);
    }
    return OK;
}

static enum status check_floors(const struct space *space, const struct shape *source,
                                struct error *err)
{
    for (int t = 0; t < GROUP_TYPES; t++)
        for (int l = 0; l < source->n_layers; l++) {
            int count = group_count(source, t, space->head_unit, l);
            int floor = space_floor(space, source, t, l);
            if (floor > count)
                return fail(err, E_INPUT, "the floor of %s is %d; layer %d of the source has %d",
                            group_names[t], floor, l, count);
        }
    return OK;
}

static enum status check_alike(const struct space *space, const struct shape *source,
                               struct error *err)
{
    int first = -1;
    for (int l = 0; l < source->n_layers; l++) {
        if (space->frozen[l]) continue;
        if (first < 0) first = l;
        const struct layer_shape *a = &source->layer[first], *b = &source->layer[l];
        if (a->q_heads != b->q_heads || a->kv_heads != b->kv_heads || a->ffn != b->ffn)
            return fail(err, E_INPUT,
                        "scope uniform needs layers that are alike, and layer %d differs from "
                        "layer %d; freeze it or use scope per_layer",
                        l, first);
    }
    return OK;
}

/* By query a removal lists a query head per KV group: there must be room for them. */
static enum status check_entries(const struct space *space, const struct shape *source,
                                 struct error *err)
{
    int sum = 0, most = 0;
    for (int l = 0; l < source->n_layers; l++) {
        int kv = source->layer[l].kv_heads;
        sum += kv;
        most = kv > most ? kv : most;
    }
    int entries = space->scope == SCOPE_UNIFORM ? sum : most;
    if (entries > REMOVAL_MAX)
        return fail(err, E_INPUT, "head_unit query would remove %d heads at once, at most %d",
                    entries, REMOVAL_MAX);
    return OK;
}

enum status space_check(const struct space *space, const struct shape *source, struct error *err)
{
    bool layered = space->types[GROUP_HEADS] || space->types[GROUP_FFN];
    TRY(check_layers_exist(space, source, err));
    TRY(check_floors(space, source, err));
    if (layered && space->scope == SCOPE_UNIFORM) TRY(check_alike(space, source, err));
    if (space->types[GROUP_HEADS] && space->head_unit == HEAD_UNIT_QUERY)
        TRY(check_entries(space, source, err));
    for (int t = 0; t < GROUP_TYPES; t++)
        for (int l = 0; l < source->n_layers; l++)
            if (space_allows(space, source, source, t, l)) return OK;
    return fail(err, E_INPUT,
                "the space leaves nothing to remove: every type is out, frozen or "
                "at its floor");
}
