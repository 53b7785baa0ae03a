#!/usr/bin/env python3
"""Makes quants.json: random blocks of every GGUF type we read and the floats that gguf-py makes of them, and
floats with the bytes that gguf-py quantises them to.   pip install gguf==0.19.0; python3 make_quants.py"""
import json, pathlib
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(7)
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
out = {"decode": [], "encode": []}
for name, places in HALVES.items():
    block, size = GGML_QUANT_SIZES[T[name]]
    n = 1 if block == 256 else 3
    raw = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in places:  # scales that are sane numbers
        raw[:, at:at + 2] = rng.uniform(-0.1, 0.1, (n, 1)).astype(np.float16).view(np.uint8)
    floats = dequantize(raw.reshape(-1), T[name])
    out["decode"].append({"type": name, "bytes": raw.tobytes().hex(), "floats": [float(x) for x in floats.reshape(-1)]})
for name in ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1"):
    x = (rng.standard_normal(96) * 10.0 ** rng.integers(-6, 3, 96)).astype(np.float32)
    x[:32] = rng.standard_normal(32).astype(np.float32)
    x[5], x[6] = 0.0, -0.0
    if name == "Q4_0":
        x[64:] = 0
    raw = quantize(x.reshape(3, 32), T[name]).tobytes()
    out["encode"].append({"type": name, "floats": [float(v) for v in x], "bytes": raw.hex()})
(pathlib.Path(__file__).parent / "quants.json").write_text(json.dumps(out, indent=None, separators=(", ", ": ")).replace("}, {", "},\n{") + "\n")
