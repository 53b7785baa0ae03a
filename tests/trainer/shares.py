#!/usr/bin/env python3
"""recipe/shard_moments: several processes, each with the moments of its own share of the weights, do
what they do when each has all moments: the same bits in training, the same removals in a search, the
same checkpoints, so that a job goes on with or without. Skipped where mpirun or MPI is missing."""
import pathlib
import shutil
import tempfile

from ranks import done, make_dataset, removals, run, skip

SHAPE = {"hidden_size": 24, "head_dim": 8, "vocab_size": 257, "layers": [{"q_heads": 4, "kv_heads": 2, "ffn": 40}] * 2}
STEPS = 200  # the last of them long after a rank that was killed at 20


class Jobs:
    def __init__(self, folder):
        self.folder = folder

    def train(self, name, shard, shape=SHAPE, steps=STEPS, **recipe):
        recipe = {"batch_size": 12, "sequence_length": 32, "learning_rate": 3e-3, "warmup_steps": 5, **recipe}
        if shard is not None:
            recipe["shard_moments"] = shard
        return {"schema": "lathe.job/1", "kind": "train", "work_dir": f"{self.folder}/{name}", "threads": 1, "seed": 3,
                "model": {"shape": shape}, "data": {"path": self.folder + "/data/result"}, "recipe": recipe,
                "budget": {"tokens": recipe["batch_size"] * recipe["sequence_length"] * steps},
                "validation": {"every_steps": 5, "tokens": 2048}, "checkpoint": {"every_steps": 15, "keep": 2}}

    def search(self, name, shard):
        return self.train(name, shard) | {
            "kind": "search", "search": {"schedule": {"warmup_steps": 5, "steps_per_unit": 1}, "stop": {"ratio": 0.3}}}

    def file(self, name, path):
        return pathlib.Path(self.folder, name, path).read_bytes()

    def tensors(self, name):
        newest = max(pathlib.Path(self.folder, name, "checkpoints").glob("step-*"))
        return newest.name, (newest / "tensors.safetensors").read_bytes()


def finish(job, ranks):
    events, code, log = run(job, ranks)
    if "built without MPI" in log:
        skip("lathe-train was built without MPI")
    assert code == 0, log
    done(events)
    return events


def losses(events):
    return [(e["step"], e["loss"]) for e in events if e["event"] == "validation"]


def interrupted(job, then, ranks, ranks_then, kill_at=20):
    """A rank is killed; the job goes on as `then`. Events of both."""
    events, code, log = run(job, ranks, kill_at=kill_at)
    assert code != 0 and events[-1]["event"] != "done", (code, events[-1])
    again = finish(then, ranks_then)
    start = next(e for e in again if e["event"] == "start")
    assert start["resumed_from_step"] >= 15, start
    return events + again


def same_training(jobs, a, b, result="result"):
    assert jobs.file(a, result + "/model.safetensors") == jobs.file(b, result + "/model.safetensors"), (a, b)
    assert jobs.tensors(a) == jobs.tensors(b), (a, b)


def training(jobs):
    plain, shared = (finish(jobs.train(name, shard), 2) for name, shard in (("plain", None), ("shared", True)))
    assert losses(plain) == losses(shared) and len(losses(plain)) > 7
    assert done(plain)["loss"] == done(shared)["loss"]
    same_training(jobs, "plain", "shared")
    for name, first, then in (("killed", True, True), ("to", None, True), ("from", True, False)):
        interrupted(jobs.train(name, first), jobs.train(name, then), 2, 2)
        same_training(jobs, "plain", name)
    print("training: the same bits with and without, killed in either and gone on with either")


def searching(jobs):
    plain, shared = (finish(jobs.search(name, shard), 2) for name, shard in (("splain", None), ("sshared", True)))
    assert removals(plain) == removals(shared) and len(removals(plain)) > 5
    a, b = done(plain)["loss"], done(shared)["loss"]
    assert abs(a - b) < 1e-5 * a, (a, b)
    events = interrupted(jobs.search("skilled", True), jobs.search("skilled", True), 2, 2, kill_at=50)
    kept = {r[0]: r for r in removals(events)}
    assert [kept[i] for i in sorted(kept)] == removals(shared)
    same_training(jobs, "sshared", "skilled", done(shared)["path"])
    print(f"search: {len(removals(shared))} removals alike, loss {a:.7f} and {b:.7f}; killed and resumed to the same bits")


def few_slots(jobs):
    """The embedding is nearly all there is: a rank of three has nothing."""
    shape = {"hidden_size": 8, "head_dim": 4, "vocab_size": 257, "layers": [{"q_heads": 2, "kv_heads": 1, "ffn": 8}]}
    finish(jobs.train("fplain", None, shape), 3)
    shared = done(finish(jobs.train("fshared", True, shape), 3))
    same_training(jobs, "fplain", "fshared")
    fewer = done(interrupted(jobs.train("fewer", True, shape), jobs.train("fewer", True, shape), 3, 1))["loss"]
    assert abs(fewer - shared["loss"]) < 1e-5 * fewer, (fewer, shared)
    print("three ranks, of which one has no moments: the same bits; goes on alone")


def memory(jobs):
    shape = {"hidden_size": 256, "head_dim": 64, "vocab_size": 257, "layers": [{"q_heads": 4, "kv_heads": 4, "ffn": 704}] * 4}
    peak, told = {}, {}
    for shard in (False, True):
        def look(pids):
            peak[shard] = max(int(line.split()[1]) * 1024 for pid in pids
                              for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                              if line.startswith("VmHWM"))

        job = jobs.train(f"memory{shard}", shard, shape, steps=12, batch_size=2, sequence_length=16) | {
            "validation": {"every_steps": 0, "tokens": 64}}
        estimate, code, log = run(job | {"dry_run": True}, 2)
        assert code == 0, log
        told[shard] = estimate[-1]["memory"]["moments"]
        _, code, log = run(job, 2, look=look)
        assert code == 0, log
    saved = peak[False] - peak[True]
    assert told[True] < 0.55 * told[False], told
    assert saved > 0.5 * (told[False] - told[True]), (peak, told)  # what else a process holds varies
    print(f"moments of a rank of two: {told[False] / 1e6:.1f} MB in all, {told[True] / 1e6:.1f} MB shared; "
          f"peak of a process {peak[False] / 1e6:.1f} and {peak[True] / 1e6:.1f} MB")


def refused(jobs):
    lora = jobs.train("lora", True, lora={"rank": 2}) | {"model": {"path": jobs.folder + "/plain/result"}}
    _, code, log = run(lora, 2)
    assert code == 2 and "shard_moments" in log, (code, log)
    job = jobs.train("unsaved", True)
    pathlib.Path(job["work_dir"]).mkdir()
    pathlib.Path(job["work_dir"], "checkpoints").write_text("in the way")
    _, code, log = run(job, 2)
    assert code != 0 and "checkpoints" in log, (code, log)
    print("a checkpoint that cannot be written ends all ranks")


def main():
    if not shutil.which("mpirun"):
        skip("no mpirun")
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(folder)
        jobs = Jobs(folder)
        training(jobs)
        searching(jobs)
        few_slots(jobs)
        memory(jobs)
        refused(jobs)


if __name__ == "__main__":
    main()
