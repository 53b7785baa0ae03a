"""A Llama whose layers differ in width. Loads with AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).

config.per_layer_config names, for every layer, num_attention_heads, num_key_value_heads and intermediate_size; the
plain members of config.json are the largest of any layer. Everything else is Llama's, except that attention_bias puts
biases on q, k and v only, as Qwen2 has them, and "output_bias" of config.lathe on o and down. Works with transformers 4 (where per_layer_config is a plain dictionary)
and 5 (where it is a view of one config per layer).
"""
import copy

from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.models.llama.modeling_llama import (LlamaDecoderLayer, LlamaPreTrainedModel, LlamaRMSNorm,
                                                      LlamaRotaryEmbedding)


class LatheConfig(LlamaConfig):
    model_type = "lathe"

    @property
    def allow_global_per_layer_attribute_access(self):
        return True  # the plain members are the largest of any layer, which is what caches want

    def validate_architecture(self):
        pass  # q_heads * head_dim need not be the hidden size, and need not divide it


def layer_config(config, i):
    layers = getattr(config, "per_layer_config", None)
    if not layers:
        return config
    if not isinstance(layers, dict):
        return layers[i]
    mine = copy.copy(config)
    for name, value in layers.get(str(i), layers.get(i, {})).items():
        setattr(mine, name, value)
    return mine


def with_bias(linear, bias):
    if (linear.bias is not None) == bias:
        return linear
    return nn.Linear(linear.in_features, linear.out_features, bias=bias)


def make_layer(config, i):
    layer = LlamaDecoderLayer(layer_config(config, i), i)
    output_bias = bool((getattr(config, "lathe", None) or {}).get("output_bias"))
    layer.self_attn.o_proj = with_bias(layer.self_attn.o_proj, output_bias)
    layer.mlp.down_proj = with_bias(layer.mlp.down_proj, output_bias)
    return layer


class LatheModel(LlamaModel):
    config_class = LatheConfig

    def __init__(self, config):
        LlamaPreTrainedModel.__init__(self, config)
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, self.padding_idx)
        self.layers = nn.ModuleList([make_layer(config, i) for i in range(config.num_hidden_layers)])
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(config=layer_config(config, 0))
        self.gradient_checkpointing = False
        self.post_init()


class LatheForCausalLM(LlamaForCausalLM):
    config_class = LatheConfig

    def __init__(self, config):
        LlamaPreTrainedModel.__init__(self, config)
        self.model = LatheModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
