#!/usr/bin/env python3
"""Reference vectors for what ../shared/golden lacks: biases on q, k, v; llama3 rotary scaling; layers
that differ; odd widths; a batch of one; three positions.

An independent implementation: the network written down with PyTorch in float64, gradients by its
autograd, three steps by torch.optim.AdamW. Needs torch (Debian: python3-torch) and nothing of ours.

    tests/golden/make.py        writes tests/golden/<case>/model and expected.safetensors
"""
import json, math, pathlib, struct
import torch
import torch.nn.functional as F

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)

CASES = {
    "qwen2_bias_odd": dict(family="qwen2", hidden=23, head_dim=6, vocab=41, tied=True, eps=1e-6, theta=5e5,
                           layers=[(4, 2, 19), (4, 2, 19)], batch=1, time=11),
    "llama3_scaling_uneven": dict(family="llama", hidden=26, head_dim=8, vocab=37, tied=False, eps=1e-5,
                                  theta=1e4, layers=[(4, 2, 21), (6, 3, 13), (2, 1, 34)], batch=2, time=40,
                                  scaling=dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                               original_max_position_embeddings=24)),
    "llama_three_positions": dict(family="llama", hidden=10, head_dim=2, vocab=7, tied=True, eps=1e-5, theta=1e4,
                                layers=[(3, 1, 5)], batch=3, time=3),
}


def shapes(c):
    """Name -> size, as Hugging Face names and lays them out."""
    d, h, out = c["hidden"], c["head_dim"], {"model.embed_tokens.weight": (c["vocab"], c["hidden"])}
    for l, (q, k, f) in enumerate(c["layers"]):
        p = f"model.layers.{l}."
        for name, rows in (("q", q * h), ("k", k * h), ("v", k * h)):
            out[f"{p}self_attn.{name}_proj.weight"] = (rows, d)
            if c["family"] == "qwen2":
                out[f"{p}self_attn.{name}_proj.bias"] = (rows,)
        out[p + "self_attn.o_proj.weight"] = (d, q * h)
        out[p + "mlp.gate_proj.weight"] = out[p + "mlp.up_proj.weight"] = (f, d)
        out[p + "mlp.down_proj.weight"] = (d, f)
        out[p + "input_layernorm.weight"] = out[p + "post_attention_layernorm.weight"] = (d,)
    out["model.norm.weight"] = (d,)
    if not c["tied"]:
        out["lm_head.weight"] = (c["vocab"], d)
    return out


def frequencies(c):
    f = c["theta"] ** (-torch.arange(0, c["head_dim"], 2) / c["head_dim"])
    s = c.get("scaling")
    if not s:
        return f
    wave, length = 2 * math.pi / f, s["original_max_position_embeddings"]
    blend = (length / wave - s["low_freq_factor"]) / (s["high_freq_factor"] - s["low_freq_factor"])
    return torch.where(wave > length / s["low_freq_factor"], f / s["factor"],
                       torch.where(wave < length / s["high_freq_factor"], f,
                                   (1 - blend) * f / s["factor"] + blend * f))


def norm(x, gain, eps):
    return gain * x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def rotate(x, angles):
    """x (B, heads, T, D): pairs are (i, i + D/2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def logits(c, w, ids):
    B, T = ids.shape
    D, x = c["head_dim"], w["model.embed_tokens.weight"][ids]
    angles = torch.outer(torch.arange(T, dtype=torch.float64), frequencies(c))
    mask = torch.full((T, T), -math.inf).triu(1)
    for l, (H, K, f) in enumerate(c["layers"]):
        p = f"model.layers.{l}."
        lin = lambda name, y: F.linear(y, w[f"{p}{name}.weight"], w.get(f"{p}{name}.bias"))
        heads = lambda name, n, y: lin(name, y).view(B, T, n, D).transpose(1, 2)
        y = norm(x, w[p + "input_layernorm.weight"], c["eps"])
        q = rotate(heads("self_attn.q_proj", H, y), angles)
        k = rotate(heads("self_attn.k_proj", K, y), angles).repeat_interleave(H // K, 1)
        v = heads("self_attn.v_proj", K, y).repeat_interleave(H // K, 1)
        att = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(D) + mask, -1) @ v
        x = x + lin("self_attn.o_proj", att.transpose(1, 2).reshape(B, T, H * D))
        y = norm(x, w[p + "post_attention_layernorm.weight"], c["eps"])
        x = x + lin("mlp.down_proj", F.silu(lin("mlp.gate_proj", y)) * lin("mlp.up_proj", y))
    head = w["model.embed_tokens.weight" if c["tied"] else "lm_head.weight"]
    return F.linear(norm(x, w["model.norm.weight"], c["eps"]), head)


def config(c):
    q, k, f = c["layers"][0]
    rope = dict(rope_theta=c["theta"], rope_type="default")
    if "scaling" in c:
        rope.update(rope_type="llama3", **c["scaling"])
    out = dict(model_type=c["family"], hidden_size=c["hidden"], head_dim=c["head_dim"], vocab_size=c["vocab"],
               num_hidden_layers=len(c["layers"]), num_attention_heads=q, num_key_value_heads=k,
               intermediate_size=f, rms_norm_eps=c["eps"], hidden_act="silu", rope_parameters=rope,
               tie_word_embeddings=c["tied"], max_position_embeddings=64, torch_dtype="float32")
    uneven = {str(l): dict(num_attention_heads=q, num_key_value_heads=k, intermediate_size=f)
              for l, (q, k, f) in enumerate(c["layers"])}
    if len(set(c["layers"])) > 1:
        out["per_layer_config"] = uneven
    return out


def save(path, tensors):
    header, data = {}, b""
    for name, t in sorted(tensors.items()):
        kind, t = ("I32", t.to(torch.int32)) if not t.is_floating_point() else ("F32", t.to(torch.float32))
        raw = t.detach().contiguous().numpy().tobytes()
        header[name] = dict(dtype=kind, shape=list(t.shape), data_offsets=[len(data), len(data) + len(raw)])
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def make(folder, c):
    # exactly representable in float32, so that both sides start from the same numbers
    w = {n: ((1.0 if len(s) == 1 and "norm" in n else 0.0) + torch.randn(s) * (0.3 if len(s) == 2 else 0.2))
         .float().double().requires_grad_() for n, s in shapes(c).items()}
    ids = torch.randint(0, c["vocab"], (c["batch"], c["time"]))
    loss_of = lambda z: F.cross_entropy(z[:, :-1].reshape(-1, c["vocab"]), ids[:, 1:].reshape(-1))
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model/config.json").write_text(json.dumps(config(c), indent=1) + "\n")
    save(folder / "model/model.safetensors", w)
    z = logits(c, w, ids)
    out = {"input_ids": ids, "logits": z, "loss": loss_of(z).reshape(())}
    steps = torch.optim.AdamW([dict(params=[t for t in w.values() if t.dim() == 2], weight_decay=0.1),
                               dict(params=[t for t in w.values() if t.dim() == 1], weight_decay=0.0)],
                              lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for step in range(3):
        steps.zero_grad()
        loss = loss_of(logits(c, w, ids))
        loss.backward()
        if step == 0:
            out.update({"grad." + n: t.grad.clone() for n, t in w.items()})
        losses.append(loss.detach())
        norms.append(torch.nn.utils.clip_grad_norm_(list(w.values()), 1.0))
        steps.step()
    out["train.losses"], out["train.grad_norms"] = torch.stack(losses), torch.stack(norms)
    out.update({"after3." + n: t for n, t in w.items()})
    save(folder / "expected.safetensors", out)


for name, case in CASES.items():
    make(pathlib.Path(__file__).parent / name, case)
