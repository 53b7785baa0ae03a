#include "trainer/export/pad.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pad {
    struct weights *inner;
    float *room; /* of the largest inner tensor */
};

/* ---- which axis is what ---------------------------------------------------------------------- */

enum axis { AXIS_NONE, AXIS_STEM, AXIS_QUERIES, AXIS_KEYS, AXIS_FFN, AXIS_VOCAB };

struct axes {
    enum axis rows, cols;
    int layer; /* 0 outside the layers */
    bool gain;
};

static struct axes axes_of(const char *name)
{
    static const struct {
        const char *suffix;
        enum axis rows, cols;
    } table[] = {
        { ".q_proj.weight", AXIS_QUERIES, AXIS_STEM },
        { ".k_proj.weight", AXIS_KEYS, AXIS_STEM },
        { ".v_proj.weight", AXIS_KEYS, AXIS_STEM },
        { ".o_proj.weight", AXIS_STEM, AXIS_QUERIES },
        { ".gate_proj.weight", AXIS_FFN, AXIS_STEM },
        { ".up_proj.weight", AXIS_FFN, AXIS_STEM },
        { ".down_proj.weight", AXIS_STEM, AXIS_FFN },
        { ".q_proj.bias", AXIS_NONE, AXIS_QUERIES },
        { ".k_proj.bias", AXIS_NONE, AXIS_KEYS },
        { ".v_proj.bias", AXIS_NONE, AXIS_KEYS },
        { ".o_proj.bias", AXIS_NONE, AXIS_STEM },
        { ".down_proj.bias", AXIS_NONE, AXIS_STEM },
        { "embed_tokens.weight", AXIS_VOCAB, AXIS_STEM },
        { "lm_head.weight", AXIS_VOCAB, AXIS_STEM },
    };
    struct axes axes = { AXIS_NONE, AXIS_STEM, 0, true };
    int layer = 0;
    if (sscanf(name, "model.layers.%4d.", &layer) == 1) axes.layer = layer;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!strstr(name, table[i].suffix)) continue;
        axes.rows = table[i].rows;
        axes.cols = table[i].cols;
        axes.gain = false;
    }
    return axes;
}

static int length(const struct shape *s, enum axis axis, int layer)
{
    switch (axis) {
    case AXIS_STEM: return s->hidden_size;
    case AXIS_QUERIES: return s->layer[layer].q_heads * s->head_dim;
    case AXIS_KEYS: return s->layer[layer].kv_heads * s->head_dim;
    case AXIS_FFN: return s->layer[layer].ffn;
    case AXIS_VOCAB: return s->vocab_size;
    case AXIS_NONE: break;
    }
    return 1;
}

/* Where index i of the inner axis goes. */
static int place(const struct shape *inner, const struct shape *outer, const struct axes *axes,
                 enum axis axis, int i)
{
    if (axis != AXIS_QUERIES) return i;
    const struct layer_shape *a = &inner->layer[axes->layer], *b = &outer->layer[axes->layer];
    int group = a->q_heads / a->kv_heads, wider = b->q_heads / b->kv_heads,
        head = i / inner->head_dim;
    return (head / group * wider + head % group) * inner->head_dim + i % inner->head_dim;
}

/* ---- reading ------------------------------------------------------------------------------- */

static void spread(const struct weights *w, const struct pad *pad, const struct axes *axes,
                   float *out)
{
    const struct shape *a = &pad->inner->shape, *b = &w->shape;
    int rows = length(a, axes->rows, axes->layer), cols = length(a, axes->cols, axes->layer);
    size_t width = (size_t)length(b, axes->cols, axes->layer);
    float scale = axes->gain ? (float)sqrt((double)a->hidden_size / b->hidden_size) : 1;
    memset(out, 0, (size_t)length(b, axes->rows, axes->layer) * width * sizeof *out);
    for (int r = 0; r < rows; r++) {
        float *to = out + (size_t)place(a, b, axes, axes->rows, r) * width;
        const float *from = pad->room + (size_t)r * (size_t)cols;
        for (int c = 0; c < cols; c++) to[place(a, b, axes, axes->cols, c)] = scale * from[c];
    }
}

static enum status read_padded(struct weights *w, const char *name, int rows, int cols, float *out,
                               struct error *err)
{
    struct pad *pad = w->state;
    struct axes axes = axes_of(name);
    const struct shape *a = &pad->inner->shape;
    int want_rows = axes.rows == AXIS_NONE ? 0 : length(&w->shape, axes.rows, axes.layer);
    if (rows != want_rows || cols != length(&w->shape, axes.cols, axes.layer))
        return fail(err, E_INPUT, "tensor %.100s is not (%d, %d)", name, rows, cols);
    int inner_rows = axes.rows == AXIS_NONE ? 0 : length(a, axes.rows, axes.layer);
    TRY(pad->inner->read(pad->inner, name, inner_rows, length(a, axes.cols, axes.layer), pad->room,
                         err));
    spread(w, pad, &axes, out);
    return OK;
}

static void close_padded(struct weights *w)
{
    struct pad *pad = w->state;
    free(pad->room);
    free(pad);
    free(w);
}

static enum status note_size(void *user, const char *name, int rows, int cols, struct error *err)
{
    (void)name, (void)err;
    size_t *most = user, n = (size_t)(rows ? rows : 1) * (size_t)cols;
    *most = n > *most ? n : *most;
    return OK;
}

static enum status check_fit(const struct shape *a, const struct shape *b, struct error *err)
{
    if (a->n_layers != b->n_layers || a->head_dim != b->head_dim ||
        a->vocab_size != b->vocab_size || a->hidden_size > b->hidden_size ||
        a->qkv_bias != b->qkv_bias || a->output_bias != b->output_bias ||
        a->tie_word_embeddings != b->tie_word_embeddings)
        return fail(err, E_INPUT,
                    "the model cannot be padded to a shape with other layers, heads or vocabulary");
    for (int l = 0; l < a->n_layers; l++) {
        const struct layer_shape *x = &a->layer[l], *y = &b->layer[l];
        if (x->kv_heads > y->kv_heads || x->ffn > y->ffn ||
            x->q_heads / x->kv_heads > y->q_heads / y->kv_heads)
            return fail(
                err, E_INPUT,
                "layer %d does not fit into %d query heads, %d KV heads and %d FFN channels", l,
                y->q_heads, y->kv_heads, y->ffn);
    }
    return OK;
}

enum status weights_pad(struct weights **out, struct weights *inner, const struct shape *larger,
                        struct error *err)
{
    size_t most = 0;
    *out = NULL;
    TRY(check_fit(&inner->shape, larger, err));
    TRY(weights_each(&inner->shape, &(struct weights_visit){ &most, note_size }, err));
    struct weights *w = calloc(1, sizeof *w);
    struct pad *pad = calloc(1, sizeof *pad);
    if (!w || !pad) abort();
    *pad = (struct pad){ inner, malloc(most * sizeof(float)) };
    *w = (struct weights){ *larger, inner->max_position, "padded", read_padded, close_padded, pad };
    w->shape.norm_eps = inner->shape.norm_eps * inner->shape.hidden_size / larger->hidden_size;
    if (!pad->room) {
        close_padded(w);
        return fail(err, E_MEMORY, "no memory to pad the largest tensor, %zu MiB",
                    most * sizeof(float) >> 20);
    }
    *out = w;
    return OK;
}
