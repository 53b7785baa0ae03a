"""The configuration of DeciLM models (model_type nemotron-nas), whose blocks differ: config.block_configs[i] has
attention.n_heads_in_group and ffn.ffn_mult, read as attributes. For runtimes with a DeciLM of their own, such as
vLLM and SGLang; in transformers the weights are loaded by modeling_lathe.py, of which this is the translation."""
from types import SimpleNamespace

from transformers import PretrainedConfig


def block(tree):
    if not isinstance(tree, dict):
        return tree
    return SimpleNamespace(**{key: block(value) for key, value in tree.items()})


def plain(tree):
    if not isinstance(tree, SimpleNamespace):
        return tree
    return {key: plain(value) for key, value in vars(tree).items()}


class DeciLMConfig(PretrainedConfig):
    model_type = "nemotron-nas"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(self, block_configs=None, **kwargs):
        self.block_configs = [block(tree) for tree in block_configs or []]
        super().__init__(**kwargs)

    def to_dict(self):
        out = super().to_dict()
        out["block_configs"] = [plain(tree) for tree in self.block_configs]
        return out
