"""Sound models in few bytes, made so that any part of them can be spoilt; hostile.py spoils them."""
import json, struct

HIDDEN, HEAD, VOCAB, LAYERS, FFN = 16, 4, 260, 2, 24


def config(**more):
    return {"model_type": "llama", "hidden_size": HIDDEN, "head_dim": HEAD, "vocab_size": VOCAB, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": FFN, "tie_word_embeddings": True, "rope_theta": 10000.0, "rms_norm_eps": 1e-5} | more


def shapes():
    out = {"model.embed_tokens.weight": [VOCAB, HIDDEN], "model.norm.weight": [HIDDEN]}
    for l in range(LAYERS):
        p = f"model.layers.{l}."
        out |= {p + "self_attn.q_proj.weight": [16, HIDDEN], p + "self_attn.k_proj.weight": [8, HIDDEN], p + "self_attn.v_proj.weight": [8, HIDDEN],
                p + "self_attn.o_proj.weight": [HIDDEN, 16], p + "mlp.gate_proj.weight": [FFN, HIDDEN], p + "mlp.up_proj.weight": [FFN, HIDDEN],
                p + "mlp.down_proj.weight": [HIDDEN, FFN], p + "input_layernorm.weight": [HIDDEN], p + "post_attention_layernorm.weight": [HIDDEN]}
    return out


def size(dims):
    n = 1
    for d in dims:
        n *= d
    return n


def header():
    out, at = {}, 0
    for name, dims in shapes().items():
        out[name] = {"dtype": "F32", "shape": dims, "data_offsets": [at, at + 4 * size(dims)]}
        at += 4 * size(dims)
    return out, at


def safetensors(head, data, length=None):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def folder(dir, tensors=None, settings=None, tokenizer=None):
    head, n = header()
    put = lambda name, what: (dir / name).write_bytes(what if isinstance(what, bytes) else json.dumps(what).encode())
    put("config.json", config() if settings is None else settings)
    put("model.safetensors", safetensors(head, bytes(n)) if tensors is None else tensors)
    put("tokenizer.json", byte_tokenizer() if tokenizer is None else tokenizer)
    return dir


def byte_tokenizer(**more):
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {b: chr(b) for b in plain} | {b: chr(0x100 + i) for i, b in enumerate(b for b in range(256) if b not in plain)}
    model = {"type": "BPE", "vocab": {letters[b]: b for b in range(256)}, "merges": []}
    return {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            "post_processor": None, "decoder": {"type": "ByteLevel"}, "model": model | more.pop("model", {})} | more


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(s)) + s


U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9


def key(name, kind, value):
    if kind == ARRAY:
        item, values = value
        body = struct.pack("<IQ", item, len(values)) + b"".join(text(v) if item == STRING else struct.pack("<i", v) for v in values)
    else:
        body = text(value) if kind == STRING else struct.pack({U32: "<I", I32: "<i", F32: "<f"}[kind], value)
    return text(name) + struct.pack("<I", kind) + body


def gguf_keys(**more):
    arch = more.pop("arch", "llama")
    keys = {"general.architecture": (STRING, arch), f"{arch}.block_count": (U32, LAYERS), f"{arch}.context_length": (U32, 64), f"{arch}.embedding_length": (U32, HIDDEN),
            f"{arch}.feed_forward_length": (U32, FFN), f"{arch}.attention.head_count": (U32, 4), f"{arch}.attention.head_count_kv": (U32, 2),
            f"{arch}.attention.key_length": (U32, HEAD), f"{arch}.attention.value_length": (U32, HEAD), f"{arch}.rope.dimension_count": (U32, HEAD),
            f"{arch}.attention.layer_norm_rms_epsilon": (F32, 1e-5), f"{arch}.vocab_size": (U32, VOCAB)}
    for name, value in more.items():
        full = name.replace("__", ".") if "__" in name else f"{arch}.{name}"
        keys[full] = value
    return {k: v for k, v in keys.items() if v is not None}


def gguf_tensors():
    out = {"token_embd.weight": [HIDDEN, VOCAB], "output_norm.weight": [HIDDEN]}
    for l in range(LAYERS):
        out |= {f"blk.{l}.{n}.weight": d for n, d in (("attn_norm", [HIDDEN]), ("attn_q", [HIDDEN, 16]), ("attn_k", [HIDDEN, 8]), ("attn_v", [HIDDEN, 8]),
                ("attn_output", [16, HIDDEN]), ("ffn_norm", [HIDDEN]), ("ffn_gate", [HIDDEN, FFN]), ("ffn_up", [HIDDEN, FFN]), ("ffn_down", [FFN, HIDDEN]))}
    return out


def gguf(keys=None, tensors=None, version=3, n_tensors=None, n_keys=None, spoil=lambda name, info: info, extra=b"", cut=0, raw_keys=b"", more_keys=0):
    keys, tensors = gguf_keys() if keys is None else keys, gguf_tensors() if tensors is None else tensors
    infos, at = b"", 0
    for name, dims in tensors.items():
        name_, dims_, kind, offset = spoil(name, (name, dims, 0, at))
        infos += text(name_) + struct.pack("<I", len(dims_)) + b"".join(struct.pack("<Q", d & (2**64 - 1)) for d in dims_) + struct.pack("<IQ", kind, offset & (2**64 - 1))
        at += (4 * size(dims) + 31) // 32 * 32
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if n_tensors is None else n_tensors, len(keys) + more_keys if n_keys is None else n_keys)
    out += b"".join(key(k, *v) for k, v in keys.items()) + raw_keys + infos + extra
    out += bytes(-len(out) % 32) + bytes(at)
    return out[:len(out) - cut] if cut else out


def one(tensor, **change):
    """Spoils one tensor's entry."""
    def spoil(n, info):
        if n != tensor:
            return info
        was = dict(zip(("name", "dims", "kind", "offset"), info))
        return tuple((was | change).values())
    return spoil
