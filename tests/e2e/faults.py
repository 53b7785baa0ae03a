#!/usr/bin/env python3
"""A search that is disturbed ends as the undisturbed one does: the same removals, the same shape, the
same loss to the bit. Its trainer, then lathed, then PostgreSQL are killed with -9 at random moments
while it runs, and it is paused and resumed, slowly and at once; faults.py SEED says which moments."""
import random, sys, time
from lathed import Lathed, SEARCH, make_dataset, skip_unless_possible

SPEC = {**SEARCH, "source": {**SEARCH["source"], "train": {"tokens": 4096}},
        "schedule": {"warmup_steps": 10, "steps_per_unit": 6}}


def start(lathed, data):
    return "/v1/searches/" + lathed.post("/v1/searches", {"name": "s", "dataset": data, **SPEC})["id"]


def outcome(lathed, path):
    search = lathed.wait(path, seconds=120)
    assert search["state"] == "succeeded", (search["state"], search["reason"])
    removals = lathed.pages(path + "/trajectory?page_size=1000")
    for r in removals:
        del r["architecture"]
    last = lathed.get(path + "/shapes?ratios=0.5")["items"][0]
    metrics = {s["key"]: s["points"] for s in
               lathed.get(path + "/metrics?keys=loss,params,validation_loss&max_points=100000")["series"]}
    return {"removals": removals, "loss": search["loss"], "validation_loss": search["validation_loss"],
            "step": search["step"], "tokens": search["tokens"], "shape": last["shape_hash"],
            "validation": metrics["validation_loss"], "curve": dict(map(tuple, metrics["loss"]))}, search


def same(want, got, what):
    curve = got.pop("curve")
    for step, loss in want["curve"].items():  # reports are thinned by time; those both have must agree
        assert curve.get(step, loss) == loss, f"{what}: loss at step {step} is {curve[step]}, was {loss}"
    for key in got:
        assert got[key] == want[key], f"{what}: {key} is {got[key]}, was {want[key]}"


def wait_for_step(lathed, path, step):
    """True once it trains beyond a step; False when it is over before."""
    while True:
        try:
            search = lathed.get(path)
        except OSError:
            continue
        if search["state"] == "running" and search["step"] >= step:
            return True
        if search["state"] in ("succeeded", "failed", "cancelled"):
            return False
        time.sleep(0.02)


def disturb(lathed, rng, last_step, how, path):
    hits = 0
    for step in sorted(rng.randrange(last_step) for _ in range(3)):
        if wait_for_step(lathed, path, step):
            time.sleep(rng.random() * 0.05)
            hits += bool(how())
    return hits


def pause_and_resume(lathed, path):
    if not lathed.pause(path) or lathed.wait(path, ("paused", "succeeded"))["state"] != "paused":
        return False
    time.sleep(0.2)
    assert lathed.post(path + "/resume", status=200)["state"] in ("queued", "starting", "running")
    return True


def pause_and_resume_at_once(lathed, path):
    """Its trainer may not have heard of the pause when it may run again."""
    if not lathed.pause(path):
        return False
    reply = lathed.patiently("POST", path + "/resume", body={})
    return reply.status == 200 and lathed.wait(path, ("queued", "starting", "running", "succeeded"))["state"] != "succeeded"


def restart(lathed):
    lathed.kill()
    lathed.start()
    return True


def tell(what, hits, search, began):
    print(f"{what}: {hits} times, {search['attempt']} attempts, {time.monotonic() - began:.1f} s", flush=True)


def main(seed):
    rng = random.Random(seed)
    with Lathed() as lathed:
        data = make_dataset(lathed)
        began = time.monotonic()
        want, search = outcome(lathed, start(lathed, data))
        tell("undisturbed", 0, search, began)
        assert search["attempt"] == 1 and len(want["removals"]) > 20

        for what, how in [("trainer killed", lathed.kill_trainer), ("lathed killed", lambda: restart(lathed)),
                          ("PostgreSQL killed", lathed.kill_postgres),
                          ("paused", lambda: pause_and_resume(lathed, path)),
                          ("paused and resumed at once", lambda: pause_and_resume_at_once(lathed, path))]:
            began = time.monotonic()
            path = start(lathed, data)
            hits = disturb(lathed, rng, search["step"], how, path)
            got, search = outcome(lathed, path)
            tell(what, hits, search, began)
            assert hits, f"{what}: never in time"
            same(want, got, what)
            assert len(lathed.children("lathe-train")) == 0
    print("ok")


if __name__ == "__main__":
    skip_unless_possible()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
