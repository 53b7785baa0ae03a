#include "trainer/obs.h"

#include <stdlib.h>
#include "trainer/backend_host.h"

enum { PLACES = 3 }; /* PLACE_ATTENTION, PLACE_FFN, PLACE_NORM */

static const enum group_type type_of[PLACES] = { GROUP_HEADS, GROUP_FFN, GROUP_STEM };

/* ---- places --------------------------------------------------------------------------------- */

static int n_inputs(const struct shape *shape, int place)
{
    return place == PLACE_NORM ? 2 * shape->n_layers + 1 : shape->n_layers;
}

static int width(const struct shape *shape, int place, int i)
{
    if (place == PLACE_NORM) return shape->hidden_size;
    if (place == PLACE_FFN) return shape->layer[i].ffn;
    return shape->layer[i].q_heads * shape->head_dim;
}

enum { MAX_READERS = 3 };

/* The matrices that read input i of a place; returns how many. */
static int readers(const struct obs *obs, int place, int i, const struct slot **out)
{
    const struct layout *layout = &obs->model->layout;
    static const enum slot_kind attention[] = { SLOT_Q, SLOT_K, SLOT_V },
                                ffn[] = { SLOT_GATE, SLOT_UP };
    bool last = place == PLACE_NORM && i == 2 * layout->current.n_layers;
    if (place != PLACE_NORM || last) {
        enum slot_kind kind = last ? SLOT_HEAD : place == PLACE_FFN ? SLOT_DOWN : SLOT_O;
        *out = layout_slot(layout, kind, last ? -1 : i);
        return *out != NULL;
    }
    int n = i % 2 ? 2 : 3;
    for (int k = 0; k < n; k++) out[k] = layout_slot(layout, i % 2 ? ffn[k] : attention[k], i / 2);
    return n;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* What the Hessians of the types in the space take, and the largest one while it is solved. */
static double bytes_needed(const struct shape *shape, const struct search_options *options)
{
    double bytes = 0, largest = 0;
    for (int place = 0; place < PLACES; place++)
        for (int i = 0; options->space.types[type_of[place]] && i < n_inputs(shape, place); i++) {
            double n = width(shape, place, i);
            bytes += n * n * sizeof(float);
            if (n > largest) largest = n;
        }
    return bytes + largest * largest * sizeof(double);
}

/* An answer now instead of a kill when the pages are first touched. */
static enum status check_memory(const struct shape *shape, const struct search_options *options,
                                struct error *err)
{
    double need = bytes_needed(shape, options), have = (double)host_bytes_available();
    if (need <= have) return OK;
    return fail(
        err, E_MEMORY,
        "the Hessians of %s need %.2f GB, %.2f GB are available; leave types out of the space",
        options->update == UPDATE_OBS ? "update obs" : "criterion obs", need / 1e9, have / 1e9);
}

/* ---- life ----------------------------------------------------------------------------------- */

static enum status open_place(struct obs *obs, int place, struct error *err)
{
    const struct shape *shape = model_shape(obs->model);
    int n = n_inputs(shape, place);
    obs->place[place] = calloc((size_t)n, sizeof *obs->place[place]);
    if (!obs->place[place]) abort();
    for (int i = 0; i < n; i++)
        TRY(hessian_init(&obs->place[place][i], width(shape, place, i), err));
    return OK;
}

enum status obs_open(struct obs **out, struct model *model, const struct search_options *options,
                     struct error *err)
{
    struct obs *obs = calloc(1, sizeof *obs);
    size_t most = 1;
    if (!obs) abort();
    obs->model = model;
    obs->unit = options->space.head_unit;
    obs->without_head = !options->scoring.embedding_in_stem;
    for (int i = 0; i < model->layout.n_slots; i++) {
        const struct slot *slot = &model->layout.slot[i];
        size_t n = (size_t)slot->rows * (size_t)slot->cols;
        most = n > most ? n : most;
    }
    obs->w = malloc(most * sizeof *obs->w);
    if (!obs->w) fail(err, E_MEMORY, "no memory for a copy of the largest matrix");
    if (!err->status) check_memory(model_shape(model), options, err);
    for (int place = 0; place < PLACES && !err->status; place++)
        if (options->space.types[type_of[place]]) open_place(obs, place, err);
    if (err->status)
        obs_close(obs);
    else
        *out = obs;
    return err->status;
}

void obs_close(struct obs *obs)
{
    if (!obs) return;
    for (int place = 0; place < PLACES; place++) {
        int n = n_inputs(model_shape(obs->model), place);
        for (int i = 0; obs->place[place] && i < n; i++) hessian_release(&obs->place[place][i]);
        free(obs->place[place]);
    }
    free(obs->w);
    free(obs);
}

void obs_see(struct obs *obs, enum model_place place, int i, const float *x, int rows)
{
    if ((int)place < PLACES && obs->place[place]) hessian_add(&obs->place[place][i], x, rows);
}

/* ---- every Hessian, in the order of a checkpoint ------------------------------------------- */

static struct hessian *nth(const struct obs *obs, int k)
{
    for (int place = 0; place < PLACES; place++) {
        if (!obs->place[place]) continue;
        int n = n_inputs(model_shape(obs->model), place);
        if (k < n) return &obs->place[place][k];
        k -= n;
    }
    return NULL;
}

void obs_fade(struct obs *obs, double keep)
{
    struct hessian *h;
    for (int k = 0; (h = nth(obs, k)); k++) hessian_fade(h, keep);
}

int64_t obs_count(const struct obs *obs)
{
    const struct hessian *h;
    int64_t n = 0;
    for (int k = 0; (h = nth(obs, k)); k++) n += hessian_count(h);
    return n;
}

void obs_get(const struct obs *obs, double *out)
{
    const struct hessian *h;
    for (int k = 0; (h = nth(obs, k)); k++) {
        hessian_get(h, out);
        out += hessian_count(h);
    }
}

void obs_set(struct obs *obs, const double *in)
{
    struct hessian *h;
    for (int k = 0; (h = nth(obs, k)); k++) {
        hessian_set(h, in);
        in += hessian_count(h);
    }
}

/* ---- the statistic ------------------------------------------------------------------------- */

static float *read_matrix(struct obs *obs, const struct slot *slot)
{
    model_read(obs->model, MODEL_WEIGHTS, slot, obs->w);
    return obs->w;
}

static enum status losses_at(struct obs *obs, int place, int i, struct scores *out,
                             struct error *err)
{
    const struct slot *reader[MAX_READERS];
    const struct hessian *h = &obs->place[place][i];
    double *inverse, *to = place == PLACE_NORM  ? out->stem
                           : place == PLACE_FFN ? out->ffn[i]
                                                : out->heads[i];
    int n = readers(obs, place, i, reader),
        span = place == PLACE_ATTENTION ? h->n / out->n_heads[i] : 1;
    if (!n || (reader[0]->kind == SLOT_HEAD && obs->without_head)) return OK;
    TRY(hessian_inverse(h, &inverse, err));
    for (int k = 0; k < n; k++)
        hessian_losses(inverse, h->n, span, read_matrix(obs, reader[k]), reader[k]->rows, to);
    free(inverse);
    return OK;
}

enum status obs_losses(struct obs *obs, struct scores *out, struct error *err)
{
    scores_fade(out, model_shape(obs->model), 0);
    for (int place = 0; place < PLACES; place++)
        for (int i = 0; obs->place[place] && i < n_inputs(model_shape(obs->model), place); i++)
            TRY(losses_at(obs, place, i, out, err));
    return OK;
}

/* ---- the update ---------------------------------------------------------------------------- */

static enum status update_at(struct obs *obs, int place, int i, const int *gone, int k,
                             struct error *err)
{
    const struct slot *reader[MAX_READERS];
    const struct hessian *h = &obs->place[place][i];
    double *solved;
    int n = readers(obs, place, i, reader);
    if (!n) return OK;
    TRY(hessian_solve(h, gone, k, &solved, err));
    for (int r = 0; r < n; r++) {
        float *w = read_matrix(obs, reader[r]);
        hessian_update(solved, h->n, gone, k, w, reader[r]->rows);
        model_write(obs->model, MODEL_WEIGHTS, reader[r], w);
    }
    free(solved);
    return OK;
}

static int place_of(enum group_type type)
{
    return type == GROUP_HEADS ? PLACE_ATTENTION : type == GROUP_FFN ? PLACE_FFN : PLACE_NORM;
}

static int *room_for_inputs(const struct shape *shape)
{
    int *gone = malloc(((size_t)SHAPE_MAX_HEADS * (size_t)shape->head_dim + 1) * sizeof *gone);
    if (!gone) abort();
    return gone;
}

enum status obs_update(struct obs *obs, const struct removal *removal, struct error *err)
{
    const struct shape *shape = model_shape(obs->model);
    int place = place_of(removal->type), *gone = room_for_inputs(shape);
    for (int i = 0; i < n_inputs(shape, place) && !err->status; i++) {
        int k = channels_gone(removal, shape, place == PLACE_NORM ? 0 : i, gone);
        if (k) update_at(obs, place, i, gone, k, err);
    }
    free(gone);
    return err->status;
}

/* ---- moving along -------------------------------------------------------------------------- */

/* What input i of layer l was before the removal; returns how many stay. */
static int inputs_kept(const struct removal *removal, const struct shape *before, int place, int l,
                       int *index)
{
    int first, n = width(before, place, l), h = before->head_dim;
    for (int i = 0; i < n; i++) index[i] = i;
    if (!removal_of_layer(removal, before, place == PLACE_NORM ? 0 : l, &first)) return n;
    const int *position = removal->position + first;
    if (place != PLACE_ATTENTION) {
        group_move_last(index, sizeof *index, n, *position);
        return n - 1;
    }
    int kv = before->layer[l].kv_heads, r = before->layer[l].q_heads / kv;
    if (removal->unit == HEAD_UNIT_QUERY) {
        group_move_queries(index, (size_t)h * sizeof *index, kv, r, position);
        return n - kv * h;
    }
    group_move_last(index, (size_t)(h * r) * sizeof *index, kv, *position);
    return n - h * r;
}

void obs_remove(struct obs *obs, const struct shape *before, const struct removal *removal)
{
    int place = place_of(removal->type);
    for (int i = 0; obs->place[place] && i < n_inputs(before, place); i++) {
        int n = width(before, place, i), *index = malloc((size_t)n * sizeof *index);
        if (!index) abort();
        int kept = inputs_kept(removal, before, place, i, index);
        if (kept < n) hessian_keep(&obs->place[place][i], index, kept);
        free(index);
    }
}
