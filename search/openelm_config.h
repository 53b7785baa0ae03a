#ifndef SEARCH_OPENELM_CONFIG_H
#define SEARCH_OPENELM_CONFIG_H

#include "search/base/field.h"
#include "search/shape.h"

/*
 * The shape of an OpenELM config.json (formats reference, 2.2): arrays with one value a layer.
 *
 *     {"model_type": "openelm", "model_dim": 1280, "head_dim": 64, "vocab_size": 32000,
 *      "num_transformer_layers": 16, "num_query_heads": [12, ...], "num_kv_heads": [3, ...],
 *      "ffn_multipliers": [0.5, ...], "ffn_dim_divisor": 256, "rope_freq_constant": 10000,
 *      "share_input_output_layers": true}
 *
 *     ffn = multiplier * model_dim, to the nearest multiple of the divisor, one more when that
 *           lost a tenth
 *
 * Its widths only: OpenELM normalises queries and keys, so its weights are no weights of ours.
 */
enum status openelm_config_read(struct shape *shape, struct field *f);

#endif
