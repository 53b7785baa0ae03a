#!/usr/bin/env python3
"""Several processes doing one job: the same losses as one process, the same removals on every rank,
and a job that goes on after a rank was killed. Skipped where mpirun or MPI is missing."""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile

BIN = pathlib.Path(os.environ["LATHE_BIN_DIR"]) / "lathe-train"
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np"]
ENV = dict(os.environ, OMPI_MCA_rmaps_base_oversubscribe="1", OMP_WAIT_POLICY="passive")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def children(pid):
    return [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]


def run(job, ranks=1, kill_at=None, look=None):
    """Events, exit code and standard error; with kill_at the last rank dies at that step. `look` is
    shown the process ids of the ranks at the first step."""
    command = (MPIRUN + [str(ranks)] if ranks > 1 else []) + [str(BIN)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=ENV)
    child.stdin.write(json.dumps(job))
    child.stdin.close()
    events = []
    for line in child.stdout:
        event = json.loads(line)
        events.append(event)
        if kill_at and event["event"] == "step" and event["step"] >= kill_at:
            kill_at = None
            os.kill(children(child.pid)[-1], signal.SIGKILL)
        if look and event["event"] == "step":
            look(children(child.pid))
            look = None
    return events, child.wait(), child.stderr.read()


def strangers():
    """Tasks of srun that MPI knows nothing of would all do the whole job."""
    task = ["sh", "-c", f"SLURM_STEP_NUM_TASKS=2 SLURM_TASK_PID=$$ exec '{BIN}'"]
    alone = subprocess.run(task, input="{}", capture_output=True, text=True, env=ENV)
    assert alone.returncode == 2 and "srun --mpi=pmix" in alone.stdout + alone.stderr, alone


def removals(events):
    return [(e["ordinal"], e["type"], e["index"], e["shape_hash"]) for e in events if e["event"] == "removal"]


def done(events):
    assert events and events[-1]["event"] == "done", events[-3:]
    return events[-1]


def make_dataset(folder):
    text = pathlib.Path(folder, "text")
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 6))) for _ in range(80)]
    text.write_text("\n\n".join(" ".join(rng.choices(words, k=400)) for _ in range(60)))
    events, code, log = run({"schema": "lathe.job/1", "kind": "dataset", "work_dir": folder + "/data",
                             "files": [{"path": str(text), "format": "text"}], "tokenizer": {"kind": "bytes"},
                             "validation_fraction": 0.1})
    assert code == 0, log


def main():
    if not shutil.which("mpirun"):
        skip("no mpirun")
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(folder)
        shape = {"hidden_size": 24, "head_dim": 8, "vocab_size": 257, "layers": [{"q_heads": 4, "kv_heads": 2, "ffn": 40}] * 2}

        def job(name, **more):
            recipe = {"batch_size": 4, "sequence_length": 32, "learning_rate": 3e-3, "warmup_steps": 5}
            recipe.update(more)
            return {"schema": "lathe.job/1", "kind": "search", "work_dir": f"{folder}/{name}", "threads": 1, "seed": 3,
                    "model": {"shape": shape}, "data": {"path": folder + "/data/result"}, "recipe": recipe,
                    "budget": {"tokens": 4 * 32 * 30},
                    "search": {"schedule": {"warmup_steps": 5, "steps_per_unit": 1}, "stop": {"ratio": 0.3}},
                    "validation": {"every_steps": 20, "tokens": 2048}, "checkpoint": {"every_steps": 15, "keep": 2}}

        two, code, log = run(job("two"), ranks=2)
        if "built without MPI" in log:
            skip("lathe-train was built without MPI")
        assert code == 0, log
        strangers()
        one, code, log = run(job("one"))
        assert code == 0, log
        a, b = done(one), done(two)
        assert removals(two) and len(removals(one)) == len(removals(two))
        assert abs(a["loss"] - b["loss"]) < 2e-3 * a["loss"], (a, b)
        assert abs(a["validation_loss"] - b["validation_loss"]) < 2e-3 * a["validation_loss"], (a, b)
        print(f"loss {a['loss']:.6f} alone, {b['loss']:.6f} with two ranks; {len(removals(two))} removals")

        losses = []
        for ranks in (1, 2):
            student = job(f"student{ranks}") | {"kind": "train", "budget": {"tokens": 4 * 32 * 10}, "teacher": {"path": f"{folder}/one/{a['path']}"}}
            student.pop("search")
            events, code, log = run(student, ranks)
            assert code == 0, log
            losses.append(done(events)["loss"])
        assert abs(losses[0] - losses[1]) < 1e-4 * losses[0], losses
        print(f"taught: loss {losses[0]:.6f} alone, {losses[1]:.6f} with two ranks")

        events, code, log = run(job("odd", batch_size=3), ranks=2)
        assert code == 2 and "cannot be shared by 2 processes" in log, (code, log)

        events, code, log = run(job("killed"), ranks=2, kill_at=40)
        assert code != 0 and events[-1]["event"] != "done", (code, events[-1])
        again, code, log = run(job("killed"), ranks=2)
        assert code == 0, log
        assert done(again)["loss"] == b["loss"] and done(again)["shape_hash"] == b["shape_hash"]
        kept = {r[0]: r for r in removals(events) + removals(again)}
        assert [kept[i] for i in sorted(kept)] == removals(two)
        print("a killed rank ended the job; it went on to the same bits")


if __name__ == "__main__":
    main()
