#!/usr/bin/env python3
"""Exports models and loads them with the runtimes that others use; prints one line per case and a table.

    python3 -m venv V; V/bin/pip install torch transformers safetensors numpy xllamacpp gguf mlx-lm 'mlx[cpu]'
    V/bin/python tests/e2e/export_loaders.py [--bin build/dev/bin] [--keep FOLDER] [--record tests/golden/export_loaders.txt]

For every model (uniform, per-layer, GQA, tied, untied, biases, llama3 rope scaling, odd widths): export to every
format, then compare the logits of each runtime with ours on the same ids, and 50 greedy tokens. A runtime that is
not installed is skipped and named. Exit status 1 when something differs by more than its type allows, or a runtime
does otherwise than the support matrix beside the export says; 77 when there is no runtime at all, as where CI runs. What
it said last is in tests/golden/export_loaders.txt."""
import argparse, collections, importlib.metadata, importlib.util, json, os, pathlib, subprocess, sys, tempfile, warnings

try:
    import numpy as np
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}; the head of this file says what it takes")
    sys.exit(77)

warnings.filterwarnings("ignore")
os.environ.update(TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
ROOT = pathlib.Path(__file__).resolve().parents[2]
IDS = [5, 17, 3, 264, 91, 400, 42, 7, 7, 301, 12, 88, 640, 1, 33, 270, 511, 9, 350, 64]
VOCAB, HD = 907, 32
MODELS = {  # hidden, [(q heads, KV heads, ffn)], tied, biases, llama3
    "uniform_gqa_untied": (256, [(8, 4, 512)] * 3, False, False, False),
    "uniform_mha_tied": (256, [(8, 8, 512)] * 2, True, False, False),
    "per_layer": (256, [(8, 4, 512), (4, 2, 256), (6, 2, 288), (3, 1, 512)], False, False, False),
    "per_layer_odd": (200, [(5, 5, 333), (7, 7, 130), (2, 2, 97)], True, False, False),
    "pruned_heads": (256, [(5, 5, 384)] * 2, True, False, False),
    "qwen2_biases": (256, [(8, 2, 512)] * 2, True, True, False),
    "per_layer_biases": (256, [(8, 2, 512), (4, 1, 300)], True, True, False),
    "output_biases": (256, [(8, 4, 512)] * 2, True, "output", False),
    "per_layer_all_biases": (256, [(8, 2, 512), (4, 1, 300)], False, "all", False),
    "llama3_rope": (256, [(8, 4, 512)] * 2, False, False, True),
}
TARGETS = [("hf", "float32"), ("hf", "bfloat16"), ("hf_padded", "float32"), ("decilm", "float32"), ("gguf", "float32"),
           ("gguf", "float16"), ("gguf", "bfloat16"), ("gguf", "q8_0"), ("gguf", "q4_0"), ("safetensors", "float32"), ("shape", "float32")]
PREFIXES = (1, 4, 11, 20)
TEXT = "It was 1865, and the naïve old café — don't ask — had 3,000 visitors\n\n  a day."
# Largest difference of a log-probability from ours on the same stored numbers. transformers computes in float32 whatever
# is stored; mlx computes in the stored type; llama.cpp rounds activations to 16 bits, or to 8 where weights are quantised.
BOUND = {("transformers", "bfloat16"): 2e-4, ("mlx-lm", "bfloat16"): 1.0, ("llama.cpp", "float16"): 0.05, ("llama.cpp", "bfloat16"): 0.3,
         ("llama.cpp", "q8_0"): 0.6, ("llama.cpp", "q4_0"): 0.8}


def silent_tokens():
    """Ids that shall not be chosen: those that end a text, and pieces of characters, which llama-server holds back."""
    vocab = json.loads((ROOT / "tests/golden/tokenizer_qwen2/tokenizer.json").read_text())["model"]["vocab"]
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    byte_of = {chr(b): b for b in plain} | {chr(0x100 + i): b for i, b in enumerate(b for b in range(256) if b not in plain)}
    return [*range(900, VOCAB)] + [i for text, i in vocab.items() if any(byte_of[c] > 127 for c in text)]


def make_model(folder, hidden, layers, tied, biases, llama3, seed):
    from safetensors.numpy import save_file
    rng = np.random.default_rng(seed)
    draw = lambda *shape: (rng.standard_normal(shape) * (1.6 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.1)).astype(np.float32)
    t = {"model.embed_tokens.weight": draw(VOCAB, hidden) * 8, "model.norm.weight": 1 + draw(hidden)}
    if tied:
        t["model.embed_tokens.weight"] /= 4
    else:
        t["lm_head.weight"] = draw(VOCAB, hidden)
    t["model.embed_tokens.weight" if tied else "lm_head.weight"][silent_tokens()] = 0
    for i, (q, kv, ffn) in enumerate(layers):
        at, mlp = f"model.layers.{i}.self_attn.", f"model.layers.{i}.mlp."
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            t[at + name + "_proj.weight"] = draw(rows * HD, hidden)
            if biases in (True, "all"):
                t[at + name + "_proj.bias"] = draw(rows * HD)
        t[at + "o_proj.weight"] = draw(hidden, q * HD)
        t[mlp + "gate_proj.weight"], t[mlp + "up_proj.weight"], t[mlp + "down_proj.weight"] = draw(ffn, hidden), draw(ffn, hidden), draw(hidden, ffn)
        if biases in ("output", "all"):
            t[at + "o_proj.bias"], t[mlp + "down_proj.bias"] = draw(hidden), draw(hidden)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            t[f"model.layers.{i}.{norm}.weight"] = 1 + draw(hidden)
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    if llama3:
        rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192}
    config = {"model_type": "qwen2" if biases is True else "llama", "hidden_size": hidden, "head_dim": HD, "vocab_size": VOCAB, "num_hidden_layers": len(layers),
              "num_attention_heads": max(q for q, _, _ in layers), "num_key_value_heads": max(kv for _, kv, _ in layers),
              "intermediate_size": max(f for _, _, f in layers), "tie_word_embeddings": tied, "rms_norm_eps": 1e-5, "rope_parameters": rope,
              "max_position_embeddings": 1024, "hidden_act": "silu"}
    if biases in ("output", "all"):
        config |= {"model_type": "lathe", "attention_bias": biases == "all", "lathe": {"family": "llama", "output_bias": True}}
    if len(set(layers)) > 1:
        config["per_layer_config"] = {str(i): {"num_attention_heads": q, "num_key_value_heads": kv, "intermediate_size": f} for i, (q, kv, f) in enumerate(layers)}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_bytes((ROOT / "tests/golden/tokenizer_qwen2/tokenizer.json").read_bytes())
    save_file(t, folder / "model.safetensors", metadata={"format": "pt"})


def ours(binaries, model, ids):
    run = subprocess.run([str(binaries / "logits"), str(model), "ref"], input=" ".join(map(str, ids)).encode(), capture_output=True)
    if run.returncode:
        raise RuntimeError(run.stderr.decode())
    return np.frombuffer(run.stdout, np.float32).reshape(len(ids), -1)


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max()
    return x - np.log(np.exp(x).sum())


def greedy(last, n=50):
    ids = list(IDS[:5])
    for _ in range(n):
        ids.append(int(last(ids).argmax()))
    return ids


class Transformers:
    name, formats = "transformers", ("hf", "hf_padded", "gguf")

    def __init__(self, path):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        file = {"gguf_file": "model.gguf"} if (path / "model.gguf").exists() else {}
        self.torch, self.tokenizer = torch, AutoTokenizer.from_pretrained(path, **file)
        torch.set_num_threads(1)
        self.model = AutoModelForCausalLM.from_pretrained(path, trust_remote_code=True, dtype=torch.float32, **file).eval()

    def last(self, ids):
        with self.torch.no_grad():
            return self.model(self.torch.tensor([ids])).logits[0, -1].numpy()

    def generate(self, n=50):
        out = self.model.generate(self.torch.tensor([IDS[:5]]), max_new_tokens=n, min_new_tokens=n, do_sample=False, eos_token_id=None)
        return out[0].tolist()

    def tokens_agree(self, ids):
        return self.tokenizer(TEXT, add_special_tokens=False)["input_ids"] == ids


class LlamaCpp:
    name, formats = "llama.cpp", ("gguf",)

    def __init__(self, path):
        import xllamacpp as x
        p = x.CommonParams()
        p.model.path = str(path / "model.gguf")
        p.n_ctx = p.n_batch = p.n_ubatch = 512
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
        p.n_gpu_layers, p.warmup, p.verbosity = 0, False, 0
        p.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        p.cache_type_k = p.cache_type_v = x.ggml_type.GGML_TYPE_F32
        self.server = x.Server(p)

    def ask(self, prompt, n, top):
        return self.server.handle_completions({"prompt": prompt, "n_predict": n, "temperature": 0, "n_probs": top, "logprobs": top, "cache_prompt": False,
                                               "ignore_eos": False})["choices"][0]["logprobs"]["content"]

    def last(self, prompt):
        out = np.full(VOCAB, -np.inf)
        for entry in self.ask(prompt, 1, VOCAB)[0]["top_logprobs"]:
            out[entry["id"]] = entry["logprob"]
        return out

    def generate(self, n=50):
        return list(IDS[:5]) + [entry["id"] for entry in self.ask(IDS[:5], n, 1)]

    def tokens_agree(self, ids):
        return bool(np.abs(self.last(TEXT) - self.last(ids)).max() < 1e-4)


class Mlx:
    name, formats = "mlx-lm", ("hf", "hf_padded", "decilm")

    def __init__(self, path):
        import mlx.core as mx
        from mlx_lm.utils import load_model
        mx.set_default_device(mx.cpu)
        self.mx = mx
        self.model = load_model(path)[0]

    def last(self, ids):
        return np.array(self.model(self.mx.array([ids]))[0, -1].astype(self.mx.float32))

    def generate(self, n=50):
        return greedy(self.last, n)

    def tokens_agree(self, ids):
        return True  # it uses transformers' tokenizer


def available(runtimes):
    found = []
    for runtime, module in runtimes:
        try:
            __import__(module)
            found.append(runtime)
        except Exception as why:
            print(f"skipped: {runtime.name} is not here ({why})")
    return found


def export(binaries, work, name, model):
    job = {"schema": "lathe.job/1", "kind": "export", "work_dir": str(work), "name": name, "backend": "ref", "threads": 1, "model": {"path": str(model)},
           "targets": [{"format": f, "dtype": d} for f, d in TARGETS if not (f == "decilm" and "biases" in name)]}
    run = subprocess.run([str(binaries / "lathe-train")], input=json.dumps(job).encode(), capture_output=True)
    if run.returncode:
        raise RuntimeError(run.stdout.decode()[-600:] + run.stderr.decode()[-600:])
    return json.loads((work / "result/export.json").read_text())


def compare(runtime, target, folder, binaries, name, tokens, text_ids):
    dtype = target["path"].rsplit("-", 1)[1]
    stored = ours(binaries, folder / "model.gguf" if target["format"] == "gguf" else folder, IDS)
    loaded = runtime(folder)
    difference = max(float(np.abs(log_softmax(loaded.last(IDS[:n])) - log_softmax(stored[n - 1])).max()) for n in PREFIXES)
    row = {"model": name, "target": target["path"], "runtime": runtime.name, "max_abs": difference, "ours_to_source": target["parity"]["max_abs_logit_difference"],
           "tokens": loaded.tokens_agree(text_ids)}
    row["ok"] = row["tokens"] and difference <= BOUND.get((runtime.name, dtype), 2e-4)
    if dtype == "float32":
        row["greedy_equal"] = loaded.generate() == tokens
        row["ok"] = row["ok"] and row["greedy_equal"]
    return row


def table(rows):
    """Largest difference of each runtime and target over the models that it loads, and what it does not load."""
    versions = [f"{n} {importlib.metadata.version(n)}" for n in ("transformers", "torch", "xllamacpp", "mlx-lm", "mlx") if importlib.util.find_spec(n.replace("-", "_"))]
    loaded, refused = collections.defaultdict(list), collections.defaultdict(list)
    for r in rows:
        (refused if r.get("claimed") is False else loaded)[r["runtime"], r["target"]].append(r)
    out = [", ".join(versions), f"{len(MODELS)} models, {len(rows)} cases: {sum(map(len, loaded.values()))} loaded, {sum(map(len, refused.values()))} that the support matrix says are not",
           "", f"{'runtime':14}{'target':20}{'models':>6}  {'largest difference':>18}  50 greedy tokens equal"]
    for (runtime, target), group in sorted(loaded.items()):
        greedy_ = [r["greedy_equal"] for r in group if "greedy_equal" in r]
        worst = max((r["max_abs"] for r in group if "max_abs" in r), default=float("nan"))
        out.append(f"{runtime:14}{target:20}{len(group):6}  {worst:18.1e}  {f'{sum(greedy_)} of {len(greedy_)}' if greedy_ else '-'}")
    out += ["", "as the support matrix says, not loaded, or loaded as something else:"]
    for (runtime, target), group in sorted(refused.items()):
        out.append(f"{runtime:14}{target:20}" + ", ".join(sorted(r["model"] for r in group)))
    bad = [r for r in rows if not r["ok"]]
    return "\n".join([*out, "", *(f"FAILED {json.dumps(r)}" for r in bad), f"{len(rows) - len(bad)} passed, {len(bad)} failed"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=pathlib.Path, help="where the table goes, too")
    parser.add_argument("--bin", type=pathlib.Path, default=os.environ.get("LATHE_BIN_DIR", ROOT / "build/dev/bin"))
    parser.add_argument("--keep", type=pathlib.Path)
    args = parser.parse_args()
    root = args.keep or pathlib.Path(tempfile.mkdtemp(prefix="lathe-export-"))
    runtimes = available([(Transformers, "transformers"), (LlamaCpp, "xllamacpp"), (Mlx, "mlx_lm")])
    if not runtimes:
        sys.exit(77)
    rows = []
    for seed, (name, spec) in enumerate(MODELS.items()):
        model = root / name / "model"
        make_model(model, *spec, seed)
        report = export(args.bin, root / name / "work", name, model)
        tokens = greedy(lambda ids: ours(args.bin, model, ids)[-1])
        tokenize = subprocess.run([str(args.bin / "bench_tokenizer"), str(model), "--ids"], input=json.dumps(TEXT).encode(), capture_output=True)
        text_ids = [int(i) for i in tokenize.stdout.split()]
        for target in report["targets"]:
            folder = root / name / "work/result" / target["path"]
            claims = {r["runtime"]: r["loads"] for r in target["runtimes"]}
            for runtime in runtimes:
                if target["format"] not in runtime.formats:
                    continue
                try:
                    rows.append(compare(runtime, target, folder, args.bin, name, tokens, text_ids))
                    rows[-1]["claimed"] = claims.get(runtime.name)
                    rows[-1]["ok"] |= rows[-1]["claimed"] is False
                except Exception as why:
                    claimed = claims.get(runtime.name)
                    rows.append({"model": name, "target": target["path"], "runtime": runtime.name, "ok": not claimed, "claimed": claimed,
                                 "failed": f"{type(why).__name__}: {why}"[:160]})
                print(json.dumps(rows[-1]), flush=True)
        print(json.dumps({"model": name, "padded_overhead": next(t["overhead"] for t in report["targets"] if t["format"] == "hf_padded")}))
    if args.record:
        args.record.write_text(table(rows))
    print("\n" + table(rows))
    sys.exit(any(not r["ok"] for r in rows))


if __name__ == "__main__":
    main()
