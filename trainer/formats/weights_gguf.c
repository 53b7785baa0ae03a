#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/formats/gguf_shape.h"
#include "trainer/formats/weights.h"

struct state {
    struct gguf *g;
    bool paired;
    int used; /* tensors that the shape needs, while checking */
};

/* A matrix (rows, cols) is {cols, rows} in GGUF, a vector (cols) is {cols}. */
static enum status expect(const struct gguf_tensor *t, const char *name, int rows, int cols,
                          struct error *err)
{
    int64_t want_rows = rows ? rows : 1;
    if (!t) return fail(err, E_INPUT, "tensor %s is missing", name);
    if (t->dim[0] != cols || t->dim[1] != want_rows || t->dim[2] != 1 || t->dim[3] != 1)
        return fail(err, E_INPUT, "tensor %s is {%lld, %lld}; {%d, %lld} is expected", name,
                    (long long)t->dim[0], (long long)t->dim[1], cols, (long long)want_rows);
    return OK;
}

static enum status find(const struct state *state, const char *name, int rows, int cols,
                        const struct gguf_tensor **t, struct error *err)
{
    char stored[GGUF_NAME_ROOM];
    if (!gguf_name_of(name, stored))
        return fail(err, E_MISSING, "tensor %.100s has no place in GGUF", name);
    *t = gguf_tensor(state->g, stored);
    return expect(*t, stored, rows, cols, err);
}

static void decode_rows(const struct gguf_tensor *t, int rows, int cols, float *out)
{
    quant_decode(t->type, t->bytes, (size_t)rows * (size_t)cols, out);
}

/* Our row j d / 2 + i of a head is stored as row 2 i + j. */
static void decode_paired(const struct gguf_tensor *t, int rows, int cols, int head_dim, float *out)
{
    size_t stored = t->n_bytes / (size_t)rows;
    for (int row = 0; row < rows; row++) {
        int head = row / head_dim, j = row % head_dim / (head_dim / 2), i = row % (head_dim / 2);
        size_t at = (size_t)(head * head_dim + 2 * i + j);
        quant_decode(t->type, t->bytes + at * stored, (size_t)cols,
                     out + (size_t)row * (size_t)cols);
    }
}

/* Biases are vectors of one float a row, whatever their type: one element is a block. */
static bool is_query_or_key(const char *name)
{
    return strstr(name, ".q_proj.") || strstr(name, ".k_proj.");
}

static enum status read_tensor(struct weights *w, const char *name, int rows, int cols, float *out,
                               struct error *err)
{
    const struct state *state = w->state;
    const struct gguf_tensor *t = NULL;
    TRY(find(state, name, rows, cols, &t, err));
    bool paired = state->paired && is_query_or_key(name);
    if (!paired)
        decode_rows(t, rows ? rows : 1, cols, out);
    else if (rows)
        decode_paired(t, rows, cols, w->shape.head_dim, out);
    else
        decode_paired(t, cols, 1, w->shape.head_dim, out);
    return OK;
}

static void close_gguf(struct weights *w)
{
    struct state *state = w->state;
    gguf_close(state->g);
    free(state);
    free(w);
}

/* ---- checks -------------------------------------------------------------------------------- */

struct check {
    const struct weights *w;
    struct state *state;
};

static enum status check_tensor(void *user, const char *name, int rows, int cols, struct error *err)
{
    struct check *check = user;
    const struct gguf_tensor *t = NULL;
    TRY(find(check->state, name, rows, cols, &t, err));
    bool bias = !rows && check->state->paired && is_query_or_key(name);
    if (bias && t->type->block != 1)
        return fail(err, E_INPUT, "tensor %.100s is a bias in blocks of %s", name, t->type->name);
    check->state->used++;
    return OK;
}

struct wanted {
    const struct gguf_text *name;
    bool found;
};

static enum status note_name(void *user, const char *name, int rows, int cols, struct error *err)
{
    (void)rows, (void)cols, (void)err;
    struct wanted *wanted = user;
    char stored[GGUF_NAME_ROOM];
    if (gguf_name_of(name, stored) && strlen(stored) == wanted->name->len &&
        !memcmp(stored, wanted->name->bytes, wanted->name->len))
        wanted->found = true;
    return OK;
}

/* There are more tensors than the shape needs: name one. */
static enum status check_surplus(const struct weights *w, const struct state *state,
                                 struct error *err)
{
    static const char derived[] = "rope_freqs.weight";
    for (int i = 0; i < gguf_n_tensors(state->g); i++) {
        struct wanted wanted = { &gguf_tensor_at(state->g, i)->name, false };
        struct error ignored = { 0 };
        if (wanted.name->len == strlen(derived) &&
            !memcmp(wanted.name->bytes, derived, wanted.name->len))
            continue;
        weights_each(&w->shape, &(struct weights_visit){ &wanted, note_name }, &ignored);
        if (!wanted.found)
            return fail(err, E_INPUT, "tensor %.*s is not part of a %s model of these keys",
                        (int)wanted.name->len, wanted.name->bytes, w->shape.family);
    }
    return OK;
}

static enum status check_all(struct weights *w, struct state *state, struct error *err)
{
    struct check check = { w, state };
    TRY(gguf_shape(state->g, &w->shape, &w->max_position, err));
    TRY(weights_each(&w->shape, &(struct weights_visit){ &check, check_tensor }, err));
    return gguf_n_tensors(state->g) > state->used ? check_surplus(w, state, err) : OK;
}

enum status weights_open_gguf(struct weights **out, const char *path, struct error *err)
{
    struct weights *w = calloc(1, sizeof *w);
    struct state *state = calloc(1, sizeof *state);
    if (!w || !state) abort();
    *w = (struct weights){
        .format = "gguf", .read = read_tensor, .close = close_gguf, .state = state
    };
    *out = NULL;
    if (gguf_open(&state->g, path, err)) {
        close_gguf(w);
        return err->status;
    }
    state->paired = gguf_is_paired(state->g);
    if (check_all(w, state, err)) {
        close_gguf(w);
        return fail_in(err, "%.160s", path);
    }
    *out = w;
    return OK;
}
