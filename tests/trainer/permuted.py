#!/usr/bin/env python3
"""Order inside a layer is free: a source whose heads, FFN channels and stem channels are shuffled loses the same
ones, in the same order, by every criterion that needs no numbers of a place. Near ties may fall either way."""
import array
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

BIN = pathlib.Path(os.environ["LATHE_BIN_DIR"]) / "lathe-train"
SHAPES = {"uniform": [(6, 3, 40)] * 3,  # query heads, KV heads, FFN channels of each layer
          "per_layer": [(6, 3, 40), (4, 2, 24), (6, 3, 32)]}
HIDDEN, HEAD, CLOSE = 24, 8, 1e-3
SEARCHES = {
    "efficientllm": {},
    "efficientllm_b": {"update": "obs"},
    "by_query": {"space": {"head_unit": "query"}},
    "fisher": {"criterion": {"name": "fisher"}},
    "wanda_sp": {"criterion": {"name": "wanda_sp"}, "space": {"types": ["heads", "ffn"]}},
    "flap": {"criterion": {"name": "flap"}, "update": "bias", "space": {"types": ["heads", "ffn"]}},
} | {name: {"criterion": {"name": name}} for name in ("magnitude_l2", "vectorize", "param_mix", "minitron", "saap")}


def run(job):
    done = subprocess.run([BIN], input=json.dumps(job), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def read(path):
    blob = path.read_bytes()
    size = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:8 + size])
    return {k: (v["shape"], array.array("f", blob[8 + size + v["data_offsets"][0]:8 + size + v["data_offsets"][1]]))
            for k, v in header.items() if k != "__metadata__"}


def write(path, tensors):
    header, at = {}, 0
    for name, (shape, values) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * len(values)]}
        at += 4 * len(values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(v.tobytes() for _, v in tensors.values()))


def rows(tensor, order):
    shape, values = tensor
    width = shape[1] if len(shape) > 1 else 1
    return shape, array.array("f", [x for r in order for x in values[r * width:(r + 1) * width]])


def columns(tensor, order):
    shape, values = tensor
    return shape, array.array("f", [values[r * shape[1] + c] for r in range(shape[0]) for c in order])


def heads(order, size):
    return [h * size + i for h in order for i in range(size)]


def shuffle(tensors, layers, rng):
    """The same function with its units elsewhere, and where each came from: stem, per layer KV groups and channels."""
    def order(n):
        return rng.sample(range(n), n)
    stem, where, out = order(HIDDEN), [], {}
    groups, channels = [order(kv) for _, kv, _ in layers], [order(ffn) for _, _, ffn in layers]
    for name, tensor in tensors.items():
        part, kind = name.split("."), name.split(".")[-2]
        layer = int(part[2]) if part[1] == "layers" else 0
        wide = HEAD * layers[layer][0] // layers[layer][1]
        if kind in ("q_proj", "k_proj", "v_proj"):
            tensor = rows(columns(tensor, stem), heads(groups[layer], wide if kind == "q_proj" else HEAD))
        elif kind == "o_proj":
            tensor = rows(columns(tensor, heads(groups[layer], wide)), stem)
        elif kind in ("gate_proj", "up_proj"):
            tensor = rows(columns(tensor, stem), channels[layer])
        elif kind == "down_proj":
            tensor = rows(columns(tensor, channels[layer]), stem)
        else:
            tensor = columns(tensor, stem) if len(tensor[0]) > 1 else rows(tensor, stem)
        out[name] = tensor
    return out, stem, groups, channels


def named(event, where, layers, by_query):
    """What a removal took, in the first source's numbers."""
    stem, groups, channels = where
    if event["type"] == "stem":
        return [stem[i] for i in event["index"]]
    touched = range(len(layers)) if event["layer"] < 0 else [event["layer"]]
    if event["type"] == "ffn":
        places = [(l, channels[l]) for l in touched]
    elif by_query:  # one query head of each KV group; which groups come first is the order of the model
        places = [(l, heads(groups[l], layers[l][0] // layers[l][1])) for l in touched for _ in groups[l]]
    else:
        places = [(l, groups[l]) for l in touched]
    return sorted((l, known[i]) for (l, known), i in zip(places, event["index"], strict=True) if i >= 0)


def compare(plain, mixed, where, layers, by_query):
    """How many removals agree before the first that does not, which must be a near tie."""
    same = tuple(list(range(len(x))) for x in (where[0],)) + tuple([list(range(len(x))) for x in part] for part in where[1:])
    for n, (a, b) in enumerate(zip(plain, mixed, strict=True)):
        if a["type"] != b["type"] or named(a, same, layers, by_query) != named(b, where, layers, by_query):
            low = min(x for x in a["min_score"].values() if x is not None)
            assert a["runner_up"] - low < CLOSE * low, (n, a, b)
            return n
    return len(plain)


def job(home, kind, name, model, tokens, **more):
    return {"schema": "lathe.job/1", "kind": kind, "work_dir": f"{home}/{name}", "threads": 1, "seed": 3,
            "model": model, "data": {"path": f"{home}/data/result"}, "budget": {"tokens": tokens},
            "recipe": {"batch_size": 4, "sequence_length": 32, "learning_rate": 3e-3, "warmup_steps": 5},
            "validation": {"every_steps": 0, "tokens": 512}, **more}


def scope_of(scope, layers, home, rng):
    shape = {"hidden_size": HIDDEN, "head_dim": HEAD, "vocab_size": 257, "tie_word_embeddings": True,
             "layers": [{"q_heads": q, "kv_heads": kv, "ffn": ffn} for q, kv, ffn in layers]}
    run(job(home, "train", scope, {"shape": shape}, 4 * 32 * 60))
    source, mixed = home / scope / "result", home / f"{scope}-mixed"
    shutil.copytree(source, mixed)
    tensors, *where = shuffle(read(source / "model.safetensors"), layers, rng)
    write(mixed / "model.safetensors", tensors)
    for name, change in SEARCHES.items():
        options = {"schedule": {"warmup_steps": 4, "steps_per_unit": 2}, "stop": {"ratio": 0.25}, **change}
        options["space"] = {"scope": scope, **change.get("space", {})}
        found = []
        for i, at in enumerate((source, mixed)):
            events = run(job(home, "search", f"{scope}-{name}-{i}", {"path": str(at)}, 0, search=options))
            found.append([e for e in events if e["event"] == "removal"])
        agreed = compare(*found, where, layers, "head_unit" in options["space"])
        print(f"{scope}, {name}: {agreed} of {len(found[0])} removals alike")
        assert agreed > len(found[0]) // 2, "near ties cannot explain this"


def main():
    with tempfile.TemporaryDirectory() as folder:
        home, rng = pathlib.Path(folder), random.Random(4)
        words = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 6))) for _ in range(80)]
        (home / "text").write_text("\n\n".join(" ".join(rng.choices(words, k=400)) for _ in range(60)))
        run({"schema": "lathe.job/1", "kind": "dataset", "work_dir": folder + "/data", "tokenizer": {"kind": "bytes"},
             "files": [{"path": str(home / "text"), "format": "text"}], "validation_fraction": 0.1})
        for scope, layers in SHAPES.items():
            scope_of(scope, layers, home, rng)


if __name__ == "__main__":
    main()
