#ifndef SERVER_API_CONFIG_FORMAT_H
#define SERVER_API_CONFIG_FORMAT_H

#include "search/shape.h"

/*
 * A shape in the words of others (reference: formats, 2.1 to 2.4):
 *
 *   hf                a stock Hugging Face config.json; layers must be alike
 *   per_layer_config  the same with what differs by layer under "per_layer_config"
 *   decilm            Nemotron-NAS "block_configs"; every layer must have the same number of
 *                     query heads, and loaders round FFN widths up to multiples of 256
 *   gguf              the metadata keys of a GGUF file: architecture llama when layers are
 *                     alike, deci with arrays otherwise
 */
enum config_format { CONFIG_HF, CONFIG_PER_LAYER, CONFIG_DECILM, CONFIG_GGUF };

extern const char *const config_formats[]; /* their names, NULL-terminated */

/* Writes one object. `context` is the sequence length it was trained with. E_CONFLICT says why
 * a format cannot express the shape, and which can. */
enum status config_emit(enum config_format format, const struct shape *shape, int context,
                        struct emit *e, struct error *err);

#endif
