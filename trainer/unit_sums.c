#include "trainer/unit_sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void unit_sums_init(struct unit_sums *s, const struct layout *layout, enum head_unit unit,
                    bool embedding_in_stem)
{
    size_t longest = 1;
    for (int i = 0; i < layout->n_slots; i++) {
        const struct slot *slot = &layout->slot[i];
        size_t most = (size_t)(slot->rows > slot->cols ? slot->rows : slot->cols);
        if (most > longest) longest = most;
    }
    *s = (struct unit_sums){ .layout = layout,
                             .unit = unit,
                             .embedding_in_stem = embedding_in_stem,
                             .row = calloc(longest, sizeof(double)),
                             .col = calloc(longest, sizeof(double)) };
    if (!s->row || !s->col) abort();
}

void unit_sums_release(struct unit_sums *s)
{
    free(s->row);
    free(s->col);
    *s = (struct unit_sums){ 0 };
}

/* ---- one weight, one tensor --------------------------------------------------------------- */

double unit_sums_value(enum statistic k, double w, double g)
{
    double wg = w * g;
    switch (k) {
    case STAT_WG_LINE: return wg;
    case STAT_W2G2: return wg * wg;
    case STAT_MIX_ABS: return fabs(wg - wg * wg / 2);
    case STAT_W_ABS:
    case STAT_COL_ABS: return fabs(w);
    case STAT_W_SQ:
    case STAT_COL_SQ: return w * w;
    default: return fabs(wg);
    }
}

static void put(double *to, double value, bool largest)
{
    if (!largest)
        *to += value;
    else if (value > *to)
        *to = value;
}

/* The tensor's sums (or largest) by row and by column. */
static void sum_tensor(struct unit_sums *s, enum statistic k, const struct slot *slot,
                       const float *w, const float *g)
{
    bool largest = k == STAT_WG_MAX;
    memset(s->row, 0, (size_t)slot->rows * sizeof *s->row);
    memset(s->col, 0, (size_t)slot->cols * sizeof *s->col);
    for (int r = 0; r < slot->rows; r++)
        for (int c = 0; c < slot->cols; c++) {
            size_t at = (size_t)r * (size_t)slot->cols + (size_t)c;
            double value = unit_sums_value(k, w[at], g ? g[at] : 0);
            put(&s->row[r], value, largest);
            put(&s->col[c], value, largest);
        }
    for (int r = 0; r < slot->rows; r++) s->row[r] = fabs(s->row[r]);
    for (int c = 0; c < slot->cols; c++) s->col[c] = fabs(s->col[c]);
}

/* ---- which unit a row or column belongs to -------------------------------------------------- */

/* The entries of an axis' type, and how many rows or columns share one; NULL: none. */
static double *entries_of(const struct unit_sums *s, const struct slot *slot, enum slot_axis axis,
                          struct scores *to, int *span)
{
    bool query = s->unit == HEAD_UNIT_QUERY;
    bool outside = slot->kind == SLOT_EMBED || slot->kind == SLOT_HEAD;
    *span = layout_span(s->layout, axis, slot->layer);
    if (axis == AXIS_STEM) return outside && !s->embedding_in_stem ? NULL : to->stem;
    if (axis == AXIS_FFN) return to->ffn[slot->layer];
    if (axis == AXIS_FIXED || (axis == AXIS_KV && query)) return NULL;
    if (query) *span = s->layout->current.head_dim;
    return to->heads[slot->layer];
}

static void fold(const struct unit_sums *s, enum statistic k, const struct slot *slot,
                 enum slot_axis axis, const double *line, int n, struct scores *to)
{
    int span;
    double *entries = entries_of(s, slot, axis, to, &span);
    for (int i = 0; entries && i < n; i++) put(&entries[i / span], line[i], k == STAT_WG_MAX);
}

void unit_sums_add(struct unit_sums *s, enum statistic k, const struct slot *slot, const float *w,
                   const float *g, struct scores *to)
{
    sum_tensor(s, k, slot, w, g);
    fold(s, k, slot, slot->row_axis, s->row, slot->rows, to);
    fold(s, k, slot, slot->col_axis, s->col, slot->cols, to);
}

/* ---- channels -------------------------------------------------------------------------------- */

/* The channels that a matrix reads, or NULL. The head of a tied model is its embedding. */
static double *channels_of(const struct layout *layout, const struct slot *slot,
                           struct channels *to)
{
    switch (slot->kind) {
    case SLOT_Q:
    case SLOT_K:
    case SLOT_V: return to->stem[2 * slot->layer];
    case SLOT_GATE:
    case SLOT_UP: return to->stem[2 * slot->layer + 1];
    case SLOT_O: return to->attention[slot->layer];
    case SLOT_DOWN: return to->ffn[slot->layer];
    case SLOT_HEAD: return to->stem[2 * layout->current.n_layers];
    case SLOT_EMBED:
        return layout->current.tie_word_embeddings ? to->stem[2 * layout->current.n_layers] : NULL;
    default: return NULL;
    }
}

void unit_sums_columns(struct unit_sums *s, enum statistic k, const struct slot *slot,
                       const float *w, struct channels *to)
{
    double *channel = channels_of(s->layout, slot, to);
    if (!channel) return;
    sum_tensor(s, k, slot, w, NULL);
    for (int c = 0; c < slot->cols; c++) channel[c] += s->col[c];
}
