"""What the made-up service of fake.py holds: searches with their trajectories, runs, a comparison,
exports and evaluations, all invented, all fitting together.
"""
import json
import math
import random
import threading

HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"\'&{{7*7}}'
CONTEXT = 128


def layer(q, kv, ffn):
    return {"q_heads": q, "kv_heads": kv, "ffn": ffn}


def make_shape(n, hidden, q, kv, ffn, vocab=257, head_dim=32):
    return {"schema": "lathe.shape/1", "family": "llama", "hidden_size": hidden, "head_dim": head_dim, "vocab_size": vocab,
            "tie_word_embeddings": True, "rope_theta": 10000, "norm_eps": 1e-5, "layers": [layer(q, kv, ffn) for _ in range(n)]}


def params(s):
    d, h = s["hidden_size"], s["head_dim"]
    return s["vocab_size"] * d + sum(d * (2 * l["q_heads"] * h + 2 * l["kv_heads"] * h + 3 * l["ffn"]) + 2 * d for l in s["layers"]) + d


def totals(s):
    n = params(s)
    return {"params": n, "params_non_embedding": n - s["vocab_size"] * s["hidden_size"], "context": CONTEXT,
            "flops_per_token": 6 * n + 6 * CONTEXT * s["head_dim"] * sum(l["q_heads"] for l in s["layers"]),
            "kv_bytes_per_token": 4 * s["head_dim"] * sum(l["kv_heads"] for l in s["layers"])}


class Trajectory:
    """n removals drawn at random from a source, uniform or per layer."""

    def __init__(self, source, n, seed, scope="uniform"):
        self.source, self.scope, self.random = source, scope, random.Random(seed)
        layers = source["layers"]
        self.left = {"heads": [list(range(l["kv_heads"])) for l in layers], "ffn": [list(range(l["ffn"])) for l in layers],
                     "stem": list(range(source["hidden_size"]))}
        self.shape = json.loads(json.dumps(source))
        self.removals, self.params = [], []
        while len(self.removals) < n:
            self.step(len(self.removals) / n)

    def step(self, at):
        r = self.random
        kind = r.choices(["heads", "ffn", "stem"], [1 if at < 0.2 else 0.15, 8, 0.2 if at < 0.4 else 5])[0]
        layers = range(len(self.source["layers"])) if self.scope == "uniform" else [r.randrange(len(self.source["layers"]))]
        index = []
        if kind == "stem":
            if len(self.left["stem"]) < 9:
                return
            index = [self.left["stem"].pop(r.randrange(len(self.left["stem"])))]
            self.shape["hidden_size"] -= 1
        else:
            if any(len(self.left[kind][l]) < 2 for l in layers):
                return
            for l in layers:
                index.append(self.left[kind][l].pop(r.randrange(len(self.left[kind][l]))))
                s = self.shape["layers"][l]
                if kind == "ffn":
                    s["ffn"] -= 1
                else:
                    s["q_heads"] -= s["q_heads"] // s["kv_heads"]
                    s["kv_heads"] -= 1
        k, n = len(self.removals) + 1, params(self.shape)
        rise = 1.7e-7 * (1 + at ** 3 * 1.4)
        scores = {t: rise * (1 + 0.05 * r.random() + (0.4 * (1 - at) if t == "stem" else 0)) for t in ("heads", "ffn", "stem")}
        self.removals.append({"ordinal": k, "step": 50 + k, "tokens": (50 + k) * 1024, "type": kind,
                              "layer": -1 if kind == "stem" or self.scope == "uniform" else layers[0], "position": index, "index": index,
                              "min_score": scores, "runner_up": min(scores.values()) * 1.02, "params": n, "shape_hash": f"{k:064x}"})

    def shape_at(self, ordinal):
        s = json.loads(json.dumps(self.source))
        for r in self.removals[:ordinal]:
            if r["type"] == "stem":
                s["hidden_size"] -= 1
                continue
            for i, _ in enumerate(r["index"]):
                l = s["layers"][i if r["layer"] < 0 else r["layer"]]
                if r["type"] == "ffn":
                    l["ffn"] -= 1
                else:
                    l["q_heads"] -= l["q_heads"] // l["kv_heads"]
                    l["kv_heads"] -= 1
        return s

    def ordinal_of(self, ratio):
        target = params(self.source) * (1 - ratio)
        return next((r["ordinal"] for r in self.removals if r["params"] <= target), len(self.removals)) if ratio > 0 else 0


def human(source, target):
    f = math.sqrt(target / params(source))
    s = json.loads(json.dumps(source))
    s["hidden_size"] = max(8, round(s["hidden_size"] * f / 8) * 8)
    for l in s["layers"]:
        share = l["q_heads"] // l["kv_heads"]
        l["kv_heads"] = max(1, round(l["kv_heads"] * f))
        l["q_heads"], l["ffn"] = l["kv_heads"] * share, max(8, round(l["ffn"] * f))
    return s


def curve(n, start, end, seed, every=1024):
    r = random.Random(seed)
    return [[i * every, end + (start - end) * math.exp(-5 * i / n) + r.uniform(-0.02, 0.02)] for i in range(1, n + 1)]


class World:
    """What the made-up service holds."""

    def __init__(self, removals=10000):
        self.lock, self.changed = threading.RLock(), threading.Condition()
        self.events, self.searches, self.runs, self.comparisons, self.curves = [], {}, {}, {}, {}
        self.trajectories, self.posted, self.down = {}, [], False
        self.artifacts, self.refused = [], []  # refused: paths, each once
        self.dry_runs, self.latency = 0, lambda path, query: 0  # in seconds, of an answer that is ready
        small = make_shape(6, 192, 6, 6, 512)
        for i, (name, state, n, source, scope) in enumerate([
                ("dictionary prose, uniform", "succeeded", 380, small, "uniform"),
                ("per layer, grouped heads", "succeeded", 900, make_shape(8, 192, 8, 4, 384), "per_layer"),
                ("live", "running", 60, small, "uniform"),
                (HOSTILE, "paused", 20, small, "uniform"),
                ("long", "succeeded", removals, make_shape(24, 1024, 16, 16, 12000), "uniform"),
                ("out of disk", "failed", 0, small, "uniform"),
                ("waiting", "queued", 0, small, "uniform")], 1):
            self.add_search(i, name, state, Trajectory(source, n, i, scope))
        self.searches["srch_6"]["reason"] = "no space left in the data directory (free some, then resume)"
        self.datasets = [{"id": "data_1", "name": "GCIDE dictionary", "state": "succeeded", "reason": None, "tokenizer": "bytes", "vocab_size": 257, "tokens": 11500000,
                          "validation_tokens": 605000, "documents": 41000, "bytes": 12100000, "created_at": "2026-11-21T10:00:00Z"},
                         {"id": "data_2", "name": HOSTILE, "state": "failed", "reason": HOSTILE, "tokenizer": "bytes", "created_at": "2026-11-21T11:00:00Z"}]
        self.models = [{"id": "mod_1", "name": "smollm-135m", "state": "succeeded", "shape": make_shape(30, 576, 9, 3, 1536, 49152, 64), "params": 134515008, "created_at": "2026-11-20T10:00:00Z"}]
        self.add_comparison()
        self.exports = {"exp_1": an_export("exp_1", "run_4", "succeeded"), "exp_2": {**an_export("exp_2", "run_5", "running"), "name": HOSTILE}}
        self.evaluations = {"eval_1": an_evaluation("eval_1", "run_1", "succeeded", 0.61), "eval_2": an_evaluation("eval_2", "run_4", "succeeded", 0.58),
                            "eval_3": {**an_evaluation("eval_3", "run_5", "running", 0.5), "results": [], "name": HOSTILE}}

    def add_search(self, i, name, state, t):
        source, now = params(t.source), t.removals[-1]["params"] if t.removals else params(t.source)
        tokens = t.removals[-1]["tokens"] if t.removals else 0
        self.trajectories[f"srch_{i}"] = t
        self.curves[f"srch_{i}"] = {"loss": curve(max(60, min(600, len(t.removals))), 5.4, 2.1, i, max(1024, tokens // 600)) if tokens else []}
        self.searches[f"srch_{i}"] = {
            "id": f"srch_{i}", "name": name, "state": state, "attempt": 1, "reason": None, "dataset": "data_1", "source_shape": t.source, "params_source": source,
            "params_now": now, "ratio": 1 - now / source, "step": tokens // 1024, "tokens": tokens, "tokens_planned": 500000, "loss": 2.31 if tokens else None,
            "tokens_per_second": 15200.0 if state == "running" else None, "eta_seconds": 40 if state == "running" else None, "removals": len(t.removals), "job": f"job_{i}",
            "created_at": f"2026-11-22T0{i}:00:00Z", "started_at": f"2026-11-22T0{i}:00:05Z", "finished_at": None, "space": {"types": ["heads", "ffn", "stem"], "scope": t.scope},
            "schedule": {"warmup_steps": 50, "steps_per_unit": 1}, "stop": {"ratio": 0.7}, "recipe": {"batch_size": 8, "sequence_length": CONTEXT}, "seed": 1}

    def add_comparison(self):
        arch, arms = self.architecture("srch_1", 200), []
        for arm, end, shape in (("inherit", 2.05, arch["shape"]), ("reinit", 2.21, arch["shape"]), ("human", 2.27, arch["human_shape"])):
            for seed in (1, 2, 3):
                i = len(self.runs) + 1
                final = end + 0.012 * (seed - 2) + random.Random(i).uniform(-0.004, 0.004)
                self.curves[f"run_{i}"] = {"loss": curve(200, 5.2, end, i), "validation_loss": curve(200, 5.2, end, i)[9::10]}
                self.runs[f"run_{i}"] = {"id": f"run_{i}", "name": f"{arm} {seed}", "state": "succeeded", "attempt": 1, "reason": None, "architecture": arch["id"] if arm != "human" else None,
                                         "init": "inherit" if arm == "inherit" else "reinit", "shape": shape, "params": params(shape), "seed": seed, "budget": {"tokens": 204800}, "step": 200,
                                         "tokens": 204800, "loss": end, "validation_loss": final, "tokens_per_second": None, "eta_seconds": None, "dataset": "data_1",
                                         "created_at": f"2026-11-22T08:0{seed}:00Z", "recipe": {"sequence_length": CONTEXT}}
                arms.append({"arm": arm, "seed": seed, "run": f"run_{i}", "state": "succeeded", "params": params(shape), "tokens": 204800, "validation_loss": final})
        of = lambda a: [x["validation_loss"] for x in arms if x["arm"] == a]
        differences = []
        for a, b in (("inherit", "reinit"), ("inherit", "human"), ("reinit", "human")):
            d = [x - y for x, y in zip(of(a), of(b))]
            m = sum(d) / 3
            half = 4.303 * math.sqrt(sum((x - m) ** 2 for x in d) / 2 / 3)
            differences.append({"a": a, "b": b, "mean": m, "per_seed": d, "ci95": [m - half, m + half],
                                "crossover": {"lower": a if m < 0 else b, "tokens": 20480, "per_seed": [10240, 20480, 20480]}})
        self.comparisons["cmp_1"] = {"id": "cmp_1", "name": "found against drawn", "state": "succeeded", "architecture": arch["id"], "budget_rule": "train_matched", "budget": {"tokens": 204800},
                                     "arms": arms, "differences": differences, "created_at": "2026-11-22T09:00:00Z"}

    def architecture(self, search, ordinal):
        t, s = self.trajectories[search], self.searches[search]
        ordinal = max(0, min(len(t.removals), ordinal))
        shape = t.shape_at(ordinal)
        n, r = params(shape), t.removals[ordinal - 1] if ordinal else {}
        return {"id": f"arch_{int(search[5:]) * 100000 + ordinal}", "search": search, "ordinal": ordinal, "step": r.get("step", 0), "tokens": r.get("tokens", 0), "type": r.get("type"),
                "ratio": 1 - n / s["params_source"], "totals": totals(shape), "shape_hash": r.get("shape_hash", "0" * 64), "weights": "snapshot" if ordinal % 100 == 0 else "none",
                "shape": shape, "human_shape": human(t.source, n)}

    def say(self, subject, kind, **body):
        with self.changed:
            self.events.append((len(self.events) + 1, subject, kind, {"resource": subject, **body}))
            self.changed.notify_all()

    def advance(self, search="srch_3"):
        """One more removal and step of a running search, with their events."""
        with self.lock:
            t, s = self.trajectories[search], self.searches[search]
            before = len(t.removals)
            while len(t.removals) == before:
                t.step(min(1, before / 400))
            r = t.removals[-1]
            loss = 2.1 + 3 * math.exp(-before / 80)
            s.update(params_now=r["params"], ratio=1 - r["params"] / s["params_source"], tokens=r["tokens"], step=r["step"], loss=loss, removals=r["ordinal"])
            self.curves[search]["loss"].append([r["tokens"], loss])
        self.say(search, "removal", **r)
        self.say(search, "step", step=r["step"], tokens=r["tokens"], loss=loss, lr=1e-3, grad_norm=1.0, tokens_per_second=15000 + before, phase="prune", params=r["params"])


def an_export(i, subject, state):
    done = state == "succeeded"
    parity = {"prompts": 4, "positions": 96, "max_abs_logit_difference": 3.1e-6, "mean_kl": 4.4e-12, "same_first_choice": 0.9896}
    runtimes = [{"runtime": "transformers", "loads": True, "why": "LlamaForCausalLM"}, {"runtime": "vllm", "loads": False, "why": "its layers differ: take hf_padded, or gguf"}]
    files = [{"artifact": f"art_{k}", "name": name, "bytes": size, "sha256": f"{k:064x}"} for k, (name, size) in enumerate([("config.json", 640), ("model.safetensors", 2_400_000)], 1)]
    targets = [{"format": f, "dtype": d, "params": 600000, "params_stored": stored, "overhead": stored / 600000 - 1, "parity": parity if done else None, "runtimes": runtimes if done else [],
                "files": files if done else []} for f, d, stored in (("hf", "float32", 600000), ("hf_padded", "float16", 640000), ("gguf", "q8_0", 600000))]
    return {"id": i, "name": f"Export of {subject}", "state": state, "reason": None, "subject": subject, "run": subject, "targets": targets, "tokenizer": {"kind": "bytes"}, "job": "job_70", "created_at": "2026-11-22T10:00:00Z"}


def an_evaluation(i, subject, state, acc):
    results = [{"task": "piqa", "form": "piqa", "items": 1838, "metrics": {"acc": acc, "acc_stderr": 0.0114, "acc_norm": acc + 0.01, "acc_norm_stderr": 0.0113}},
               {"task": "latency", "form": "latency", "items": 1, "metrics": {"decode_tokens_per_second": 15234.5, "decode_tokens_per_second_min": 15100, "decode_tokens_per_second_max": 15300, "time_to_first_token_ms": 3.25}}]
    return {"id": i, "name": f"Evaluation of {subject}", "state": state, "reason": None, "subject": subject, "run": subject, "tasks": [{"name": r["task"], "form": r["form"]} for r in results], "results": results,
            "progress": {"done": 700, "total": 1838, "unit": "items"}, "job": "job_71", "created_at": "2026-11-22T11:00:00Z"}
