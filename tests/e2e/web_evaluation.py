#!/usr/bin/env python3
"""An evaluation through the dashboard on the real service: a person opens a run, asks for two tasks in the
form, sees the scores that the service has, side by side with another's, and deletes them again. Exit code 77
without Chromium or PostgreSQL."""
import sys

from lathed import Lathed, SHAPE, make_dataset, skip_unless_possible
from evaluations import task_files
import web  # noqa: E402  it knows where the browser is
import browser


def make_run(lathed):
    run = lathed.post("/v1/runs", {"name": "small", "shape": SHAPE, "dataset": make_dataset(lathed), "threads": 1,
                                   "budget": {"tokens": 4096}, "recipe": {"batch_size": 4, "sequence_length": 32}})
    assert lathed.wait("/v1/runs/" + run["id"])["state"] == "succeeded"
    return run["id"]


def form_of(b, n, form):
    b.js("const s = document.querySelectorAll('dialog select')[arguments[0]]; s.value = arguments[1]; s.dispatchEvent(new Event('change'))", n, form)


def evaluate(p, run):
    """Two tasks from the form: one of a file, one that measures speed. Returns what was made."""
    b, lathed = p.b, p.lathed
    task_files(lathed)
    arc = lathed.dir / "arc.jsonl"
    arc.write_bytes((lathed.dir / "uploads" / lathed.get("/v1/uploads/upl_2")["sha256"]).read_bytes())
    p.go(f"#/runs/{run}", "Curves")
    b.click_text("Evaluate")
    form_of(b, 0, "arc")
    b.type("dialog input[type=file]", str(arc), clear=False)
    b.type("dialog input[aria-label='Name of the task']", "arc_easy")
    b.type("dialog input[aria-label='Items at most']", "20")
    b.click_text("Another task")
    form_of(b, 1, "latency")
    b.click_text("Evaluate", "dialog button")
    b.wait("return /evaluations.eval_/.test(location.hash)", what="the page of the new evaluation")
    b.see("succeeded", ".head", seconds=120)
    made = b.js("return location.hash.match(/eval_\\d+/)[0]")
    told = lathed.get("/v1/evaluations/" + made)
    assert told["subject"] == run and [(r["task"], r["form"], r["items"] > 0) for r in told["results"]] == [
        ("arc_easy", "arc", True), ("latency", "latency", True)], told
    assert told["results"][0]["items"] == 20
    b.see(f"{100 * told['results'][0]['metrics']['acc']:.1f}", "main")
    b.see("20 items", "main")
    b.see("results.json", "main")
    p.ok()
    return made, told


def side_by_side(p, run, made, told):
    b, lathed = p.b, p.lathed
    p.go("#/evaluations", "Scores side by side")
    shown = told["results"][0]["metrics"]
    b.see(f"{100 * shown.get('acc_norm', shown['acc']):.1f}", "main")
    b.click(f"[aria-label='Delete {told['name']}']")
    b.click_text("Delete it")
    b.see("No evaluation yet", "main")
    assert lathed.ask("GET", "/v1/evaluations/" + made).status == 404
    p.ok()


if __name__ == "__main__":
    skip_unless_possible()
    if browser.missing():
        print(f"skipped: {browser.missing()} is not installed")
        sys.exit(77)
    with Lathed("--threads", "1") as lathed, browser.Browser() as b:
        run = make_run(lathed)
        b.open(f"http://{lathed.host}:{lathed.port}/")
        b.type("input[name=token]", lathed.token)
        b.click("button[type=submit]")
        b.see("No search yet")
        p = web.Person(b, lathed)
        made, told = evaluate(p, run)
        side_by_side(p, run, made, told)
    print("ok")
