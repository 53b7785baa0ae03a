/* model.safetensors, one tensor in memory at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/export/export.h"
#include "trainer/formats/file.h"
#include "trainer/formats/safetensors.h"

enum { NAME_ROOM = 64 };

struct list {
    struct weights *w;
    const struct quant_type *type;
    struct tensor *tensor;
    char (*name)[NAME_ROOM];
    int n;
    float *floats;
    void *bytes;
    struct error *err;
};

static enum tensor_type type_of(const struct quant_type *type)
{
    return type->type == GGML_F16 ? TENSOR_F16 : type->type == GGML_BF16 ? TENSOR_BF16 : TENSOR_F32;
}

static enum status count_tensor(void *user, const char *name, int rows, int cols, struct error *err)
{
    (void)name, (void)rows, (void)cols, (void)err;
    ++*(int *)user;
    return OK;
}

static enum status list_tensor(void *user, const char *name, int rows, int cols, struct error *err)
{
    (void)err;
    struct list *list = user;
    struct tensor *t = &list->tensor[list->n];
    snprintf(list->name[list->n], NAME_ROOM, "%s", name);
    *t = (struct tensor){ .name = list->name[list->n],
                          .type = type_of(list->type),
                          .rank = rows ? 2 : 1 };
    t->dim[0] = rows ? rows : cols;
    t->dim[1] = rows ? cols : 0;
    list->n++;
    return OK;
}

static const void *give(void *user, const struct tensor *t)
{
    struct list *list = user;
    int rows = t->rank == 2 ? (int)t->dim[0] : 0, cols = (int)t->dim[t->rank - 1];
    if (list->w->read(list->w, t->name, rows, cols, list->floats, list->err)) return NULL;
    if (list->type->type == GGML_F32) return list->floats;
    quant_encode(list->type, list->floats, (size_t)tensor_count(t), list->bytes);
    return list->bytes;
}

static enum status write_list(struct list *list, const char *dir, struct error *err)
{
    static const char *const metadata[] = { "format", "pt", NULL };
    char path[PATH_ROOM], sha256[HASH_HEX];
    struct error late = { 0 };
    TRY(path_join(path, dir, "model.safetensors", err));
    TRY(weights_each(&list->w->shape, &(struct weights_visit){ list, list_tensor }, err));
    list->err = &late;
    enum status status = safetensors_write(path, list->tensor, list->n, metadata,
                                           &(struct tensor_source){ list, give }, sha256, err);
    if (late.status) *err = late; /* why there was nothing to write */
    return late.status ? late.status : status;
}

enum status export_tensors(struct weights *w, const struct quant_type *type, const char *dir,
                           struct error *err)
{
    int n = 0;
    size_t most = export_largest(&w->shape);
    struct list list = { .w = w, .type = type };
    TRY(weights_each(&w->shape, &(struct weights_visit){ &n, count_tensor }, err));
    list.tensor = calloc((size_t)n, sizeof *list.tensor);
    list.name = calloc((size_t)n, sizeof *list.name);
    if (!list.tensor || !list.name) abort();
    list.floats = malloc(most * sizeof *list.floats);
    list.bytes = malloc(most * (size_t)type->bytes);
    if (!list.floats || !list.bytes)
        fail(err, E_MEMORY, "no memory to convert the largest tensor");
    else
        write_list(&list, dir, err);
    free(list.tensor);
    free(list.name);
    free(list.floats);
    free(list.bytes);
    return err->status;
}
