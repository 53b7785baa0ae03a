"""Shape documents."""
from __future__ import annotations

from typing import Any, Optional


def uniform_shape(layers: int, hidden: int, heads: int, ffn: int, kv_heads: Optional[int] = None,
                  head_dim: Optional[int] = None, vocab_size: Optional[int] = None,
                  **more: Any) -> dict[str, Any]:
    """A Llama shape whose layers are all alike.

    Without vocab_size, create_search takes the dataset's. `more` are further members of the shape
    document, such as rope_theta.
    """
    layer = {"q_heads": heads, "kv_heads": kv_heads or heads, "ffn": ffn}
    shape: dict[str, Any] = {
        "schema": "lathe.shape/1", "family": "llama", "hidden_size": hidden,
        "head_dim": head_dim or hidden // heads, "tie_word_embeddings": True, "rope_theta": 10000.0,
        "norm_eps": 1e-5, "layers": [dict(layer) for _ in range(layers)], **more}
    if vocab_size:
        shape["vocab_size"] = vocab_size
    return shape
