#include "trainer/export/export.h"

#include <stdlib.h>
#include <string.h>

#include "search/padding.h"
#include "trainer/export/pad.h"
#include "trainer/formats/file.h"

const char *const export_formats[] = { "hf",          "hf_padded", "decilm", "gguf",
                                       "safetensors", "shape",     NULL };
const char *const export_types[] = { "float32", "float16", "bfloat16", "q8_0", "q4_0", NULL };

const struct quant_type *export_type(int i)
{
    static const enum ggml_type types[] = { GGML_F32, GGML_F16, GGML_BF16, GGML_Q8_0, GGML_Q4_0 };
    return quant_type_of((uint32_t)types[i]);
}

bool export_is_stock(const struct shape *shape)
{
    return shape_is_uniform(shape) && !shape->output_bias &&
           shape->hidden_size % shape->layer[0].q_heads == 0;
}

enum status export_text(const char *dir, const char *name, const struct buf *text,
                        struct error *err)
{
    char path[PATH_ROOM];
    TRY(path_join(path, dir, name, err));
    if (text->failed) return fail(err, E_LIMIT, "%s passes %zu bytes", name, text->ceiling);
    return file_write(path, text->bytes, text->len, err);
}

static enum status note_size(void *user, const char *name, int rows, int cols, struct error *err)
{
    (void)name, (void)err;
    size_t *most = user, n = (size_t)(rows ? rows : 1) * (size_t)cols;
    *most = n > *most ? n : *most;
    return OK;
}

size_t export_largest(const struct shape *shape)
{
    size_t most = 0;
    struct error none = { 0 };
    weights_each(shape, &(struct weights_visit){ &most, note_size }, &none);
    return most;
}

static enum status export_padded(struct weights *w, const struct export_spec *spec, const char *dir,
                                 struct export_result *out, struct error *err)
{
    struct shape larger;
    struct weights *padded;
    pad_to_stock(&w->shape, &larger);
    TRY(weights_pad(&padded, w, &larger, err));
    export_hf(padded, spec, dir, out, err);
    weights_close(padded);
    return err->status;
}

static enum status export_plain(struct weights *w, const struct export_spec *spec, const char *dir,
                                struct export_result *out, struct error *err)
{
    out->shape = w->shape;
    out->has_weights = spec->format == EXPORT_SAFETENSORS;
    strcpy(out->architecture, "none");
    if (out->has_weights) TRY(export_tensors(w, spec->type, dir, err));
    return export_shape(&w->shape, dir, err);
}

enum status export_model(struct weights *w, const struct export_spec *spec, const char *dir,
                         struct export_result *out, struct error *err)
{
    *out = (struct export_result){ 0 };
    if (spec->type->block > 1 && spec->format != EXPORT_GGUF)
        return fail(err, E_INPUT, "%s is a type of gguf; %s takes float32, float16 and bfloat16",
                    spec->type->name, export_formats[spec->format]);
    switch (spec->format) {
    case EXPORT_HF: TRY(export_hf(w, spec, dir, out, err)); break;
    case EXPORT_HF_PADDED: TRY(export_padded(w, spec, dir, out, err)); break;
    case EXPORT_DECILM: TRY(export_decilm(w, spec, dir, out, err)); break;
    case EXPORT_GGUF: TRY(export_gguf(w, spec, dir, out, err)); break;
    case EXPORT_SAFETENSORS:
    case EXPORT_SHAPE: TRY(export_plain(w, spec, dir, out, err)); break;
    }
    return export_card(w, spec, out, dir, err);
}
