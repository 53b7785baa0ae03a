#ifndef TRAINER_FORMATS_WEIGHTS_H
#define TRAINER_FORMATS_WEIGHTS_H

#include "search/shape.h"

/*
 * Weights on disk, whatever the format: a shape and tensors by Hugging Face name,
 * converted to float32 one at a time, so that no second copy of a model is held.
 *
 *     folder with config.json and model.safetensors, or, where that is missing, with
 *       model.safetensors.index.json and the shards it names   (weights_hf.c)
 *     a .gguf file                                              (weights_gguf.c)
 *
 * Opening checks everything but the numbers: every tensor that the shape needs is
 * there with the right dimensions and a type we read, and none is there that we
 * would not use, since a model with, say, norms on q and k is not the model that we
 * would compute. Tensors that are known to be derived (rotary_emb.inv_freq, an
 * lm_head beside tied embeddings) are passed over.
 */
struct weights {
    struct shape shape;
    int max_position;   /* context the model was made for; 0 when the file does not say */
    const char *format; /* "hf", "gguf" */

    /* Tensor `name`, dense (rows, cols) row-major, or (cols) when rows is 0; into `out`. */
    enum status (*read)(struct weights *w, const char *name, int rows, int cols, float *out,
                        struct error *err);
    void (*close)(struct weights *w);
    void *state; /* the format's own */
};

/* E_MISSING for a path that does not exist; E_INPUT names file and tensor or key otherwise. */
enum status weights_open(struct weights **out, const char *path, struct error *err);
void weights_close(struct weights *w); /* NULL is fine */

/* The formats. */
enum status weights_open_hf(struct weights **out, const char *dir, struct error *err);
enum status weights_open_gguf(struct weights **out, const char *path, struct error *err);

/* Calls `visit` for every tensor of a shape, with rows 0 for vectors, until it fails. */
struct weights_visit {
    void *user;
    enum status (*tensor)(void *user, const char *name, int rows, int cols, struct error *err);
};
enum status weights_each(const struct shape *shape, const struct weights_visit *visit,
                         struct error *err);

#endif
