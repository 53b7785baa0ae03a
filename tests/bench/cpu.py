#!/usr/bin/env python3
"""The trainer on a CPU against tuned PyTorch, its own GEMM floor, fewer threads and fewer ranks.

    cpu.py --lathe build/release/bin/lathe-train --python VENV/bin/python --shape small --rounds 5

Everything takes turns, round by round, and medians are compared, so that a clock that drifts hurts
all alike; run it on a machine that does nothing else. PyTorch is tuned: as many threads, memory that
is kept and lies in huge pages. Prints a table, and with --json what was measured.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SHAPES = {  # as torch_cpu.py has them: hidden, layers, q_heads, kv_heads, head_dim, ffn, vocabulary
    "135m": (576, 30, 9, 3, 64, 1536, 49152),
    "small": (256, 8, 4, 4, 64, 768, 4096),
    "tiny": (64, 2, 4, 2, 16, 96, 300),
}
TUNED = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=17179869184"
                           ":glibc.malloc.top_pad=268435456:glibc.malloc.hugetlb=1"}


def shape_json(name):
    c, layers, h, k, d, f, vocab = SHAPES[name]
    return {"hidden_size": c, "head_dim": d, "vocab_size": vocab, "tie_word_embeddings": True, "n_layers": layers,
            "layers": [{"q_heads": h, "kv_heads": k, "ffn": f}]}


class Torch:
    def __init__(self, a, threads):
        command = [a.python, HERE / "torch_cpu.py", a.shape, str(a.batch), str(a.seq), str(threads)]
        if a.precision == "bf16":
            command.append("bf16")
        env = {**os.environ, **TUNED, "OMP_NUM_THREADS": str(threads)}
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.version = self.child.stdout.readline().strip()

    def ask(self, word):
        self.child.stdin.write(word + "\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def rest(child):
    """The other process must not spin while this one is measured; stopped, it cannot."""
    os.kill(child.pid, 19)


def wake(child):
    os.kill(child.pid, 18)


def ours(a, threads, steps, saliency=False):
    """What `lathe-train bench` says, with its largest resident size."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as shape:
        json.dump(shape_json(a.shape), shape)
        shape.flush()
        command = [a.lathe, "bench", "--shape", shape.name, "--batch", str(a.batch), "--seq", str(a.seq),
                   "--threads", str(threads), "--steps", str(steps), "--backend", a.backend]
        command += ["--saliency"] if saliency else []
        command += ["--precision", a.precision] if a.precision != "float32" else []
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        if status:
            sys.exit(f"{command}: {status}")
        return {**json.loads(out), "peak": usage.ru_maxrss * 1024}


def dataset(a, where):
    text = where / "text.txt"
    text.write_text("".join(f"the {i} turner turns a bowl of old oak. " for i in range(60000)))
    job = {"schema": "lathe.job/1", "kind": "dataset", "work_dir": str(where / "data"), "name": "t",
           "files": [{"path": str(text)}], "tokenizer": {"kind": "bytes"}, "validation_fraction": 0}
    subprocess.run([a.lathe], input=json.dumps(job), text=True, check=True, stdout=subprocess.DEVNULL)
    return where / "data" / "result"


def ranks(a, where, data, n, steps):
    """Seconds a step of a training of n processes with one thread each, the first steps left out."""
    job = {"schema": "lathe.job/1", "kind": "train", "work_dir": str(where / f"ranks-{n}-{time.time()}"), "threads": 1,
           "backend": a.backend, "model": {"shape": shape_json(a.shape)}, "data": {"path": str(data)},
           "recipe": {"batch_size": a.batch, "sequence_length": a.seq},
           "validation": {"every_steps": 0}, "checkpoint": {"every_steps": 0},
           "budget": {"tokens": steps * a.batch * a.seq}}
    launch = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "-np", str(n)]
    child = subprocess.Popen([*launch, a.lathe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": "1"})
    threading.Thread(target=lambda: (child.stdin.write(json.dumps(job)), child.stdin.close())).start()
    seen = []
    for line in child.stdout:
        event = json.loads(line)
        if event["event"] == "step":
            seen.append((event["step"], time.monotonic()))
    child.wait()
    seen = [s for s in seen if s[0] > 1]
    return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])


def busy():
    """Seconds that all processors worked so far, and those of them that our children and we did."""
    ticks = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    mine = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return ((sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"),
            sum(u.ru_utime + u.ru_stime for u in mine))


def measure(a, where):
    started, before = time.monotonic(), busy()
    got = {k: [] for k in ("step", "floor", "saliency", "one", "torch", "torch_one", "rank1", "rank2", "peak")}
    two, one = Torch(a, a.threads), Torch(a, 1) if a.torch_one else None
    for peer in filter(None, (two, one)):
        for _ in range(2):
            peer.ask("step")
        rest(peer.child)
    data = dataset(a, where) if a.ranks else None
    for _ in range(a.rounds):
        b = ours(a, a.threads, a.steps, True)
        got["step"].append(b["step_ms"] / 1e3)
        got["floor"].append(b["gemm_floor"]["ms"] / 1e3)
        got["saliency"].append(b["saliency_share"] + 1)
        for peer, key in ((two, "torch"), (one, "torch_one")):
            if peer:
                wake(peer.child)
                got[key] += [peer.ask("step") for _ in range(max(1, a.steps // 2))]
                rest(peer.child)
        b = ours(a, 1, max(1, a.steps // 2))
        got["one"].append(b["step_ms"] / 1e3)
        if a.ranks:
            for n in (1, 2):
                got[f"rank{n}"].append(ranks(a, where, data, n, a.rank_steps))
    got["peak"].append(ours(a, a.threads, 2)["peak"])
    wake(two.child)
    got["torch_peak"] = [two.ask("peak")]
    got["version"] = two.version
    for peer in filter(None, (two, one)):
        wake(peer.child)
        peer.close()
    after = busy()
    others = (after[0] - before[0]) - (after[1] - before[1])
    got["others"] = others / (time.monotonic() - started) / os.cpu_count()
    return got


def table(a, got):
    m = {k: statistics.median(v) for k, v in got.items() if isinstance(v, list) and v}
    tokens = a.batch * a.seq
    spread = lambda k: f"{min(got[k]) * 1e3:.0f}..{max(got[k]) * 1e3:.0f}"
    print(f"{a.shape} {a.batch}x{a.seq}, {a.precision}, {a.threads} threads, {a.rounds} rounds; {got['version']}")
    print(f"  ours          {tokens / m['step']:8.0f} tokens/s   {m['step'] * 1e3:8.1f} ms ({spread('step')})")
    print(f"  PyTorch       {tokens / m['torch']:8.0f} tokens/s   {m['torch'] * 1e3:8.1f} ms ({spread('torch')})")
    print(f"  GEMM floor    {tokens / m['floor']:8.0f} tokens/s   {m['floor'] * 1e3:8.1f} ms ({spread('floor')})")
    rows = [("against tuned PyTorch", m["torch"] / m["step"], "must 1.2, goal 1.5" if a.shape != "135m" else
             "must 1.2, goal 1.4"),
            ("step over our GEMM floor", m["step"] / m["floor"], "must 1.35, goal 1.15"),
            (f"one thread to {a.threads}", m["one"] / m["step"], "must 1.75, goal 1.9"),
            ("saliency / plain", m["saliency"], "must 1.02, goal 1.01"),
            ("peak memory / PyTorch", m["peak"] / m["torch_peak"], "must 0.7, goal 0.5")]
    if "rank2" in m:
        rows.insert(3, ("one rank to two", m["rank1"] / m["rank2"], "must 1.7, goal 1.85"))
    if "torch_one" in m:
        rows.insert(1, ("one thread against PyTorch's one", m["torch_one"] / m["one"], ""))
    for name, value, goal in rows:
        print(f"  {name:34} {value:7.3f}   {goal}")
    print(f"  other programs took {got['others']:.1%} of the processors meanwhile")
    print(f"  peak: ours {m['peak'] / 1e6:.0f} MB, PyTorch {m['torch_peak'] / 1e6:.0f} MB")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lathe", default="build/release/bin/lathe-train")
    p.add_argument("--python", default=sys.executable, help="one that has torch")
    p.add_argument("--shape", choices=SHAPES, default="small")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--seq", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=4, help="of ours in a round; half as many of PyTorch")
    p.add_argument("--rank-steps", type=int, default=8)
    p.add_argument("--backend", default="cpu")
    p.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    p.add_argument("--ranks", action="store_true", help="MPI too")
    p.add_argument("--torch-one", action="store_true", help="PyTorch with one thread too")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    a.lathe = str(pathlib.Path(a.lathe).resolve())
    with tempfile.TemporaryDirectory() as where:
        got = measure(a, pathlib.Path(where))
    table(a, got)
    if a.json:
        print(json.dumps(got))


if __name__ == "__main__":
    main()
