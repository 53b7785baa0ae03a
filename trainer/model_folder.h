#ifndef TRAINER_MODEL_FOLDER_H
#define TRAINER_MODEL_FOLDER_H

#include "trainer/formats/weights.h"
#include "trainer/model.h"

/*
 * A model as others load it: a Hugging Face folder.
 *
 *     config.json         hf_config.h; per_layer_config when layers differ
 *     model.safetensors   float32, Hugging Face names, the current shape
 *     shape.json          the same shape as lathe.shape/1
 *     tokenizer.json      what the ids mean, when it is known; with it tokenizer_config.json and
 *                         generation_config.json: what begins and ends a text (data/ends.h)
 */

/* Every tensor of the model's current shape from `w`, which must have that shape. */
enum status model_folder_read(struct model *model, struct weights *w, struct error *err);

struct model_folder_extra {
    const char *tokenizer_dir; /* what tokenizer_open reads (a folder, a GGUF file); NULL: none */
    int max_position, eos_id;  /* for config.json; eos_id -1: what the tokenizer ends with */
};

/* Complete or absent: into `path` by way of `path`.tmp. `sha256` is that of model.safetensors. */
enum status model_folder_write(struct model *model, const char *path,
                               const struct model_folder_extra *extra, char sha256[HASH_HEX],
                               struct error *err);

#endif
