#!/usr/bin/env python3
"""Checkpoints that stay, and the disk that jobs write to filling up under a trainer: the run says why it waits,
loses nothing, and goes on by itself once there is room. The small file system needs root."""
import contextlib, os, pathlib, re, subprocess, tempfile, time
from lathed import PATIENCE, SEARCH, Lathed, SHAPE, make_dataset, skip_unless_possible
from trouble import away

RUN = {"name": "r", "shape": SHAPE, "threads": 1, "recipe": {"batch_size": 2, "sequence_length": 32},
       "validation": {"every_steps": 100000, "tokens": 64}}


def steps_kept(lathed, run):
    names = (p.name for p in (lathed.files / "jobs" / run["job"] / "checkpoints").iterdir())
    return sorted(int(re.search(r"\d+", name)[0]) for name in names)


def checkpoints_that_stay(lathed, data):
    """The newest two, multiples of 40, and steps 7 and 33, which are no multiples of anything."""
    keep = {"every_steps": 10, "keep": 2, "major_every": 40, "milestones": [7, 33]}
    run = lathed.post("/v1/runs", {**RUN, "dataset": data, "budget": {"tokens": 64 * 115}, "checkpoint": keep})
    assert run["checkpoint"] == keep, run["checkpoint"]
    done = lathed.wait("/v1/runs/" + run["id"])
    assert done["state"] == "succeeded", done
    kept = steps_kept(lathed, run)
    assert set(kept) >= {7, 33, 40, 80} and len(kept) <= 6 and kept[-1] >= 110, kept
    plain = lathed.post("/v1/runs", {**RUN, "dataset": data, "budget": {"tokens": 64}})
    assert plain["checkpoint"] == {"every_steps": 200, "keep": 2, "major_every": 0, "milestones": []}, plain
    for wrong, pointer in (({"milestones": [0]}, "/checkpoint/milestones/0"), ({"milestones": 5}, "/checkpoint/milestones"),
                           ({"milestones": [1] * 65}, "/checkpoint/milestones"), ({"major_every": -1}, "/checkpoint/major_every")):
        reply = lathed.ask("POST", "/v1/runs", {**RUN, "dataset": data, "budget": {"tokens": 64}, "checkpoint": wrong})
        assert reply.status == 422 and reply.json["errors"][0]["pointer"] == pointer, (wrong, reply.body)


def fill(place):
    file = os.open(place / "ballast", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with contextlib.suppress(OSError):
        while True:
            os.write(file, bytes(1 << 12))
    os.close(file)


def sql(lathed, text):
    return subprocess.run(["psql", "-qXAt", "-h", lathed.dir / "pg" / "run", "-U", "lathe", "postgres", "-c", text],
                          capture_output=True, text=True, check=True).stdout.strip()


def until(lathed, path, good, seconds=60):
    deadline = time.monotonic() + seconds * PATIENCE
    while not good(now := lathed.get(path)):
        assert now["state"] in ("queued", "starting", "running") and time.monotonic() < deadline, now
        time.sleep(0.02)
    return now


def waits(lathed, path, place):
    """The disk is full, also where an old checkpoint goes when a new one is complete, until the job waits."""
    def good(now):
        fill(place)
        return now["state"] == "queued" and re.search("disk|space", now["reason"] or "")
    return until(lathed, path, good)


def removals(lathed, search):
    """All that is stored of them, but for when."""
    return [{k: v for k, v in r.items() if k != "time"} for r in lathed.pages(f"/v1/searches/{search}/trajectory?page_size=500")]


def full_search(lathed, data, place):
    """The disk is full three times while units are taken away; the story is that of a search that was left alone."""
    body = {**SEARCH, "name": "s", "dataset": data, "checkpoint": {"every_steps": 40, "keep": 2},
            "schedule": {"warmup_steps": 4, "steps_per_unit": 20}}
    left_alone = lathed.post("/v1/searches", body)["id"]
    assert lathed.wait("/v1/searches/" + left_alone)["state"] == "succeeded"
    wanted = removals(lathed, left_alone)
    made = lathed.post("/v1/searches", body)
    path = "/v1/searches/" + made["id"]
    now = {"attempt": 0}
    for so_far in (2, 12, 24):
        before = now["attempt"]
        until(lathed, path, lambda now: now["state"] == "running" and now["attempt"] > before and now["removals"] >= so_far)
        now = waits(lathed, path, place)
        print(f"{now['removals']} of {len(wanted)} removals, attempt {now['attempt']}: {now['reason']}", flush=True)
        (place / "ballast").unlink()
    done = lathed.wait(path, seconds=200)
    assert done["state"] == "succeeded" and done["attempt"] > 3, done
    got = removals(lathed, made["id"])
    assert [r["ordinal"] for r in got] == list(range(1, len(wanted) + 1)), [r["ordinal"] for r in got]
    odd = [(a, b) for a, b in zip(wanted, got) if {**a, "id": 0, "architecture": 0} != {**b, "id": 0, "architecture": 0}]
    assert not odd, odd[:3]


def full(lathed, data, place):
    body = {**RUN, "dataset": data, "budget": {"tokens": 64 * 2500}, "checkpoint": {"every_steps": 50}}
    path = "/v1/runs/" + lathed.post("/v1/runs", body)["id"]
    lathed.wait(path, ("running",))
    began = time.monotonic()
    while lathed.get(path)["step"] < 60:
        time.sleep(0.02)
        assert time.monotonic() - began < 60
    now = waits(lathed, path, place)
    print(f"{now['state']} at step {now['step']}, attempt {now['attempt']}: {now['reason']}", flush=True)
    time.sleep(12)  # longer than a job that crashes is tried again
    later = lathed.get(path)
    assert later["state"] in ("queued", "starting", "running") and re.search("disk|space", later["reason"]), later
    assert later["attempt"] - now["attempt"] <= 6, ("tried again and again", later)
    (place / "ballast").unlink()
    done = lathed.wait(path, seconds=200)
    assert done["state"] == "succeeded" and done["step"] == 2500 and done["attempt"] > 1, done
    said = sql(lathed, f"select count(*) - count(distinct step), max(step) from metric where job_id = {done['job'][4:]}")
    assert said == "0|2500", said
    assert not list(pathlib.Path(lathed.files / "jobs").glob("*/checkpoints/*.tmp*"))


def away_at_the_end(lathed, data):
    """A trainer ends while nobody can be told: that is told once the database is back, and nothing is done twice."""
    made = lathed.post("/v1/runs", {**RUN, "dataset": data, "budget": {"tokens": 64 * 800}})
    path = "/v1/runs/" + made["id"]
    until(lathed, path, lambda now: now["step"] > 10)
    with away(lathed):
        deadline = time.monotonic() + 60 * PATIENCE
        while lathed.children("lathe-train"):
            assert time.monotonic() < deadline, lathed.tail()
            time.sleep(0.1)
    done = lathed.wait(path)
    assert done["state"] == "succeeded" and (done["step"], done["attempt"]) == (800, 1), done
    ended = f"select count(*) from event where subject = '{made['id']}' and body ->> 'state' = 'succeeded'"
    assert sql(lathed, ended) == "1"


@contextlib.contextmanager
def small_disk(megabytes):
    """A file system of its own, or None."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="lathe-full-"))
    can = os.getuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place], capture_output=True, check=False).returncode
    try:
        yield place if can else None
    finally:
        if can:
            subprocess.run(["umount", "-l", place], check=True)
        place.rmdir()


if __name__ == "__main__":
    skip_unless_possible()
    with small_disk(24) as place:
        options = ["--files-dir", str(place / "files")] if place else []
        with Lathed(*options) as lathed:
            lathed.files = place / "files" if place else lathed.dir
            data = make_dataset(lathed)
            lathed.wait("/v1/datasets/" + data)
            checkpoints_that_stay(lathed, data)
            away_at_the_end(lathed, data)
            if place:
                full(lathed, data, place)
                full_search(lathed, data, place)
            else:
                print("full disk: not tried, only root can mount a small file system")
    print("ok")
