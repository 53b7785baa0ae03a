#!/usr/bin/env python3
"""The trainer on a CPU against tuned PyTorch, its own GEMM floor, fewer threads and fewer ranks.

    cpu.py --lathe build/release/bin/lathe-train --python VENV/bin/python --shape small --rounds 5
    cpu.py ... --debian / --parts step,one,ranks,peak --into measured.json

Peers: each --python (one that has torch), and Debian's own with --debian FOLDER, the folder under
which python3-torch and libopenblas0-openmp were installed or unpacked ("/" for installed). All are
tuned: as many threads, memory that is kept and lies in huge pages; Debian's also with the OpenBLAS
that shares its OpenMP, and with its widest vectors, which it does not take by itself.

Everything takes turns, round by round, and medians are compared, so that a clock that drifts hurts
all alike; run it on a machine that does nothing else. Parts: step (with the floor and saliency), one
(thread), torch-one, ranks (MPI, one thread each), peak. With --into, what was measured is added to that
file and the table is over everything in it, so that a long measurement can be done in pieces.
"""
import argparse
import collections
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


def peers_of(a):
    """Name, command and environment of each."""
    peers = [(f"torch{i or ''}", python, {}) for i, python in enumerate(a.python)]
    if a.debian:
        lib = f"{a.debian}/usr/lib/x86_64-linux-gnu"
        wide = "avx512" if "avx512f" in open("/proc/cpuinfo").read() else "avx2"
        peers.append(("debian", "/usr/bin/python3", {
            "PYTHONPATH": f"{a.debian}/usr/lib/python3/dist-packages", "ATEN_CPU_CAPABILITY": wide,
            "LD_LIBRARY_PATH": f"{lib}/openblas-openmp:{lib}:{a.debian}/usr/lib"}))
    return peers


class Torch:
    def __init__(self, a, threads, python, env):
        command = [python, HERE / "torch_cpu.py", a.shape, str(a.batch), str(a.seq), str(threads)]
        if a.precision == "bf16":
            command.append("bf16")
        env = {**os.environ, **TUNED, "OMP_NUM_THREADS": str(threads), **env}
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.version = self.child.stdout.readline().strip()
        for _ in range(2):
            self.ask("step")
        rest(self.child)

    def ask(self, word):
        self.child.stdin.write(word + "\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())

    def turn(self, *words):
        wake(self.child)
        said = [self.ask(word) for word in words]
        rest(self.child)
        return said

    def close(self):
        wake(self.child)
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


def measure_round(a, where, data, got, peers, ones):
    steps = ["step"] * max(1, a.steps // 2)
    if "step" in a.parts:
        b = ours(a, a.threads, a.steps, True)
        got["step"].append(b["step_ms"] / 1e3)
        got["floor"].append(b["gemm_floor"]["ms"] / 1e3)
        got["saliency"].append(b["saliency_share"] + 1)
        for name, peer in peers.items():
            got[name] += peer.turn(*steps)
    if "one" in a.parts:
        got["one"].append(ours(a, 1, len(steps))["step_ms"] / 1e3)
    for name, peer in ones.items():
        got[name + "_one"] += peer.turn(*steps)
    for n in (1, 2):
        if "ranks" in a.parts:
            got[f"rank{n}"].append(ranks(a, where, data, n, a.rank_steps))


def measure(a, where, got):
    started, before = time.monotonic(), busy()
    open_all = lambda threads: {name: Torch(a, threads, python, env) for name, python, env in peers_of(a)}
    peers = open_all(a.threads) if {"step", "peak"} & a.parts else {}
    ones = open_all(1) if "torch-one" in a.parts else {}
    data = dataset(a, where) if "ranks" in a.parts else None
    for _ in range(a.rounds):
        measure_round(a, where, data, got, peers, ones)
    for name, peer in peers.items():
        got["versions"][name] = peer.version
        got[name + "_peak"] += peer.turn("peak")
    if "peak" in a.parts:
        got["peak"].append(ours(a, a.threads, 2)["peak"])
    for peer in [*peers.values(), *ones.values()]:
        peer.close()
    after = busy()
    others = (after[0] - before[0]) - (after[1] - before[1])
    got["others"].append(others / (time.monotonic() - started) / os.cpu_count())


def table(a, got):
    m = {k: statistics.median(v) for k, v in got.items() if isinstance(v, list) and v}
    tokens = a.batch * a.seq
    print(f"{a.shape} {a.batch}x{a.seq}, {a.precision}, {a.threads} threads; medians (smallest..largest)")
    for key, name in (("step", "ours"), *got["versions"].items(), ("floor", "our GEMM floor"), ("one", "ours, one thread")):
        if key in m:
            spread = f"{min(got[key]) * 1e3:.0f}..{max(got[key]) * 1e3:.0f}; {len(got[key])}"
            print(f"  {name:22} {tokens / m[key]:8.0f} tokens/s {m[key] * 1e3:9.1f} ms ({spread})")
    goal = "goal 2.2" if a.precision == "bf16x3" else "must 1.2, goal 1.5" if a.shape != "135m" else \
        "must 1.2, goal 1.4" if a.precision == "float32" else "must 1.3, goal 2"
    versions = got["versions"].items()
    rows = [*((f"against tuned {name}", key, "step", goal) for key, name in versions),
            *((f"one thread against {name}'s", key + "_one", "one", "") for key, name in versions),
            ("step over our GEMM floor", "step", "floor", "must 1.35, goal 1.15"),
            (f"one thread to {a.threads}", "one", "step", "must 1.75, goal 1.9"),
            ("one rank to two", "rank1", "rank2", "must 1.7, goal 1.85"),
            ("saliency / plain", "saliency", None, "must 1.02, goal 1.01"),
            *((f"peak memory / {name}", "peak", key + "_peak", "must 0.7, goal 0.5") for key, name in versions)]
    for name, over, under, want in rows:
        if over in m and (not under or under in m):
            print(f"  {name:38} {m[over] / (m[under] if under else 1):7.3f}   {want}")
    print(f"  other programs took {max(got['others']):.1%} of the processors meanwhile")
    if "peak" in m:
        print("  peak: ours", f"{m['peak'] / 1e6:.0f} MB;",
              ", ".join(f"{name} {m[key + '_peak'] / 1e6:.0f} MB" for key, name in versions))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lathe", default="build/release/bin/lathe-train")
    p.add_argument("--python", action="append", default=[], help="a peer: one that has torch")
    p.add_argument("--debian", help="a peer: Debian's torch, found under this folder")
    p.add_argument("--shape", choices=SHAPES, default="small")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--seq", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=4, help="of ours in a round; half as many of PyTorch")
    p.add_argument("--rank-steps", type=int, default=8)
    p.add_argument("--backend", default="cpu")
    p.add_argument("--precision", choices=("float32", "bf16", "bf16x3"), default="float32",
                   help="bf16x3 is compared with PyTorch in float32")
    p.add_argument("--parts", type=lambda s: set(s.split(",")), default={"step", "one", "peak"})
    p.add_argument("--into", type=pathlib.Path, help="a file that keeps what was measured")
    a = p.parse_args()
    a.lathe = str(pathlib.Path(a.lathe).resolve())
    got = collections.defaultdict(list, json.loads(a.into.read_text()) if a.into and a.into.exists() else {})
    got["versions"] = got["versions"] or {}
    with tempfile.TemporaryDirectory() as where:
        measure(a, pathlib.Path(where), got)
    table(a, got)
    if a.into:
        a.into.write_text(json.dumps(got))


if __name__ == "__main__":
    main()
