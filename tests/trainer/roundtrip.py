#!/usr/bin/env python3
"""Import, export, import: every tensor comes back byte for byte, through lathe-train, in every form that it both reads and writes.

    LATHE_BIN_DIR=build/dev/bin tests/trainer/roundtrip.py [WORD]      only cases whose name has the word

A quantised GGUF file imported and exported in its own type is the same again, since the largest of a block decides its
scale and survives: 127 steps of it in Q8_0, -8 in Q4_0. That holds for files by any quantiser that works so."""
import json, os, pathlib, random, struct, subprocess, sys, tempfile

BIN = pathlib.Path(os.environ.get("LATHE_BIN_DIR", "build/dev/bin")) / "lathe-train"
HIDDEN, HEAD, VOCAB = 64, 16, 257
SHAPES = {"uniform": [(4, 2, 96)] * 2, "per_layer": [(4, 2, 96), (2, 2, 32), (6, 3, 64)], "odd": [(4, 4, 33), (3, 1, 50)]}
TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
QUANTISED = ("q8_0", "q4_0")


def run(job):
    done = subprocess.run([BIN], input=json.dumps({"schema": "lathe.job/1"} | job), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout.splitlines()[-1])


# ---- models made here -------------------------------------------------------------------------------------------------------

def bits(rng, kind, n):
    """Finite numbers, most of them like weights, some as small or as odd as the type has them."""
    def one():
        if rng.random() < 0.02:
            return rng.choice({"F16": (0, 0x8000, 1, 0x8001, 0x3FF, 0x7BFF), "BF16": (0, 0x8000, 1, 0x807F, 0x0080, 0x4049),
                               "F32": (0, 0x80000000, 1, 0x807FFFFF, 0x00800000, 0x40490FDB)}[kind])
        word = struct.unpack("<I", struct.pack("<f", rng.gauss(0, 0.05)))[0]
        return {"F32": word, "BF16": word >> 16}[kind] if kind != "F16" else struct.unpack("<H", struct.pack("<e", rng.gauss(0, 0.05)))[0]
    return struct.pack(f"<{n}{'I' if kind == 'F32' else 'H'}", *(one() for _ in range(n)))


def names(layers, tied, biases):
    out = {"model.embed_tokens.weight": (VOCAB, HIDDEN), "model.norm.weight": (HIDDEN,)}
    if not tied:
        out["lm_head.weight"] = (VOCAB, HIDDEN)
    for i, (q, kv, ffn) in enumerate(layers):
        p = f"model.layers.{i}."
        out |= {p + "input_layernorm.weight": (HIDDEN,), p + "post_attention_layernorm.weight": (HIDDEN,), p + "mlp.gate_proj.weight": (ffn, HIDDEN),
                p + "mlp.up_proj.weight": (ffn, HIDDEN), p + "mlp.down_proj.weight": (HIDDEN, ffn), p + "self_attn.o_proj.weight": (HIDDEN, q * HEAD)}
        for part, heads in (("q", q), ("k", kv), ("v", kv)):
            out[p + f"self_attn.{part}_proj.weight"] = (heads * HEAD, HIDDEN)
            if biases:
                out[p + f"self_attn.{part}_proj.bias"] = (heads * HEAD,)
    return out


def safetensors(path, tensors, kind):
    head, at = {}, 0
    for name, (dims, data) in tensors.items():
        head[name] = {"dtype": kind, "shape": dims, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, data in tensors.values()))


def source(folder, layers, kind, tied, biases, shards):
    rng = random.Random(f"{layers} {kind} {tied} {biases}")
    tensors = {}
    for name, dims in names(layers, tied, biases).items():
        n = dims[0] * (dims[1] if len(dims) > 1 else 1)
        tensors[name] = (dims, bits(rng, kind, n))
    each = [dict(zip(("num_attention_heads", "num_key_value_heads", "intermediate_size"), layer)) for layer in layers]
    config = {"model_type": "qwen2" if biases else "llama", "hidden_size": HIDDEN, "head_dim": HEAD, "vocab_size": VOCAB, "num_hidden_layers": len(layers),
              "tie_word_embeddings": tied, "rope_theta": 10000.0, "rms_norm_eps": 1e-6} | each[0]
    if any(layer != layers[0] for layer in layers):
        config["per_layer_config"] = {str(i): layer for i, layer in enumerate(each)}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        safetensors(folder / "model.safetensors", tensors, kind)
        return tensors
    order = rng.sample(list(tensors), len(tensors))
    where = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(order)}
    for file in sorted(set(where.values())):
        safetensors(folder / file, {n: tensors[n] for n in order if where[n] == file}, kind)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return tensors


# ---- files read back ---------------------------------------------------------------------------------------------------------

def read_safetensors(path):
    blob = path.read_bytes()
    size = struct.unpack("<Q", blob[:8])[0]
    head = json.loads(blob[8:8 + size])
    return {k: (v["dtype"], blob[8 + size + v["data_offsets"][0]:8 + size + v["data_offsets"][1]]) for k, v in head.items() if k != "__metadata__"}


def imported(path, work):
    run({"kind": "import", "work_dir": str(work), "path": str(path)})
    return work / "result"


def exported(path, work, format, dtype):
    run({"kind": "export", "work_dir": str(work), "model": {"path": str(path)}, "targets": [{"format": format, "dtype": dtype}]})
    found = [p for p in work.rglob("*.gguf" if format == "gguf" else "model.safetensors")]
    assert len(found) == 1, found
    return found[0]


def same(a, b, what):
    assert a.keys() == b.keys(), (what, set(a) ^ set(b))
    for name in a:
        assert a[name] == b[name], f"{what}: {name} differs"


def through(dir, layers, kind, tied, biases, shards):
    want = {n: (kind, data) for n, (_, data) in source(dir / "source", layers, kind, tied, biases, shards).items()}
    first = imported(dir / "source", dir / "first")
    ours, files = read_safetensors(first / "model.safetensors"), 0
    if kind == "F32":
        same(ours, want, "import")
    for form in ("hf", "safetensors", "gguf"):  # in GGUF vectors stay F32, so nothing is rounded there either
        out = exported(first, dir / form, form, TYPES[kind])
        if form != "gguf":
            same(read_safetensors(out), want, form)
        if form != "safetensors":  # weights and a shape alone are no folder to import
            again = imported(out if form == "gguf" else out.parent, dir / f"{form}-again")
            same(read_safetensors(again / "model.safetensors"), ours, f"{form}, imported again")
        files += 1
    return files


def quantised(dir, layers, dtype, tied, biases):
    source(dir / "source", layers, "F32", tied, biases, 1)
    one = exported(dir / "source", dir / "one", "gguf", dtype)
    first = imported(one, dir / "first")
    two = exported(first, dir / "two", "gguf", dtype)
    again = imported(two, dir / "again")
    same(read_safetensors(again / "model.safetensors"), read_safetensors(first / "model.safetensors"), dtype)
    a, b = one.read_bytes(), two.read_bytes()
    assert a == b, f"{dtype}: the files differ"
    return 1


CASES = {}
for _shape in ("uniform", "per_layer"):
    for _kind in TYPES:
        for _tied, _biases, _shards in ((True, False, 1), (False, False, 3), (True, True, 2)):
            _name = f"{_shape}/{_kind}{'/tied' if _tied else ''}{'/biases' if _biases else ''}/{_shards}"
            CASES[_name] = (through, SHAPES[_shape], _kind, _tied, _biases, _shards)
    for _type in QUANTISED:
        CASES[f"{_shape}/{_type}"] = (quantised, SHAPES[_shape], _type, True, False)
        CASES[f"{_shape}/{_type}/biases"] = (quantised, SHAPES[_shape], _type, False, True)
CASES |= {f"odd/{k}": (through, SHAPES["odd"], k, False, True, 2) for k in TYPES} | {f"odd/{t}": (quantised, SHAPES["odd"], t, True, False) for t in QUANTISED}


def main():
    files = 0
    wanted = {k: v for k, v in CASES.items() if len(sys.argv) < 2 or sys.argv[1] in k}
    for name, (check, *args) in wanted.items():
        with tempfile.TemporaryDirectory(prefix="lathe-roundtrip-") as dir:
            try:
                files += check(pathlib.Path(dir), *args)
            except AssertionError as e:
                sys.exit(f"{name}: {e}")
    print(f"{len(wanted)} models, {files} exports: same bytes")


main()
