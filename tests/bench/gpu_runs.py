#!/usr/bin/env python3
"""Whole jobs on GPUs, as a service would start them: what a search costs, whether a killed one ends
at the same bits, and whether two GPUs train like one. Prints one JSON object a finding.

    gpu_runs.py search --train bin/lathe-train --shape 135m.json --data DATASET --work /tmp/runs
    gpu_runs.py ranks  --train bin/lathe-train --shape 135m.json --small 14.7m.json --data DATASET --work /tmp/runs
    gpu_runs.py kinds  --train bin/lathe-train --data DATASET --work /tmp/runs

`search`: a warm-up, a removal a step until half of the parameters are gone, recovery; then the same job
again, killed on the way and resumed. `ranks` needs two GPUs and mpirun. `kinds`: what else a job can ask
for (LoRA, a teacher, z-loss, biases, other criteria, evaluation), small, on a GPU beside the CPU.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import threading
import time

ARGS = None


def say(**finding):
    print(json.dumps(finding), flush=True)


def job(name, kind, shape, batch, seq, **more):
    recipe = {"batch_size": batch, "sequence_length": seq, "learning_rate": 6e-4, "warmup_steps": 50}
    recipe.update(more.pop("recipe", {}))
    out = {"schema": "lathe.job/1", "kind": kind, "work_dir": f"{ARGS.work}/{name}", "backend": ARGS.backend,
           "threads": 1, "seed": 3, "model": {"shape": json.loads(pathlib.Path(shape).read_text())},
           "data": {"path": ARGS.data}, "recipe": recipe}
    out.update(more)
    return out


def descendants(pid):
    """Processes below pid, by /proc."""
    parents = {}
    for p in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = p.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(p.parent.name)] = int(fields[1])
    found, grew = {pid}, True
    while grew:
        more = {c for c, p in parents.items() if p in found} - found
        grew = bool(more)
        found |= more
    return sorted(found - {pid})


def run(job, ranks=1, kill_at=None, cache=None):
    """Events with the second they came at; with kill_at the last process dies at that step."""
    env = dict(os.environ, OMP_NUM_THREADS="4", **({"XDG_CACHE_HOME": cache} if cache else {}))
    launcher = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "-np", str(ranks)] if ranks > 1 else []
    child = subprocess.Popen(launcher + [ARGS.train], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=env)
    child.stdin.write(json.dumps(job))
    child.stdin.close()
    events, killed = [], None
    for line in child.stdout:
        event = json.loads(line)
        event["at"] = time.monotonic()
        events.append(event)
        if kill_at and not killed and event["event"] == "step" and event["step"] >= kill_at:
            killed = time.monotonic()
            below = descendants(child.pid)
            if ranks > 1 and not below:
                say(run=job["work_dir"], nothing_below=child.pid, tree=subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True).stdout[-1500:])
            os.kill(below[-1] if ranks > 1 and below else child.pid, signal.SIGKILL)
    code, log = child.wait(), child.stderr.read()
    if killed:
        say(run=job["work_dir"].split("/")[-1], killed_at=events[-1].get("step"), exit=code,
            ended_after_s=round(time.monotonic() - killed, 2))
    elif code:
        say(run=job["work_dir"].split("/")[-1], exit=code, log=log[-800:], last=events[-1:])
    return events


def of(events, name):
    return [e for e in events if e["event"] == name]


def removals(events):
    return {e["ordinal"]: (e["type"], e["index"], e["shape_hash"]) for e in of(events, "removal")}


def end(events):
    done = of(events, "done")
    return {k: done[-1][k] for k in ("step", "loss", "validation_loss", "params", "shape_hash")} if done else None


def speed(events, first, last):
    """Tokens a second between two steps, by the clock of whoever reads: pauses included."""
    steps = [e for e in of(events, "step") if first <= e["step"] <= last]
    if len(steps) < 2:
        return None
    return round((steps[-1]["tokens"] - steps[0]["tokens"]) / (steps[-1]["at"] - steps[0]["at"]))


# ---- a search ------------------------------------------------------------------------------------


def search():
    warm = 300
    def make(name):
        return job(name, "search", ARGS.shape, ARGS.batch, ARGS.seq, budget={"tokens": 0, "recover_tokens": ARGS.batch * ARGS.seq * 400},
                   search={"schedule": {"warmup_steps": warm, "steps_per_unit": 1}, "stop": {"ratio": 0.5}},
                   validation={"every_steps": 100, "tokens": 65536}, checkpoint={"every_steps": ARGS.every, "keep": 1})
    begin = time.monotonic()
    whole = run(make("whole"))
    seconds = time.monotonic() - begin
    gone = of(whole, "removal")
    if not end(whole):
        return
    types = [e["type"] for e in gone]
    first, last = gone[0]["step"], gone[-1]["step"]
    span = max((last - first) // 4, 1)
    say(search="whole", seconds=round(seconds, 1), start=of(whole, "start")[0]["params"], removals=len(gone),
        types={t: types.count(t) for t in set(types)}, first_step=first, last_step=last, end=end(whole))
    say(tokens_per_second={"warm-up": speed(whole, 60, warm - 1), "removing, quarters": [speed(whole, first + i * span, first + (i + 1) * span) for i in range(4)],
                           "recovery": speed(whole, last + 10, 10**9)})
    say(checkpoints=[round(b["at"] - a["at"], 2) for a, b in zip(whole, whole[1:]) if b["event"] == "checkpoint"])
    say(validation=[(e["step"], round(e["loss"], 4)) for e in of(whole, "validation")])
    shutil.rmtree(f"{ARGS.work}/whole", ignore_errors=True)
    killed = run(make("killed"), kill_at=(first + last) // 2)
    again = run(make("killed"))
    both = {**removals(killed), **removals(again)}
    say(resume="one GPU", resumed_from=of(again, "start")[0]["resumed_from_step"], same_removals=both == removals(whole), same_end=end(again) == end(whole), end=end(again))
    shutil.rmtree(f"{ARGS.work}/killed", ignore_errors=True)


# ---- two GPUs --------------------------------------------------------------------------------------


def train(name, batch, steps, seq=None, ranks=1, every=None, cache=None, backend=None, **recipe):
    seq = seq or ARGS.seq
    tokens = steps * batch * seq * recipe.get("grad_accum", 1)
    j = job(name, "train", ARGS.shape, batch, seq, budget={"tokens": tokens}, recipe=recipe,
            validation={"every_steps": every or 10**6, "tokens": 131072}, checkpoint={"every_steps": 10**6, "keep": 1})
    if backend:
        j["backend"] = backend
    events = run(j, ranks=ranks, cache=cache)
    shutil.rmtree(f"{ARGS.work}/{name}", ignore_errors=True)
    return events


def other_choices(cache):
    """A cache folder where every product takes another algorithm than the one chosen."""
    to = f"{ARGS.work}/cache"
    shutil.copytree(cache, to, dirs_exist_ok=True)
    for file in pathlib.Path(to, "lathe").glob("gemm-*.txt"):
        lines = [line.split() for line in file.read_text().splitlines()]
        file.write_text("".join(" ".join(l[:-1] + ["1" if l[-1] == "0" else "0"]) + "\n" for l in lines))
    return to


def apart(a, b):
    """Largest difference of the validation losses after the first third, and the last one's."""
    x, y = ({e["step"]: e["loss"] for e in of(r, "validation")} for r in (a, b))
    steps = sorted(set(x) & set(y))
    late = [s for s in steps if s >= steps[-1] / 3]
    return {"most": round(max(abs(x[s] - y[s]) for s in steps), 4), "most_late": round(max(abs(x[s] - y[s]) for s in late), 4),
            "mean_late": round(statistics.mean(abs(x[s] - y[s]) for s in late), 4), "end": round(y[steps[-1]] - x[steps[-1]], 4)}


def memory_mib():
    """Used on each GPU; asked for while a run is under way."""
    out = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True).stdout
    return [int(line) for line in out.split()]


def watched(*args, **more):
    """A run's events, and the most memory seen in use on the first GPU."""
    seen, over = [0], threading.Event()

    def look():
        while not over.wait(0.5):
            seen.append(max(memory_mib() or [0]))
    watcher = threading.Thread(target=look)
    watcher.start()
    events = train(*args, **more)
    over.set()
    watcher.join()
    return events, max(seen)


def moments():
    """Two ranks that share AdamW's moments against two that do not: same steps, speed, memory."""
    B, steps, found = 16, 80, {}
    for turn in (1, 2):
        for shared in (False, True):
            events, memory = watched(f"moments-{shared}-{turn}", B, steps, seq=1024, ranks=2, every=20, shard_moments=shared)
            found.setdefault(shared, []).append((events, memory, speed(events, 20, 10**9)))
    say(moments="two GPUs", tokens_per_second={"plain": [x[2] for x in found[False]], "shared": [x[2] for x in found[True]]},
        memory_mib={"plain": max(x[1] for x in found[False]), "shared": max(x[1] for x in found[True])},
        shared_against_plain=apart(found[False][0][0], found[True][0][0]), plain_again=apart(found[False][0][0], found[False][1][0]))


def ranks():
    if not ARGS.only_killing and not ARGS.only_moments:
        scaling_and_curves()
    if ARGS.only_moments or not ARGS.only_killing:
        moments()
    kill_a_rank(ARGS.only_moments)


def scaling_and_curves():
    B, steps = 16, 60
    one = speed(train("one", B, steps, backend="cuda"), 20, 10**9)
    weak = speed(train("weak", 2 * B, steps, ranks=2, backend="cuda"), 20, 10**9)
    strong = speed(train("strong", B, steps, ranks=2, backend="cuda"), 20, 10**9)
    say(gpus=2, one=one, two_each_as_much=weak, two_same_batch=strong, weak=round(weak / one, 3), strong=round(strong / one, 3))
    shape = {"steps": 150, "seq": 1024, "every": 10}
    base = train("base", B, **shape)
    say(curve=[(e["step"], round(e["loss"], 4)) for e in of(base, "validation")])
    say(curve_against="itself again", **apart(base, train("again", B, **shape)))
    say(curve_against="two GPUs, same batch", **apart(base, train("two", B, ranks=2, **shape)))
    say(curve_against="one GPU, two half batches", **apart(base, train("halves", B // 2, grad_accum=2, **shape)))
    say(curve_against="one GPU, other algorithms", **apart(base, train("other", B, cache=other_choices(os.environ["XDG_CACHE_HOME"]), **shape)))
    say(curve_against="one GPU, cuda instead of cuda-exact", **apart(base, train("fast", B, backend="cuda", **shape)))


def kill_a_rank(shard_moments):
    def small(name):
        return job(name, "search", ARGS.small, 32, 512, budget={"tokens": 0}, recipe={"learning_rate": 1e-3, "shard_moments": shard_moments},
                   search={"schedule": {"warmup_steps": 100, "steps_per_unit": 1}, "stop": {"ratio": 0.15}},
                   validation={"every_steps": 100, "tokens": 65536}, checkpoint={"every_steps": 100, "keep": 2})
    whole = run(small("whole"), ranks=2)
    middle = (whole[-1].get("step") or 400) * 2 // 3
    killed = run(small("killed"), ranks=2, kill_at=middle)
    again = run(small("killed"), ranks=2)
    both = {**removals(killed), **removals(again)}
    say(resume="two GPUs, one rank killed", shard_moments=shard_moments, removals=len(removals(whole)), resumed_from=of(again, "start")[0]["resumed_from_step"] if of(again, "start") else None,
        same_removals=both == removals(whole), same_end=end(again) == end(whole), end=end(again), whole=end(whole))


# ---- everything that a job can ask for ------------------------------------------------------------


def tiny(bias=False):
    return {"hidden_size": 128, "n_layers": 4, "head_dim": 32, "vocab_size": ARGS.vocab, "tie_word_embeddings": True,
            "qkv_bias": bias, "layers": [{"q_heads": 4, "kv_heads": 2, "ffn": 384}] * 4}


def variants(base):
    def train(**more):
        return {"kind": "train", "budget": {"tokens": 60 * 1024}, "validation": {"every_steps": 20, "tokens": 16384}, **more}

    def search(update=None, space=None, **criterion):
        return {"kind": "search", "budget": {"tokens": 20 * 1024}, "validation": {"every_steps": 20, "tokens": 16384},
                "search": {"criterion": criterion, "schedule": {"warmup_steps": 5, "rounds": 6, "steps_per_unit": 10}, "stop": {"ratio": 0.3},
                           **({"update": update} if update else {}), **({"space": space} if space else {})}}
    return {
        "plain": train(), "recompute": train(recipe={"recompute": True}), "micro-batches": train(recipe={"grad_accum": 2}),
        "biases": train(bias=True), "z-loss": train(recipe={"z_loss": 1e-3}),
        "LoRA": train(model={"path": base}, recipe={"lora": {"rank": 8}}),
        "teacher": train(teacher={"path": base, "weight": 0.5, "temperature": 2}),
        "search": search(), "search, fisher": search(name="fisher"), "search, bypass": search(space={"types": ["heads", "ffn"]}, name="bypass"),
        "search, flap + bias": search("bias", name="flap"), "search, obs": search("obs", name="obs"),
        "evaluate": {"kind": "evaluate", "model": {"path": base}, "tasks": [
            {"name": "text", "form": "text", "files": [{"path": f"{ARGS.work}/text.jsonl"}]},
            {"name": "speed", "form": "latency", "prompt_tokens": 256, "generate_tokens": 32, "repeats": 3}]},
    }


def one_kind(name, backend, more):
    more = dict(more)
    folder = f"{ARGS.work}/{name.replace(' ', '-').replace(',', '')}-{backend}"
    shutil.rmtree(folder, ignore_errors=True)
    job = {"schema": "lathe.job/1", "work_dir": folder, "backend": backend, "threads": len(os.sched_getaffinity(0)), "seed": 3}
    if more["kind"] != "evaluate":
        recipe = {"batch_size": 8, "sequence_length": 128, "learning_rate": 3e-3, "warmup_steps": 10, **more.pop("recipe", {})}
        if recipe.get("grad_accum"):
            recipe["batch_size"] //= recipe["grad_accum"]
        job.update(model={"shape": tiny(more.pop("bias", False))}, data={"path": ARGS.data}, recipe=recipe,
                   checkpoint={"every_steps": 10**6, "keep": 1})
    job.update(more)
    return run(job)


def kinds():
    backends = ("cpu", "cuda-f32", "cuda-exact", "cuda")
    pathlib.Path(ARGS.work, "text.jsonl").write_text("".join(json.dumps({"text": f"It was the {n}th day of spring, and still nobody had come to see them."}) + "\n" for n in range(40)))
    base = f"{ARGS.work}/plain-cpu/result"
    for name, more in variants(base).items():
        if ARGS.only and name not in ("plain", *ARGS.only.split("; ")):
            continue
        found = {}
        for backend in backends:
            events = one_kind(name, backend, more)
            done = of(events, "done")
            if more["kind"] == "evaluate":
                found[backend] = {k: round(v, 5) for r in (done[0]["results"] if done else []) for k, v in r["metrics"].items()
                                  if k in ("token_perplexity", "ms_per_token", "time_to_first_token_ms")}
            else:
                found[backend] = {"validation": round(done[0]["validation_loss"], 5) if done else None,
                                  "removals": [(e["type"], e["index"]) for e in of(events, "removal")]}
        gone = found["cpu"].pop("removals", None)
        for backend in backends[1:]:
            other = found[backend].pop("removals", None)
            if gone:
                same = next((i for i, (a, b) in enumerate(zip(gone, other)) if a != b), min(len(gone), len(other)))
                found[backend]["same_removals"] = f"{same} of {len(gone)}"
        say(kind=name, **found)


def main():
    global ARGS
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("what", choices=("search", "ranks", "kinds"))
    a.add_argument("--train", required=True)
    a.add_argument("--shape", help="of search and ranks")
    a.add_argument("--vocab", type=int, default=8000, help="of kinds: the dataset's")
    a.add_argument("--small", help="of the two GPUs' search")
    a.add_argument("--data", required=True)
    a.add_argument("--work", required=True)
    a.add_argument("--backend", default="cuda-exact")
    a.add_argument("--batch", type=int, default=8)
    a.add_argument("--seq", type=int, default=2048)
    a.add_argument("--only", help="of kinds: these and plain, '; ' between them")
    a.add_argument("--only-killing", action="store_true", help="of ranks: neither speed nor curves")
    a.add_argument("--only-moments", action="store_true", help="of ranks: shared moments against plain, and a killed rank with them")
    a.add_argument("--every", type=int, default=500, help="steps between checkpoints of the search")
    ARGS = a.parse_args()
    pathlib.Path(ARGS.work).mkdir(parents=True, exist_ok=True)
    {"search": search, "ranks": ranks, "kinds": kinds}[ARGS.what]()


if __name__ == "__main__":
    main()
