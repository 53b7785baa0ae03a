#!/usr/bin/env python3
"""A runner whose launch template starts jobs by a launcher: mpirun with two ranks (the real one; skipped
where it or MPI is missing), and srun as far as a script can play it: tasks in a process group of their own,
signals passed on, a job id in the environment. A search finishes; cancelling ends every rank; a rank, the
launcher or lathed killed with -9 is another attempt, and nobody of the last one is left."""
import os, shutil, signal, subprocess, sys, time
from lathed import BIN, Lathed, SEARCH, make_dataset, skip_unless_possible

MPIRUN = "mpirun --allow-run-as-root --oversubscribe --bind-to none -np {ranks} {trainer}"
SRUN = """#!/bin/bash
# srun -n N PROGRAM: as much of it as one machine needs, for one task.
[ "$1" = -n ] && [ "$2" = 1 ] || exit 64
export SLURM_JOB_ID=4711 SLURM_PROCID=0 SLURM_NTASKS=1
exec 3<&0
setsid "${@:3}" <&3 &
task=$!
trap 'kill -TERM $task' TERM INT
until wait $task; code=$?; ! kill -0 $task 2>/dev/null; do :; done
exit $code
"""


def skip_without_mpi():
    if not shutil.which("mpirun"):
        print("skipped: no mpirun")
        sys.exit(77)
    if "libmpi" not in subprocess.run(["ldd", BIN / "lathe-train"], capture_output=True, text=True, check=True).stdout:
        print("skipped: lathe-train was built without MPI")
        sys.exit(77)


def until(what, is_so, seconds=30):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def long_search(lathed, data, ranks):
    """One that is still running, its processes, and what launched them."""
    body = {"name": "long", "dataset": data, **SEARCH, "source": {**SEARCH["source"], "train": {"tokens": 10 ** 9}}}
    made = lathed.post("/v1/searches", body)
    path = "/v1/searches/" + made["id"]
    lathed.wait(path, ("running",))
    return path, lathed.dir / "jobs" / made["job"], working(lathed, ranks)


def working(lathed, ranks):
    until(f"{ranks} ranks", lambda: len(lathed.children("lathe-train")) == ranks)
    return lathed.children("lathe-train")


def next_attempt(lathed, path, ranks, kill):
    """After `kill` another attempt runs, with processes of its own."""
    before = lathed.get(path)["attempt"]
    old = working(lathed, ranks)
    kill(old)
    until("another attempt", lambda: (now := lathed.get(path))["attempt"] > before and now["state"] == "running", 60)
    until("the old ranks are gone", lambda: not set(lathed.children("lathe-train")) & set(old))
    working(lathed, ranks)


def cancelled(lathed, path):
    lathed.post(path + "/cancel", status=200)
    assert lathed.wait(path)["state"] == "cancelled"
    until("every rank is gone", lambda: not lathed.children("lathe-train"))


def restart(lathed):
    lathed.kill()
    lathed.start()


def by_mpirun():
    with Lathed("--threads", "1", "--ranks", "2", "--launch", MPIRUN) as lathed:
        data = make_dataset(lathed)
        assert lathed.wait("/v1/datasets/" + data)["state"] == "succeeded"
        worker = lathed.get("/v1/workers/wrk_1")
        assert (worker["ranks"], worker["launch"]) == (2, MPIRUN), worker
        made = lathed.post("/v1/searches", {"name": "two ranks", "dataset": data, **SEARCH})
        done = lathed.wait("/v1/searches/" + made["id"])
        assert done["state"] == "succeeded" and done["attempt"] == 1 and done["removals"] > 3, done
        trajectory = lathed.pages(f"/v1/searches/{made['id']}/trajectory")
        assert [r["ordinal"] for r in trajectory] == list(range(1, done["removals"] + 1)), "said once, by one rank"

        path, folder, old = long_search(lathed, data, 2)
        launcher, = lathed.children("mpirun")
        assert int((folder / "trainer.pid").read_text().split()[0]) == launcher
        next_attempt(lathed, path, 2, lambda ranks: os.kill(ranks[-1], signal.SIGKILL))
        next_attempt(lathed, path, 2, lambda ranks: os.kill(ranks[0], signal.SIGKILL))
        next_attempt(lathed, path, 2, lambda ranks: os.kill(lathed.children("mpirun")[0], signal.SIGKILL))
        next_attempt(lathed, path, 2, lambda ranks: restart(lathed))
        lathed.post(path + "/pause", status=200)
        lathed.wait(path, ("paused",))
        until("every rank is gone", lambda: not lathed.children("lathe-train"))
        lathed.post(path + "/resume", status=200)
        lathed.wait(path, ("running",))
        working(lathed, 2)
        cancelled(lathed, path)
        assert not lathed.children("mpirun")


def by_srun():
    with Lathed("--threads", "1") as lathed:
        srun = lathed.dir / "srun"
        srun.write_text(SRUN)
        srun.chmod(0o755)
        lathed.stop()
        lathed.options += ["--launch", f"'{srun}' -n {{ranks}} {{trainer}}"]
        lathed.start()
        data = make_dataset(lathed)
        assert lathed.wait("/v1/datasets/" + data)["state"] == "succeeded"
        path, folder, _ = long_search(lathed, data, 1)
        job = lambda: lathed.get("/v1/jobs/" + folder.name)["external_id"]
        until("the batch system's name for it", lambda: job() == "slurm 4711")
        next_attempt(lathed, path, 1, lambda ranks: os.kill(ranks[0], signal.SIGKILL))
        next_attempt(lathed, path, 1, lambda ranks: restart(lathed))
        cancelled(lathed, path)


if __name__ == "__main__":
    skip_unless_possible()
    by_srun()
    print("srun, played by a script: ok")
    skip_without_mpi()
    by_mpirun()
    print("ok")
