#include "trainer/surgery.h"

#include <stdlib.h>
#include <string.h>

/* What a removal moves, collected so that a device does it all at once. */
struct moves {
    struct move *move;
    int n, room;
};

static void moves_add(struct moves *moves, struct view to, struct view from)
{
    if (moves->n == moves->room) {
        moves->room = moves->room ? 2 * moves->room : 256;
        moves->move = realloc(moves->move, (size_t)moves->room * sizeof *moves->move);
        if (!moves->move) abort();
    }
    moves->move[moves->n++] = (struct move){ to, from };
}

/* One unit to take out of an axis: in a layer, or (-1) the stem. Its place is counted in units;
 * for heads cut by query `hole` counts query heads and group r of them is closed up. */
struct cut {
    enum group_type type;
    bool query;
    int layer, hole, count;
    struct moves *moves;
};

static bool touches(const struct cut *cut, const struct slot *slot, enum slot_axis axis)
{
    if (cut->type == GROUP_STEM) return axis == AXIS_STEM;
    if (slot->layer != cut->layer) return false;
    if (cut->type == GROUP_FFN) return axis == AXIS_FFN;
    return axis == AXIS_Q || (axis == AXIS_KV && !cut->query);
}

/* `n` rows (or columns) of a tensor from the n-th unit of `span`. */
static struct view unit_of(struct view whole, bool rows, int unit, int span)
{
    return rows ? view_rows(whole, unit * span, span) : view_cols(whole, unit * span, span);
}

static void move(struct backend *be, struct view whole, bool rows, int span, int to, int from)
{
    if (to != from) be->copy(be, unit_of(whole, rows, to, span), unit_of(whole, rows, from, span));
}

/* The last query head of every KV group goes: what is behind it closes up. */
static void close_up(struct model *model, struct view whole, bool rows, int layer)
{
    const struct shape *shape = model_shape(model);
    int kv = shape->layer[layer].kv_heads, r = shape->layer[layer].q_heads / kv;
    for (int g = 1; g < kv; g++)
        for (int s = 0; s < r - 1; s++)
            move(model->be, whole, rows, shape->head_dim, g * (r - 1) + s, g * r + s);
    for (int h = kv * (r - 1); h < kv * r; h++)
        model->be->zero(model->be, unit_of(whole, rows, h, shape->head_dim));
}

static void cut_axis(struct model *model, const struct cut *cut, struct view whole, bool rows,
                     enum slot_axis axis)
{
    int span = layout_span(&model->layout, axis, cut->layer);
    moves_add(cut->moves, unit_of(whole, rows, cut->hole, span),
              unit_of(whole, rows, cut->count - 1, span));
}

/* Of heads cut by query: the group's last query head moves into the hole. */
static void fill_query(struct model *model, const struct cut *cut, struct view whole, bool rows)
{
    move(model->be, whole, rows, model_shape(model)->head_dim, cut->hole, cut->count - 1);
}

static void each_tensor(struct model *model, const struct cut *cut,
                        void (*visit)(struct model *model, const struct cut *cut, struct view whole,
                                      bool rows, enum slot_axis axis))
{
    static const enum model_block blocks[] = { MODEL_WEIGHTS, MODEL_M, MODEL_V };
    for (int b = 0; b < 3; b++)
        for (int s = 0; s < model->layout.n_slots; s++) {
            const struct slot *slot = &model->layout.slot[s];
            if (!model_keeps(model, blocks[b], slot)) continue;
            struct view whole = model_view(model, blocks[b], slot);
            if (touches(cut, slot, slot->row_axis)) visit(model, cut, whole, true, slot->row_axis);
            if (touches(cut, slot, slot->col_axis)) visit(model, cut, whole, false, slot->col_axis);
        }
}

static void visit_unit(struct model *model, const struct cut *cut, struct view whole, bool rows,
                       enum slot_axis axis)
{
    if (cut->query)
        fill_query(model, cut, whole, rows);
    else
        cut_axis(model, cut, whole, rows, axis);
}

static void visit_close(struct model *model, const struct cut *cut, struct view whole, bool rows,
                        enum slot_axis axis)
{
    (void)axis;
    close_up(model, whole, rows, cut->layer);
}

/* The entries of a removal, one after another. */
struct entries {
    struct cut cut[REMOVAL_MAX];
    int n;
};

/* One entry: a position in a layer, of which the group has `count` units from `first` on. */
static enum status add_entry(struct entries *e, const struct removal *removal, int layer,
                             int position, int first, int count, struct error *err)
{
    const char *name = group_names[removal->type];
    if (position < first || position >= first + count)
        return fail(err, E_CONFLICT, "%s removal: there is no unit %d in layer %d", name, position,
                    layer);
    if (count == 1)
        return fail(err, E_CONFLICT, "%s removal: layer %d has only one unit left", name, layer);
    bool query = removal->type == GROUP_HEADS && removal->unit == HEAD_UNIT_QUERY;
    e->cut[e->n++] = (struct cut){ .type = removal->type,
                                   .query = query,
                                   .layer = layer,
                                   .hole = position,
                                   .count = first + count };
    return OK;
}

/* The entries of one layer start at removal->position + *at. */
static enum status plan_layer(struct entries *e, const struct removal *removal,
                              const struct shape *shape, int layer, int *at, struct error *err)
{
    bool query = removal->type == GROUP_HEADS && removal->unit == HEAD_UNIT_QUERY;
    int n = query ? shape->layer[layer].kv_heads : 1;
    int count = group_count(shape, removal->type, query ? HEAD_UNIT_QUERY : HEAD_UNIT_KV_GROUP,
                            layer < 0 ? 0 : layer);
    if (*at + n > removal->n)
        return fail(err, E_CONFLICT, "%s removal: %d positions are too few",
                    group_names[removal->type], removal->n);
    for (int i = 0; i < n; i++) {
        int position = removal->position[(*at)++];
        if (position < 0 && layer >= 0 && removal->layer < 0) continue; /* a frozen layer */
        TRY(add_entry(e, removal, layer, position, query ? i * count : 0, count, err));
    }
    return OK;
}

static enum status plan(struct entries *e, const struct removal *removal, const struct shape *shape,
                        struct error *err)
{
    bool stem = removal->type == GROUP_STEM;
    int at = 0, from = stem || removal->layer >= 0 ? removal->layer : 0;
    int to = stem || removal->layer >= 0 ? from + 1 : shape->n_layers;
    e->n = 0;
    if (removal->layer < -1 || removal->layer >= shape->n_layers || (stem && removal->layer != -1))
        return fail(err, E_CONFLICT, "%s removal: layer %d of %d", group_names[removal->type],
                    removal->layer, shape->n_layers);
    for (int l = from; l < to; l++) TRY(plan_layer(e, removal, shape, l, &at, err));
    if (at != removal->n)
        return fail(err, E_CONFLICT, "%s removal: %d positions are too many",
                    group_names[removal->type], removal->n);
    return OK;
}

static void shrink(struct shape *shape, const struct cut *cut)
{
    struct layer_shape *layer = &shape->layer[cut->layer < 0 ? 0 : cut->layer];
    if (cut->type == GROUP_STEM)
        shape->hidden_size--;
    else if (cut->type == GROUP_FFN)
        layer->ffn--;
    else if (cut->query)
        layer->q_heads--;
    else {
        layer->q_heads -= layer->q_heads / layer->kv_heads;
        layer->kv_heads--;
    }
}

/* Is this the last entry of its layer? By query, only then is the layer closed up. */
static bool ends_layer(const struct entries *e, int i)
{
    return i + 1 == e->n || e->cut[i + 1].layer != e->cut[i].layer;
}

/* Slots of one kind whose place changed from that in `before`: their numbers come along. */
static void shift_kind(struct model *model, const struct layout *before, enum slot_kind kind)
{
    static const enum model_block blocks[] = { MODEL_WEIGHTS, MODEL_M, MODEL_V };
    struct shift shift[3 * SHAPE_MAX_LAYERS];
    int n = 0;
    for (int l = 0; l < model_shape(model)->n_layers; l++) {
        const struct slot *was = layout_slot(before, kind, l);
        const struct slot *is = layout_slot(&model->layout, kind, l);
        if (is->offset == was->offset) continue;
        for (int b = 0; b < 3; b++) {
            if (!model_keeps(model, blocks[b], is)) continue;
            size_t at = was->offset - model_block_at(model, blocks[b]);
            struct view rows = { model->block[blocks[b]], at,
                                 layout_padded_rows(&model->layout, is), is->ld, is->ld };
            shift[n++] = (struct shift){ rows, (int)((was->offset - is->offset) / (size_t)is->ld) };
        }
    }
    if (n) model->be->shift(model->be, shift, n);
}

/* What stands behind shrunken neighbours moves up (layout.h). */
static enum status close_gaps(struct model *model, const struct shape *after, struct error *err)
{
    struct layout before = model->layout;
    before.slot = malloc((size_t)before.n_slots * sizeof *before.slot);
    if (!before.slot) abort();
    memcpy(before.slot, model->layout.slot, (size_t)before.n_slots * sizeof *before.slot);
    if (!model_set_shape(model, after, err)) {
        shift_kind(model, &before, SLOT_K);
        shift_kind(model, &before, SLOT_V);
        shift_kind(model, &before, SLOT_UP);
    }
    free(before.slot);
    return err->status;
}

enum status surgery_remove(struct model *model, const struct removal *removal, struct error *err)
{
    struct shape after = *model_shape(model);
    struct entries e;
    struct moves moves = { 0 };
    TRY(plan(&e, removal, &after, err));
    for (int i = 0; i < e.n; i++) {
        e.cut[i].moves = &moves;
        each_tensor(model, &e.cut[i], visit_unit);
        if (e.cut[i].query && ends_layer(&e, i)) each_tensor(model, &e.cut[i], visit_close);
        shrink(&after, &e.cut[i]);
    }
    model->be->move(model->be, moves.move, moves.n);
    free(moves.move);
    return close_gaps(model, &after, err);
}
