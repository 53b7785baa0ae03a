#include "trainer/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every layer is made of, in the order of Hugging Face's modules. */
struct kind_of_slot {
    enum slot_kind kind;
    const char *name; /* with the layer's number for %d */
    int dims;
    enum slot_axis row_axis, col_axis;
};

static const struct kind_of_slot layer_kinds[] = {
    { SLOT_ATTN_NORM, "model.layers.%d.input_layernorm.weight", 1, AXIS_FIXED, AXIS_STEM },
    { SLOT_Q, "model.layers.%d.self_attn.q_proj.weight", 2, AXIS_Q, AXIS_STEM },
    { SLOT_Q_BIAS, "model.layers.%d.self_attn.q_proj.bias", 1, AXIS_FIXED, AXIS_Q },
    { SLOT_K, "model.layers.%d.self_attn.k_proj.weight", 2, AXIS_KV, AXIS_STEM },
    { SLOT_K_BIAS, "model.layers.%d.self_attn.k_proj.bias", 1, AXIS_FIXED, AXIS_KV },
    { SLOT_V, "model.layers.%d.self_attn.v_proj.weight", 2, AXIS_KV, AXIS_STEM },
    { SLOT_V_BIAS, "model.layers.%d.self_attn.v_proj.bias", 1, AXIS_FIXED, AXIS_KV },
    { SLOT_O, "model.layers.%d.self_attn.o_proj.weight", 2, AXIS_STEM, AXIS_Q },
    { SLOT_O_BIAS, "model.layers.%d.self_attn.o_proj.bias", 1, AXIS_FIXED, AXIS_STEM },
    { SLOT_FFN_NORM, "model.layers.%d.post_attention_layernorm.weight", 1, AXIS_FIXED, AXIS_STEM },
    { SLOT_GATE, "model.layers.%d.mlp.gate_proj.weight", 2, AXIS_FFN, AXIS_STEM },
    { SLOT_UP, "model.layers.%d.mlp.up_proj.weight", 2, AXIS_FFN, AXIS_STEM },
    { SLOT_DOWN, "model.layers.%d.mlp.down_proj.weight", 2, AXIS_STEM, AXIS_FFN },
    { SLOT_DOWN_BIAS, "model.layers.%d.mlp.down_proj.bias", 1, AXIS_FIXED, AXIS_STEM },
};

static const struct kind_of_slot embed_kind = { SLOT_EMBED, "model.embed_tokens.weight", 2,
                                                AXIS_FIXED, AXIS_STEM };
static const struct kind_of_slot final_norm_kind = { SLOT_FINAL_NORM, "model.norm.weight", 1,
                                                     AXIS_FIXED, AXIS_STEM };
static const struct kind_of_slot head_kind = { SLOT_HEAD, "lm_head.weight", 2, AXIS_FIXED,
                                               AXIS_STEM };

enum { N_LAYER_KINDS = sizeof layer_kinds / sizeof *layer_kinds };

static bool is_in(const struct shape *shape, enum slot_kind kind)
{
    bool qkv = kind == SLOT_Q_BIAS || kind == SLOT_K_BIAS || kind == SLOT_V_BIAS;
    bool output = kind == SLOT_O_BIAS || kind == SLOT_DOWN_BIAS;
    return (!qkv || shape->qkv_bias) && (!output || shape->output_bias);
}

/* The length of an axis at a shape. A fixed one is the vocabulary or, for vectors, 1. */
static int axis_length(const struct shape *shape, enum slot_axis axis, int layer, int dims)
{
    const struct layer_shape *at = layer < 0 ? NULL : &shape->layer[layer];
    switch (axis) {
    case AXIS_KV: return at->kv_heads * shape->head_dim;
    case AXIS_Q: return at->q_heads * shape->head_dim;
    case AXIS_FFN: return at->ffn;
    case AXIS_STEM: return shape->hidden_size;
    case AXIS_FIXED: break;
    }
    return dims == 1 ? 1 : shape->vocab_size;
}

static void size_slot(struct slot *slot, const struct shape *shape)
{
    slot->rows = axis_length(shape, slot->row_axis, slot->layer, slot->dims);
    slot->cols = axis_length(shape, slot->col_axis, slot->layer, slot->dims);
}

int layout_padded_rows(const struct layout *layout, const struct slot *slot)
{
    int n = layout->multiple;
    return slot->dims > 1 ? (slot->rows + n - 1) / n * n : slot->rows;
}

static void add_slot(struct layout *layout, const struct kind_of_slot *kind, int layer)
{
    struct slot *slot = &layout->slot[layout->n_slots];
    *slot = (struct slot){ .kind = kind->kind,
                           .layer = layer,
                           .dims = kind->dims,
                           .row_axis = kind->row_axis,
                           .col_axis = kind->col_axis,
                           .offset = layout->n_floats,
                           .home = layout->n_floats };
    snprintf(slot->name, sizeof slot->name, "%s", kind->name);
    if (layer >= 0) {
        const char *number = strstr(kind->name, "%d");
        snprintf(slot->name, sizeof slot->name, "%.*s%d%s", (int)(number - kind->name), kind->name,
                 layer, number + 2);
    }
    size_slot(slot, &layout->capacity);
    slot->ld = (slot->cols + layout->multiple - 1) / layout->multiple * layout->multiple;
    layout->n_floats += (size_t)layout_padded_rows(layout, slot) * (size_t)slot->ld;
    *(layer < 0 ? &layout->outside[kind->kind] : &layout->index[layer][kind->kind]) =
        layout->n_slots++;
}

static void add_slots(struct layout *layout)
{
    const struct shape *shape = &layout->capacity;
    memset(layout->index, -1, sizeof layout->index);
    memset(layout->outside, -1, sizeof layout->outside);
    add_slot(layout, &embed_kind, -1);
    for (int l = 0; l < shape->n_layers; l++)
        for (int k = 0; k < N_LAYER_KINDS; k++)
            if (is_in(shape, layer_kinds[k].kind)) add_slot(layout, &layer_kinds[k], l);
    add_slot(layout, &final_norm_kind, -1);
    if (!shape->tie_word_embeddings) add_slot(layout, &head_kind, -1);
}

enum status layout_init(struct layout *layout, const struct shape *capacity, int multiple,
                        struct error *err)
{
    memset(layout, 0, sizeof *layout);
    TRY(shape_check(capacity, err));
    layout->capacity = layout->current = *capacity;
    layout->slot = calloc((size_t)capacity->n_layers * N_LAYER_KINDS + 3, sizeof *layout->slot);
    if (!layout->slot) abort();
    layout->multiple = multiple;
    add_slots(layout);
    return OK;
}

void layout_release(struct layout *layout)
{
    free(layout->slot);
    memset(layout, 0, sizeof *layout);
}

static enum status fits_layer(const struct layer_shape *now, const struct layer_shape *room, int l,
                              struct error *err)
{
    if (now->q_heads > room->q_heads || now->kv_heads > room->kv_heads || now->ffn > room->ffn)
        return fail(
            err, E_INPUT, "layer %d has %d/%d heads and ffn %d; there is room for %d/%d and %d", l,
            now->q_heads, now->kv_heads, now->ffn, room->q_heads, room->kv_heads, room->ffn);
    return OK;
}

static enum status fits(const struct shape *now, const struct shape *room, struct error *err)
{
    if (now->n_layers != room->n_layers || now->head_dim != room->head_dim ||
        now->vocab_size != room->vocab_size || now->qkv_bias != room->qkv_bias ||
        now->output_bias != room->output_bias ||
        now->tie_word_embeddings != room->tie_word_embeddings)
        return fail(err, E_INPUT,
                    "the shape differs from its source in layers, head_dim, vocabulary, biases or "
                    "tied embedding");
    if (now->hidden_size > room->hidden_size)
        return fail(err, E_INPUT, "hidden size %d; there is room for %d", now->hidden_size,
                    room->hidden_size);
    for (int l = 0; l < now->n_layers; l++)
        TRY(fits_layer(&now->layer[l], &room->layer[l], l, err));
    return OK;
}

/* Matrices of one input, one right behind the other (no bias in between). */
static bool follows(const struct slot *a, const struct slot *b)
{
    return (a->kind == SLOT_Q && b->kind == SLOT_K) || (a->kind == SLOT_K && b->kind == SLOT_V) ||
           (a->kind == SLOT_GATE && b->kind == SLOT_UP);
}

static void put_behind(struct layout *layout, int i)
{
    const struct slot *before = &layout->slot[i - 1];
    layout->slot[i].offset =
        before->offset + (size_t)layout_padded_rows(layout, before) * (size_t)before->ld;
}

enum status layout_set_shape(struct layout *layout, const struct shape *current, struct error *err)
{
    TRY(shape_check(current, err));
    TRY(fits(current, &layout->capacity, err));
    layout->current = *current;
    for (int i = 0; i < layout->n_slots; i++) {
        size_slot(&layout->slot[i], current);
        if (i && follows(&layout->slot[i - 1], &layout->slot[i])) put_behind(layout, i);
    }
    return OK;
}

const struct slot *layout_slot(const struct layout *layout, enum slot_kind kind, int layer)
{
    int i = layer < 0 ? layout->outside[kind] : layout->index[layer][kind];
    return i < 0 ? NULL : &layout->slot[i];
}

size_t layout_layer_at(const struct layout *layout, int l)
{
    enum slot_kind first = layer_kinds[0].kind;
    bool end = l == layout->current.n_layers;
    return (end ? layout_slot(layout, SLOT_FINAL_NORM, -1) : layout_slot(layout, first, l))->offset;
}

static size_t distance(size_t a, size_t b) { return a > b ? a - b : b - a; }

/* The start of a slot that does not move, or the end, nearest to i n-ths of the whole. */
size_t layout_edge(const struct layout *layout, int i, int n)
{
    size_t end = layout->n_floats, wanted = i == n ? end : end / (size_t)n * (size_t)i, best = end;
    for (int s = layout->n_slots - 1; s >= 0; s--) {
        const struct slot *slot = &layout->slot[s];
        if (s && follows(slot - 1, slot)) continue;
        if (distance(slot->home, wanted) < distance(best, wanted)) best = slot->home;
    }
    return best;
}

size_t layout_largest(const struct layout *layout)
{
    size_t most = 0, run = 0;
    for (int i = 0; i < layout->n_slots; i++) {
        const struct slot *slot = &layout->slot[i];
        size_t n = (size_t)layout_padded_rows(layout, slot) * (size_t)slot->ld;
        run = i && follows(slot - 1, slot) ? run + n : n;
        if (most < run) most = run;
    }
    return most;
}

const struct slot *layout_find(const struct layout *layout, const char *name)
{
    for (int i = 0; i < layout->n_slots; i++)
        if (!strcmp(layout->slot[i].name, name)) return &layout->slot[i];
    return NULL;
}

int64_t layout_params(const struct layout *layout)
{
    int64_t sum = 0;
    for (int i = 0; i < layout->n_slots; i++)
        sum += (int64_t)layout->slot[i].rows * layout->slot[i].cols;
    return sum;
}

int layout_span(const struct layout *layout, enum slot_axis axis, int layer)
{
    const struct shape *shape = &layout->current;
    switch (axis) {
    case AXIS_KV: return shape->head_dim;
    case AXIS_Q:
        return shape->head_dim * (shape->layer[layer].q_heads / shape->layer[layer].kv_heads);
    case AXIS_FFN:
    case AXIS_STEM: return 1;
    case AXIS_FIXED: break;
    }
    return 0;
}
