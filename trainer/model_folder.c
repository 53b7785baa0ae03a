#include "trainer/model_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "search/base/log.h"
#include "trainer/data/ends.h"
#include "trainer/formats/file.h"
#include "search/hf_config.h"
#include "trainer/formats/safetensors.h"

static size_t largest_slot(const struct layout *layout)
{
    size_t most = 0;
    for (int i = 0; i < layout->n_slots; i++) {
        size_t n = (size_t)layout->slot[i].rows * (size_t)layout->slot[i].cols;
        most = n > most ? n : most;
    }
    return most;
}

/* ---- reading -------------------------------------------------------------------------- */

enum status model_folder_read(struct model *model, struct weights *w, struct error *err)
{
    const struct layout *layout = &model->layout;
    struct shape expected = layout->current;
    bool adds_bias = expected.output_bias && !w->shape.output_bias;
    if (adds_bias) expected.output_bias = false;
    if (!shape_equal(&w->shape, &expected))
        return fail(err, E_INPUT, "the weights have another shape than the model");
    float *room = malloc(largest_slot(layout) * sizeof *room);
    if (!room) return fail(err, E_MEMORY, "no memory to convert the largest tensor");
    for (int i = 0; i < layout->n_slots && !err->status; i++) {
        const struct slot *slot = &layout->slot[i];
        int rows = slot->dims == 2 ? slot->rows : 0;
        if (adds_bias && (slot->kind == SLOT_O_BIAS || slot->kind == SLOT_DOWN_BIAS)) continue;
        if (!w->read(w, slot->name, rows, slot->cols, room, err))
            model_write(model, MODEL_WEIGHTS, slot, room);
    }
    free(room);
    return err->status;
}

/* ---- writing ----------------------------------------------------------------------------- */

struct source {
    struct model *model;
    float *room;
};

static const void *slot_bytes(void *user, const struct tensor *t)
{
    struct source *source = user;
    const struct slot *slot = layout_find(&source->model->layout, t->name);
    model_read(source->model, MODEL_WEIGHTS, slot, source->room);
    return source->room;
}

static enum status write_weights(struct model *model, const char *dir, char sha256[HASH_HEX],
                                 struct error *err)
{
    static const char *const metadata[] = { "format", "pt", NULL };
    const struct layout *layout = &model->layout;
    char path[PATH_ROOM];
    TRY(path_join(path, dir, "model.safetensors", err));
    struct tensor *tensor = calloc((size_t)layout->n_slots, sizeof *tensor);
    struct source source = { model, malloc(largest_slot(layout) * sizeof(float)) };
    if (!tensor) abort();
    for (int i = 0; i < layout->n_slots; i++) {
        const struct slot *slot = &layout->slot[i];
        tensor[i] = (struct tensor){ .name = slot->name, .type = TENSOR_F32, .rank = slot->dims };
        tensor[i].dim[0] = slot->dims == 2 ? slot->rows : slot->cols;
        tensor[i].dim[1] = slot->dims == 2 ? slot->cols : 0;
    }
    if (!source.room)
        fail(err, E_MEMORY, "no memory to write the largest tensor");
    else
        safetensors_write(path, tensor, layout->n_slots, metadata,
                          &(struct tensor_source){ &source, slot_bytes }, sha256, err);
    free(source.room);
    free(tensor);
    return err->status;
}

static enum status write_json(const char *dir, const char *name, const struct buf *json,
                              struct error *err)
{
    char path[PATH_ROOM];
    TRY(path_join(path, dir, name, err));
    return file_write(path, json->bytes, json->len, err);
}

static enum status write_config(const struct shape *shape, const struct hf_config_extra *hf,
                                const char *dir, struct error *err)
{
    struct buf json;
    struct emit e;
    buf_init(&json, HF_CONFIG_MAX_BYTES);
    emit_init(&e, &json);
    hf_config_emit(shape, hf, &e);
    write_json(dir, "config.json", &json, err);
    buf_clear(&json);
    emit_init(&e, &json);
    shape_emit(shape, &e);
    if (!err->status) write_json(dir, "shape.json", &json, err);
    buf_release(&json);
    return err->status;
}

/* Whatever tokenizer_open reads becomes a tokenizer.json, with what begins and ends a text beside
 * it and in `hf`. A model without one, or with one that we cannot read, is a model all the same. */
static enum status copy_tokenizer(const struct model_folder_extra *extra, const char *dir,
                                  struct hf_config_extra *hf, struct error *err)
{
    struct tokenizer *t;
    struct ends ends;
    struct error why = { 0 };
    if (!extra->tokenizer_dir) return OK;
    if (tokenizer_open(&t, extra->tokenizer_dir, &why)) {
        if (why.status != E_MISSING) log_warn("no tokenizer comes along: %s", why.text);
        return OK;
    }
    ends_read(&ends, t, extra->tokenizer_dir);
    if (hf->eos_id < 0) hf->eos_id = ends.eos;
    hf->bos_id = ends.bos >= 0 ? ends.bos : hf->eos_id;
    if (!t->save(t, dir, err)) ends_write(&ends, t, extra->max_position, dir, err);
    tokenizer_close(t);
    return err->status;
}

static enum status write_parts(struct model *model, const char *dir,
                               const struct model_folder_extra *extra, char sha256[HASH_HEX],
                               struct error *err)
{
    TRY(dir_make(dir, err));
    TRY(write_weights(model, dir, sha256, err));
    struct hf_config_extra hf = { extra->max_position, extra->eos_id, extra->eos_id };
    TRY(copy_tokenizer(extra, dir, &hf, err));
    return write_config(model_shape(model), &hf, dir, err);
}

enum status model_folder_write(struct model *model, const char *path,
                               const struct model_folder_extra *extra, char sha256[HASH_HEX],
                               struct error *err)
{
    char tmp[PATH_ROOM];
    if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= PATH_ROOM)
        return fail(err, E_LIMIT, "the path %.80s... is too long", path);
    TRY(dir_remove(tmp, err));
    if (write_parts(model, tmp, extra, sha256, err) || dir_commit(tmp, path, err)) {
        struct error ignored = { 0 };
        dir_remove(tmp, &ignored); /* gives a full disk its space back */
    }
    return err->status;
}
