#ifndef SEARCH_HF_CONFIG_H
#define SEARCH_HF_CONFIG_H

#include "search/base/emit.h"
#include "search/base/field.h"
#include "search/shape.h"

/*
 * Hugging Face's config.json and our shape.
 *
 * Read: model_type llama, qwen2 and the two below, the v4 form (rope_theta, rope_scaling) and the
 * v5 form (rope_parameters; rope_scaling wins over it) of rotary settings, llama3 scaling,
 * head_dim or hidden_size / num_attention_heads, and per_layer_config, with which
 * transformers 5.15 and later describe layers that differ:
 *
 *     "per_layer_config": {"5": {"intermediate_size": 8192, "num_attention_heads": 7,
 *                                "num_key_value_heads": 7}}
 *
 * lathe (our own exports of layers that differ; attention_bias then means q, k and v)
 * and nemotron-nas (DeciLM), whose widths are in block_configs:
 *
 *     {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 1.3125}}
 *     kv_heads = num_attention_heads / n_heads_in_group
 *     ffn = int(2 ffn_mult hidden_size / 3), up to a multiple of 256
 *
 * Members that do not touch the mathematics are not looked at. Those that would make
 * us compute something else than the model (another activation, biases we lack,
 * sliding windows, other rope scaling, quantisation) are E_INPUT naming the member.
 *
 * Written: both forms of the rotary settings; per_layer_config for every layer when
 * they are not alike, the plain members then being the largest of any layer.
 * A model with biases on q, k and v is a qwen2 for Hugging Face whatever our
 * family says, and the other way round; "lathe": {"family"} keeps ours in that case.
 */
enum { HF_CONFIG_MAX_BYTES = 4 << 20 };

struct hf_config_extra {
    int max_position;   /* max_position_embeddings; 0: not given */
    int bos_id, eos_id; /* -1: none */
};

/* `extra` may be NULL. */
enum status hf_config_parse(struct shape *shape, struct hf_config_extra *extra, const char *text,
                            size_t len, struct error *err);

/* Layers from block_configs, for hf_config_parse. */
void hf_config_read_blocks(struct shape *shape, struct field *f);

/* One object. */
void hf_config_emit(const struct shape *shape, const struct hf_config_extra *extra, struct emit *e);

#endif
