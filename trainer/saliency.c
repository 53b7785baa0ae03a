#include "trainer/saliency.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/ranks.h"

/* Sums are laid out by the capacity: the stem's, then for each layer its heads' (as many as
 * query heads, which is enough for either unit) and its FFN channels'. */
static int layer_start(const struct shape *capacity, int layer)
{
    int at = capacity->hidden_size;
    for (int l = 0; l < layer; l++) at += capacity->layer[l].q_heads + capacity->layer[l].ffn;
    return at;
}

/* Where the sums of an axis start and how many of its rows or columns share one. */
static void sums_of(const struct saliency *s, enum slot_axis axis, int layer, int *sum, int *span)
{
    const struct layout *layout = &s->model->layout;
    bool query = s->unit == HEAD_UNIT_QUERY;
    *sum = -1, *span = 1;
    if (axis == AXIS_FIXED || (axis == AXIS_KV && query)) return;
    if (axis == AXIS_STEM) {
        *sum = 0;
        return;
    }
    *sum = layer_start(&layout->capacity, layer);
    if (axis == AXIS_FFN) *sum += layout->capacity.layer[layer].q_heads;
    *span = query && axis == AXIS_Q ? layout->current.head_dim : layout_span(layout, axis, layer);
}

const struct param *saliency_params(struct saliency *s)
{
    for (int i = 0; i < s->model->layout.n_slots; i++) {
        const struct slot *slot = &s->model->layout.slot[i];
        struct param *p = &s->param[i];
        *p = s->model->param[i];
        if (s->without_embedding && (slot->kind == SLOT_EMBED || slot->kind == SLOT_HEAD)) continue;
        sums_of(s, slot->row_axis, slot->layer, &p->row_sum, &p->row_span);
        sums_of(s, slot->col_axis, slot->layer, &p->col_sum, &p->col_span);
    }
    return s->param;
}

enum status saliency_open(struct saliency **out, struct model *model, enum head_unit unit,
                          struct error *err)
{
    struct saliency *s = calloc(1, sizeof *s);
    if (!s) abort();
    const struct shape *capacity = &model->layout.capacity;
    s->model = model;
    s->unit = unit;
    s->n_sums = layer_start(capacity, capacity->n_layers);
    s->host = calloc((size_t)s->n_sums, sizeof *s->host);
    s->param = calloc((size_t)model->layout.n_slots, sizeof *s->param);
    if (!s->host || !s->param) abort();
    enum status status = model->be->alloc(model->be, BLOCK_SUMS, (size_t)s->n_sums, &s->sums, err);
    if (status) {
        saliency_close(s);
        return status;
    }
    *out = s;
    return OK;
}

void saliency_close(struct saliency *s)
{
    if (!s) return;
    if (s->sums) s->model->be->release(s->model->be, s->sums);
    free(s->host);
    free(s->param);
    free(s);
}

static void add(double *to, const double *from, int n)
{
    for (int i = 0; i < n; i++) to[i] += from[i];
}

void saliency_collect(struct saliency *s, struct scores *scores)
{
    const struct shape *capacity = &s->model->layout.capacity, *shape = model_shape(s->model);
    assert(scores->unit == s->unit && scores->n_stem == shape->hidden_size);
    s->model->be->download_sums(s->model->be, s->host, s->sums, s->n_sums);
    if (model_shares_moments(s->model)) ranks_sum(s->host, s->n_sums);
    add(scores->stem, s->host, scores->n_stem);
    for (int l = 0; l < shape->n_layers; l++) {
        const double *at = s->host + layer_start(capacity, l);
        add(scores->heads[l], at, scores->n_heads[l]);
        add(scores->ffn[l], at + capacity->layer[l].q_heads, scores->n_ffn[l]);
    }
    scores->weight += (double)s->steps;
    s->steps = 0;
    memset(s->host, 0, (size_t)s->n_sums * sizeof *s->host);
    s->model->be->upload_sums(s->model->be, s->sums, s->host, s->n_sums);
}
