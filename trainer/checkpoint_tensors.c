#include "trainer/checkpoint_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/formats/safetensors.h"

/* What a checkpoint keeps of every slot. */
static const struct kept {
    const char *prefix;
    enum model_block block;
} kept[] = { { "weights.", MODEL_WEIGHTS }, { "m.", MODEL_M }, { "v.", MODEL_V } };

enum { N_KEPT = 3, NAME = 80 };

struct source {
    const struct checkpoint *cp;
    struct model *model;
    float *room;
};

static size_t largest_slot(const struct layout *layout)
{
    size_t most = 1;
    for (int i = 0; i < layout->n_slots; i++) {
        size_t n = (size_t)layout->slot[i].rows * (size_t)layout->slot[i].cols;
        most = n > most ? n : most;
    }
    return most;
}

static const void *tensor_bytes(void *user, const struct tensor *t)
{
    struct source *s = user;
    if (!strcmp(t->name, "scores")) return s->cp->scores;
    for (int k = 0; k < N_KEPT; k++) {
        size_t n = strlen(kept[k].prefix);
        if (strncmp(t->name, kept[k].prefix, n)) continue;
        model_read(s->model, kept[k].block, layout_find(&s->model->layout, t->name + n), s->room);
        return s->room;
    }
    abort();
}

static int list_tensors(struct tensor *tensor, char (*name)[NAME], const struct checkpoint *cp,
                        const struct layout *layout)
{
    int n = 0;
    for (int k = 0; k < N_KEPT; k++)
        for (int i = 0; i < layout->n_slots; i++, n++) {
            const struct slot *slot = &layout->slot[i];
            snprintf(name[n], NAME, "%s%s", kept[k].prefix, slot->name);
            tensor[n] = (struct tensor){ .name = name[n], .type = TENSOR_F32, .rank = slot->dims };
            tensor[n].dim[0] = slot->dims == 2 ? slot->rows : slot->cols;
            tensor[n].dim[1] = slot->dims == 2 ? slot->cols : 0;
        }
    tensor[n++] =
        (struct tensor){ .name = "scores", .type = TENSOR_F64, .rank = 1, .dim = { cp->n_scores } };
    return n;
}

enum status checkpoint_write_tensors(const struct checkpoint *cp, struct model *model,
                                     const char *dir, struct error *err)
{
    const struct layout *layout = &model->layout;
    char path[PATH_ROOM], sha256[HASH_HEX];
    size_t room = (size_t)layout->n_slots * N_KEPT + 1;
    TRY(path_join(path, dir, "tensors.safetensors", err));
    struct tensor *tensor = calloc(room, sizeof *tensor);
    char(*name)[NAME] = calloc(room, sizeof *name);
    struct source source = { cp, model, malloc(largest_slot(layout) * sizeof(float)) };
    if (!tensor || !name) abort();
    int n = list_tensors(tensor, name, cp, layout);
    if (!source.room)
        fail(err, E_MEMORY, "no memory to write the largest tensor");
    else
        safetensors_write(path, tensor, n, NULL, &(struct tensor_source){ &source, tensor_bytes },
                          sha256, err);
    free(source.room);
    free(tensor);
    free(name);
    return err->status;
}

/* ---- reading ------------------------------------------------------------------------- */

static enum status open_tensors(struct safetensors **st, const struct checkpoint *cp,
                                struct error *err)
{
    char path[PATH_ROOM];
    TRY(path_join(path, cp->path, "tensors.safetensors", err));
    return safetensors_open(st, path, err);
}

static enum status read_slot(struct safetensors *st, struct model *model, const struct slot *slot,
                             const struct kept *k, float *room, struct error *err)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s%s", k->prefix, slot->name);
    const struct tensor *t = safetensors_need(st, name, err);
    if (!t) return err->status;
    TRY(tensor_expect(t, slot->dims == 2 ? slot->rows : 0, slot->cols, err));
    TRY(tensor_floats(t, room, err));
    model_write(model, k->block, slot, room);
    return OK;
}

enum status checkpoint_read_model(const struct checkpoint *cp, struct model *model,
                                  struct error *err)
{
    const struct layout *layout = &model->layout;
    struct safetensors *st;
    TRY(open_tensors(&st, cp, err));
    float *room = malloc(largest_slot(layout) * sizeof *room);
    if (!room) fail(err, E_MEMORY, "no memory to read the largest tensor");
    for (int k = 0; k < N_KEPT; k++)
        for (int i = 0; i < layout->n_slots && !err->status; i++)
            read_slot(st, model, &layout->slot[i], &kept[k], room, err);
    free(room);
    safetensors_close(st);
    return err->status ? fail_in(err, "%.200s", cp->path) : OK;
}

enum status checkpoint_read_scores(struct checkpoint *cp, struct error *err)
{
    struct safetensors *st;
    TRY(open_tensors(&st, cp, err));
    const struct tensor *t = safetensors_need(st, "scores", err);
    if (t && (t->type != TENSOR_F64 || t->rank != 1 || t->dim[0] != cp->n_scores))
        fail(err, E_INPUT, "tensor scores is not %lld doubles", (long long)cp->n_scores);
    if (!err->status) {
        cp->scores = malloc(t->n_bytes + sizeof(double));
        if (!cp->scores) abort();
        if (t->n_bytes) memcpy(cp->scores, t->bytes, t->n_bytes);
    }
    safetensors_close(st);
    return err->status;
}
