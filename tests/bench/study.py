#!/usr/bin/env python3
"""Which choices of the search matter: a study over methods, ratios and seeds.

    study.py --trainer lathe-train --data DATASET_DIR --work DIR [--scale tiny] [--jobs 16]

One source is trained. From it every method prunes, with every seed, along one trajectory whose
snapshots at the ratios asked for are then trained on. Trajectories reach a ratio sooner or later;
what counts as the same budget is --equal: `total`, the tokens from the source to the end (the
later the snapshot, the shorter the recovery), or `recovery`, those after the snapshot. The table
shows the validation losses, mean and spread over the seeds, and the mean difference from
EfficientLLM-A with the same seed. Needs lathe-train, a dataset folder (dataset.json, train.bin,
valid.bin) and Python. What is done already is not done again: give the same command after an
interruption, or with more seeds or methods.
"""
import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import subprocess
import sys
import threading
import time

# What a method changes in the options of the search; the rest is EfficientLLM's. Wanda-sp and FLAP
# know heads and FFN channels only, and FLAP ranks them over all layers.
METHODS = {
    "A": {},
    "B": {"update": "obs"},
    "per_layer": {"space": {"scope": "per_layer"}},
    "magnitude_l2": {"criterion": {"name": "magnitude_l2"}},
    "fisher": {"criterion": {"name": "fisher"}},
    "wanda_sp": {"criterion": {"name": "wanda_sp"}, "space": {"types": ["heads", "ffn"]}},
    "flap": {"criterion": {"name": "flap"},
             "space": {"types": ["heads", "ffn"], "scope": "per_layer"}},
    "flap, bias": {"criterion": {"name": "flap"}, "update": "bias",
                   "space": {"types": ["heads", "ffn"], "scope": "per_layer"}},
    "bypass": {"criterion": {"name": "bypass", "keep": {"learning_rate": 0.02}},
               "space": {"types": ["heads", "ffn"]}},
    "A, sum": {"criterion": {"normalise": "none"}},
    "A, credits 1/1/1": {"schedule": {"credits": {"heads": 1, "ffn": 1, "stem": 1}}},
    "A, shared index": {"space": {"index": "shared"}},
    "A, no embedding": {"criterion": {"embedding_in_stem": False}},
    "random": {"criterion": {"name": "random"}},
}
# Not in the default set; name them with --methods.
MORE_METHODS = {
    "A, heads and ffn": {"space": {"types": ["heads", "ffn"]}},
    "wanda_sp, stem too": {"criterion": {"name": "wanda_sp"}},
    "wanda_sp, stem too, by parameter": {"criterion": {"name": "wanda_sp",
                                                       "normalise": "parameter"}},
    "flap, stem too": {"criterion": {"name": "flap"}},
    "minitron": {"criterion": {"name": "minitron"}},
    "vectorize": {"criterion": {"name": "vectorize"}},
    "param_mix": {"criterion": {"name": "param_mix"}},
    "saap": {"criterion": {"name": "saap"}},
    "obs": {"criterion": {"name": "obs"}},
    "obs, update": {"criterion": {"name": "obs"}, "update": "obs"},
    "per_layer, update": {"space": {"scope": "per_layer"}, "update": "obs"},
    "A, abs after": {"criterion": {"abs": "after"}},
    "A, ema 0.9": {"criterion": {"ema": 0.9}},
    "A, in 8 rounds": {"rounds": 8},
    "one shot": {"rounds": 1},
}

# `steps` count batches of batch * sequence tokens.
SCALES = {
    "smoke": {"hidden": 32, "layers": 4, "head_dim": 8, "heads": 4, "kv_heads": 4, "ffn": 96,
              "batch": 4, "sequence": 64, "rate": 2e-3, "source": 60, "prune": 60, "recover": 30,
              "validation": 4096},
    "mini": {"hidden": 48, "layers": 4, "head_dim": 12, "heads": 4, "kv_heads": 4, "ffn": 128,
             "batch": 8, "sequence": 48, "rate": 3e-3, "source": 2000, "prune": 200,
             "recover": 120, "validation": 32768},
    "tiny": {"hidden": 96, "layers": 6, "head_dim": 16, "heads": 6, "kv_heads": 6, "ffn": 256,
             "batch": 8, "sequence": 128, "rate": 2e-3, "source": 2000, "prune": 800,
             "recover": 500, "validation": 65536},
    "small": {"hidden": 256, "layers": 8, "head_dim": 32, "heads": 8, "kv_heads": 8, "ffn": 704,
              "batch": 16, "sequence": 256, "rate": 1e-3, "source": 6000, "prune": 2500,
              "recover": 1500, "validation": 262144},
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--trainer", default="lathe-train", help="the program lathe-train")
    parser.add_argument("--data", required=True, help="a dataset folder with a validation split")
    parser.add_argument("--work", required=True, help="where everything is written")
    parser.add_argument("--scale", choices=SCALES, default="tiny")
    parser.add_argument("--steps", help="of source, pruning and recovery instead of the scale's: "
                        "1000,500,300")
    parser.add_argument("--methods", default=",".join(k.replace(",", ";") for k in METHODS),
                        help="names with commas (';' inside a name), or 'all'; default: the main set")
    parser.add_argument("--ratios", default="0.3,0.5,0.7")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--equal", choices=("total", "recovery"), default="total")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--list", action="store_true", help="list all methods and stop")
    args = parser.parse_args()
    known = METHODS | MORE_METHODS
    names = list(known) if args.methods == "all" else [
        m.strip().replace(";", ",") for m in args.methods.split(",")]
    if args.list:
        print("\n".join(known))
        sys.exit(0)
    for name in names:
        if name not in known:
            parser.error(f"there is no method '{name}'; there are: " + "; ".join(known))
    args.methods = {name: known[name] for name in names}
    args.ratios = [float(r) for r in args.ratios.split(",")]
    args.work, args.data = pathlib.Path(args.work).resolve(), str(pathlib.Path(args.data).resolve())
    dataset = json.loads((pathlib.Path(args.data) / "dataset.json").read_text())
    args.vocabulary = dataset["tokenizer"]["vocab_size"]
    return args


class Study:
    def __init__(self, args):
        self.args, self.scale = args, dict(SCALES[args.scale])
        if args.steps:
            steps = (int(n) for n in args.steps.split(","))
            self.scale |= zip(("source", "prune", "recover"), steps, strict=True)
        self.lock, self.started, self.ran = threading.Lock(), time.monotonic(), 0

    def tokens(self, steps):
        return steps * self.scale["batch"] * self.scale["sequence"]

    def say(self, text):
        with self.lock:
            print(f"{time.monotonic() - self.started:7.0f} s  {text}", file=sys.stderr, flush=True)

    # ---- jobs

    def job(self, kind, name, seed, model, recipe, **more):
        s = self.scale
        return {"schema": "lathe.job/1", "kind": kind, "job_id": name,
                "work_dir": str(self.args.work / name), "backend": self.args.backend,
                "threads": self.args.threads, "seed": seed, "model": model,
                "data": {"path": self.args.data},
                "recipe": {"batch_size": s["batch"], "sequence_length": s["sequence"],
                           "learning_rate": s["rate"], **recipe},
                "validation": {"every_steps": 0, "tokens": s["validation"]},
                "checkpoint": {"every_steps": 0, "keep": 1}, **more}

    def events(self, job):
        """Runs the job unless it was run; the events worth keeping."""
        kept = pathlib.Path(job["work_dir"]) / "events.json"
        if kept.exists():
            was = json.loads(kept.read_text())
            if was["job"] == job:
                return was["events"]
            sys.exit(f"{kept.parent} holds another study's job; choose another --work")
        kept.parent.mkdir(parents=True, exist_ok=True)
        env = dict(os.environ, OMP_WAIT_POLICY="passive", OPENBLAS_NUM_THREADS="1")
        done = subprocess.run([self.args.trainer], input=json.dumps(job), text=True, env=env,
                              capture_output=True, check=False)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode:
            raise RuntimeError(f"{job['job_id']} ended with {done.returncode}: {done.stderr[-600:]}")
        events = [e for e in events if e["event"] in ("snapshot", "validation", "removal", "done")]
        temporary = kept.with_suffix(".tmp")
        temporary.write_text(json.dumps({"job": job, "events": events}))
        temporary.rename(kept)
        self.ran += 1
        return events

    def source(self):
        s = self.scale
        shape = {"hidden_size": s["hidden"], "head_dim": s["head_dim"], "n_layers": s["layers"],
                 "vocab_size": self.args.vocabulary, "tie_word_embeddings": True,
                 "layers": [{"q_heads": s["heads"], "kv_heads": s["kv_heads"], "ffn": s["ffn"]}]}
        job = self.job("train", "source", 1, {"shape": shape},
                       {"schedule": "constant", "warmup_steps": 50},
                       budget={"tokens": self.tokens(s["source"])})
        job["threads"] = min(self.args.jobs * self.args.threads, 8)
        return self.events(job)[-1], {"path": str(self.args.work / "source" / "result")}

    def options(self, change):
        """A rounds schedule takes the same steps as the one it stands for."""
        prune, change = self.scale["prune"], dict(change)
        rounds = change.pop("rounds", None)
        schedule = {"warmup_steps": 20, "fit_steps": prune}
        if rounds:
            unit = prune // rounds
            schedule = {"warmup_steps": 20, "rounds": rounds, "steps_per_unit": unit,
                        "calibration_steps": min(20, unit)}
        schedule |= change.pop("schedule", {})
        return {"schedule": schedule, "stop": {"ratio": self.args.ratios[-1]},
                "snapshots": {"ratios": self.args.ratios}, **change}

    def search(self, method, seed, model):
        name = f"{plain(method)}-{seed}"
        job = self.job("search", name, seed, model, {"warmup_steps": 20}, budget={"tokens": 0},
                       search=self.options(self.args.methods[method]))
        return self.events(job)

    def recovery_tokens(self, ratio, spent):
        s = self.scale
        least = self.tokens(s["recover"])
        if self.args.equal == "recovery":
            return least
        whole = self.tokens(round(1.25 * s["prune"] * ratio / self.args.ratios[-1])) + least
        return max(whole - spent, least // 4)

    def recover(self, method, seed, ratio, snapshot):
        name = f"{plain(method)}-{seed}-recover-{round(ratio * 100)}"
        path = str(self.args.work / f"{plain(method)}-{seed}" / snapshot["path"])
        job = self.job("train", name, seed + 1000, {"path": path},
                       {"schedule": "wsd", "decay_fraction": 0.5, "warmup_steps": 20},
                       budget={"tokens": self.recovery_tokens(ratio, snapshot["tokens"])})
        return self.events(job)[-1]

    # ---- all of it

    def at_ratio(self, events, ratio):
        """The first snapshot at or beyond the ratio, and its loss before recovery."""
        for i, e in enumerate(events):
            if e["event"] == "snapshot" and e["ratio"] >= ratio - 1e-9:
                after = next(v for v in events[i:] if v["event"] == "validation")
                return e, after["loss"]
        raise RuntimeError(f"no snapshot at ratio {ratio}")

    def one(self, method, seed, model):
        events, rows = self.search(method, seed, model), []
        kinds = [sum(e["event"] == "removal" and e["type"] == t for e in events)
                 for t in ("heads", "ffn", "stem")]
        for ratio in self.args.ratios:
            snapshot, before = self.at_ratio(events, ratio)
            done = self.recover(method, seed, ratio, snapshot)
            rows.append({"method": method, "seed": seed, "ratio": ratio, "before": before,
                         "loss": done["validation_loss"], "params": snapshot["params"],
                         "tokens": snapshot["tokens"], "recovery": done["tokens"],
                         "removals": kinds})
        self.say(f"{method}, seed {seed}: " + " ".join(f"{r['loss']:.4f}" for r in rows))
        return rows

    def run(self):
        done, model = self.source()
        self.say(f"the source: {done['params']} parameters, loss {done['validation_loss']:.4f}")
        todo = [(m, s) for s in range(1, self.args.seeds + 1) for m in self.args.methods]
        rows = []
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            for part in pool.map(lambda x: self.one(*x, model), todo):
                rows += part
        self.say(f"{self.ran} jobs run")
        (self.args.work / "results.json").write_text(
            json.dumps({"source": done, "scale": self.scale, "rows": rows}, indent=1))
        report(done, rows, self)


def plain(name):
    return "".join(c if c.isalnum() else "-" for c in name)


def mean(values):
    return sum(values) / len(values)


def spread(values):
    """The sample standard deviation; 0 of one value."""
    if len(values) < 2:
        return 0
    return math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1))


def report(source, rows, study):
    s, args = study.scale, study.args
    by = {(r["method"], r["ratio"], r["seed"]): r for r in rows}
    print(f"Source: {source['params']} parameters, {source['tokens']} tokens, validation loss "
          f"{source['validation_loss']:.4f}. Pruned along {study.tokens(s['prune'])} tokens or so; "
          f"equal {args.equal} tokens. {args.seeds} seeds: mean ± standard deviation of the "
          "validation loss at the end, and of its difference from A with the same seed.\n")
    head = ["method"] + [f"{r:.0%}: loss, from A" for r in args.ratios] + [
        f"{r:.0%} before" for r in args.ratios] + ["Mtokens before+after", "removals heads/ffn/stem"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for method in args.methods:
        cells, before = [], []
        for ratio in args.ratios:
            mine = [by[method, ratio, n] for n in range(1, args.seeds + 1)]
            text = f"{mean([r['loss'] for r in mine]):.4f} ± {spread([r['loss'] for r in mine]):.4f}"
            if "A" in args.methods and method != "A":
                apart = [r["loss"] - by["A", ratio, r["seed"]]["loss"] for r in mine]
                text += f", {mean(apart):+.4f} ± {spread(apart):.4f}"
            cells.append(text)
            before.append(f"{mean([r['before'] for r in mine]):.3f}")
        tokens = ", ".join("+".join(
            f"{mean([by[method, r, n][k] for n in range(1, args.seeds + 1)]) / 1e6:.2f}"
            for k in ("tokens", "recovery")) for r in args.ratios)
        kinds = "/".join(str(k) for k in by[method, args.ratios[0], 1]["removals"])
        print("| " + " | ".join([method, *cells, *before, tokens, kinds]) + " |")


if __name__ == "__main__":
    Study(arguments()).run()
