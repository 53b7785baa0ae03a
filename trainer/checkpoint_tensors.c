#include "trainer/checkpoint_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/formats/safetensors.h"
#include "trainer/lora.h"
#include "trainer/ranks.h"

enum { NAME = 80 };

/* Everything of a model that a checkpoint keeps, each with where it lies. */
struct kept {
    char name[NAME];
    int dims;
    struct view view; /* without a block where another rank has it */
    int owner;        /* that rank */
};

struct keeping {
    struct backend *be;
    struct kept *kept;
    int n;
    float *room; /* for the largest */
};

static struct kept *keep(struct keeping *k, const char *prefix, const struct slot *slot, int dims,
                         struct view view)
{
    struct kept *kept = &k->kept[k->n++];
    snprintf(kept->name, NAME, "%s%s", prefix, slot->name);
    kept->dims = dims;
    kept->view = view;
    return kept;
}

static void keep_slots(struct keeping *k, const struct model *model, const char *prefix,
                       enum model_block which)
{
    for (int i = 0; i < model->layout.n_slots; i++) {
        const struct slot *slot = &model->layout.slot[i];
        struct view view = { NULL, 0, slot->rows, slot->cols, slot->ld };
        if (model_keeps(model, which, slot)) view = model_view(model, which, slot);
        keep(k, prefix, slot, slot->dims, view)->owner = model_owner(model, slot);
    }
}

static void keep_adapters(struct keeping *k, const struct lora *lora, const char *a, const char *s,
                          enum model_block which)
{
    for (int i = 0; i < lora->n; i++) {
        const struct adapter *adapter = &lora->adapter[i];
        keep(k, a, adapter->slot, 2, lora_a(lora, which, adapter));
        keep(k, s, adapter->slot, 2, lora_s(lora, which, adapter));
    }
}

static enum status keeping_open(struct keeping *k, const struct model *model, struct error *err)
{
    const struct lora *lora = model->lora;
    size_t most = 1, n = 3 * (size_t)(model->layout.n_slots + 2 * (lora ? lora->n : 0));
    *k = (struct keeping){ .be = model->be, .kept = calloc(n, sizeof *k->kept) };
    if (!k->kept) abort();
    keep_slots(k, model, "weights.", MODEL_WEIGHTS);
    if (lora) {
        keep_adapters(k, lora, "a.", "s.", MODEL_WEIGHTS);
        keep_adapters(k, lora, "m.a.", "m.s.", MODEL_M);
        keep_adapters(k, lora, "v.a.", "v.s.", MODEL_V);
    } else {
        keep_slots(k, model, "m.", MODEL_M);
        keep_slots(k, model, "v.", MODEL_V);
    }
    for (int i = 0; i < k->n; i++) {
        size_t size = (size_t)k->kept[i].view.rows * (size_t)k->kept[i].view.cols;
        most = size > most ? size : most;
    }
    k->room = malloc(most * sizeof *k->room);
    return k->room ? OK : fail(err, E_MEMORY, "no memory for the largest tensor");
}

static void keeping_close(struct keeping *k)
{
    free(k->kept);
    free(k->room);
}

/* ---- writing ------------------------------------------------------------------------- */

/* Into `room`, from here or from its owner. */
static void fetch(struct keeping *k, int i)
{
    const struct kept *kept = &k->kept[i];
    bool here = kept->view.block != NULL;
    if (here) k->be->download(k->be, k->room, kept->view);
    if (!here || !ranks_is_root())
        ranks_hand_over(k->room, (size_t)kept->view.rows * (size_t)kept->view.cols, kept->owner);
}

enum status checkpoint_attend(struct model *model, struct error *err)
{
    struct keeping k;
    int i = -1;
    if (!keeping_open(&k, model, err))
        for (ranks_broadcast(&i, sizeof i); i >= 0; ranks_broadcast(&i, sizeof i)) fetch(&k, i);
    keeping_close(&k);
    return err->status;
}

void checkpoint_dismiss(void)
{
    int none = -1;
    ranks_broadcast(&none, sizeof none);
}

struct source {
    const struct checkpoint *cp;
    struct keeping *keeping;
};

static const void *tensor_bytes(void *user, const struct tensor *t)
{
    struct source *s = user;
    struct keeping *k = s->keeping;
    if (!strcmp(t->name, "scores")) return s->cp->scores;
    int i = 0;
    while (strcmp(k->kept[i].name, t->name)) i++;
    if (!k->kept[i].view.block) ranks_broadcast(&i, sizeof i); /* the others attend */
    fetch(k, i);
    return k->room;
}

static void list_tensors(struct tensor *tensor, const struct keeping *k,
                         const struct checkpoint *cp)
{
    for (int i = 0; i < k->n; i++) {
        const struct kept *kept = &k->kept[i];
        tensor[i] = (struct tensor){ .name = kept->name, .type = TENSOR_F32, .rank = kept->dims };
        tensor[i].dim[0] = kept->dims == 2 ? kept->view.rows : kept->view.cols;
        tensor[i].dim[1] = kept->dims == 2 ? kept->view.cols : 0;
    }
    tensor[k->n] =
        (struct tensor){ .name = "scores", .type = TENSOR_F64, .rank = 1, .dim = { cp->n_scores } };
}

enum status checkpoint_write_tensors(const struct checkpoint *cp, struct model *model,
                                     const char *dir, struct error *err)
{
    char path[PATH_ROOM], sha256[HASH_HEX];
    struct keeping k;
    TRY(path_join(path, dir, "tensors.safetensors", err));
    if (!keeping_open(&k, model, err)) {
        struct tensor *tensor = calloc((size_t)k.n + 1, sizeof *tensor);
        struct source source = { cp, &k };
        if (!tensor) abort();
        list_tensors(tensor, &k, cp);
        safetensors_write(path, tensor, k.n + 1, NULL,
                          &(struct tensor_source){ &source, tensor_bytes }, sha256, err);
        free(tensor);
    }
    keeping_close(&k);
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

static enum status read_kept(struct safetensors *st, struct keeping *k, const struct kept *kept,
                             struct error *err)
{
    if (!kept->view.block) return OK;
    const struct tensor *t = safetensors_need(st, kept->name, err);
    if (!t) return err->status;
    TRY(tensor_expect(t, kept->dims == 2 ? kept->view.rows : 0, kept->view.cols, err));
    TRY(tensor_floats(t, k->room, err));
    k->be->upload(k->be, kept->view, k->room);
    return OK;
}

enum status checkpoint_read_model(const struct checkpoint *cp, struct model *model,
                                  struct error *err)
{
    struct safetensors *st;
    struct keeping k;
    TRY(open_tensors(&st, cp, err));
    keeping_open(&k, model, err);
    for (int i = 0; i < k.n && !err->status; i++) read_kept(st, &k, &k.kept[i], err);
    keeping_close(&k);
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
