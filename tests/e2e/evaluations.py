#!/usr/bin/env python3
"""Evaluations over HTTP: tiny task files of several forms, the harness's report and the samples, measured
speed with and without weights, what is refused, and kill -9 in the middle."""
import hashlib, json, random
from lathed import Lathed, SEARCH, SHAPE, WORDS, make_dataset, skip_unless_possible
from exports import goes
from refusals import refused

RECIPE = {"batch_size": 4, "sequence_length": 32}


def lines(*objects):
    return "".join(json.dumps(o) + "\n" for o in objects).encode()


def task_files(lathed, n=60):
    rng = random.Random(1)
    some = lambda k: " ".join(rng.choice(WORDS) for _ in range(k))
    arc = [{"question": {"stem": some(9), "choices": [{"text": some(3), "label": l} for l in "ABCD"]},
            "answerKey": "ABCD"[i % 4]} for i in range(n)]
    piqa = [{"goal": some(5), "sol1": some(4), "sol2": some(4)} for _ in range(n)]
    files = {"arc": lines(*arc), "piqa": lines(*piqa), "labels": b"".join(b"%d\n" % (i % 2) for i in range(n)),
             "text": lines(*({"text": some(40)} for _ in range(12))),
             "pairs": lines(*({"gold": 0, "choices": [{"context": "hello", "continuation": " world"},
                                                      {"context": "hello", "continuation": " \u00e9\u00e9zzq"}]}
                              for _ in range(7)))}
    return {name: lathed.post("/v1/uploads", raw=data)["id"] for name, data in files.items()}


def make_things(lathed):
    data = make_dataset(lathed)
    run = lathed.post("/v1/runs", {"shape": SHAPE, "dataset": data, "threads": 1, "budget": {"tokens": 40_000},
                                   "recipe": {**RECIPE, "learning_rate": 0.01}})
    search = lathed.post("/v1/searches", {"name": "s", "dataset": data, **SEARCH})
    for path in ("/v1/runs/" + run["id"], "/v1/searches/" + search["id"]):
        assert lathed.wait(path)["state"] == "succeeded"
    return run["id"], search["id"]


def evaluate(lathed, **body):
    made = lathed.patiently("POST", "/v1/evaluations", body={"threads": 1, "context": 128, **body})
    assert made.status == 201 and made.headers["Location"] == "/v1/evaluations/" + made.json["id"], made.body
    done = lathed.wait("/v1/evaluations/" + made.json["id"])
    assert done["state"] == "succeeded", done["reason"]
    return done


def tasks_of(up):
    return [{"name": "arc_easy", "form": "arc", "upload": up["arc"], "limit": 50},
            {"form": "piqa", "uploads": [up["piqa"], up["labels"]]}, {"form": "text", "upload": up["text"]},
            {"name": "mine.1", "form": "pairs", "upload": up["pairs"]}]


def scores(lathed, run, up):
    done = evaluate(lathed, run=run, name="<script>alert(1)</script>", tasks=tasks_of(up))
    assert done["subject"] == done["run"] == run and done["name"].startswith("<script>")
    assert [(r["task"], r["form"], r["items"]) for r in done["results"]] == [
        ("arc_easy", "arc", 50), ("piqa", "piqa", 60), ("text", "text", 12), ("mine.1", "pairs", 7)]
    assert done["progress"]["done"] == done["progress"]["total"] >= 4 * 50 + 2 * 60 + 12 + 2 * 7, done["progress"]
    metrics = {r["task"]: r["metrics"] for r in done["results"]}
    assert metrics["mine.1"]["acc"] == 1 and metrics["mine.1"]["acc_stderr"] == 0, "it has learned its text"
    assert 0 <= metrics["arc_easy"]["acc"] <= 1 and metrics["arc_easy"]["acc_stderr"] > 0
    validation = lathed.get("/v1/runs/" + run)["validation_loss"]
    assert metrics["text"]["token_perplexity"] < 40 and validation < 3, (metrics["text"], validation)
    sha = lathed.get("/v1/uploads/" + up["piqa"])["sha256"], lathed.get("/v1/uploads/" + up["labels"])["sha256"]
    assert done["results"][1]["file_sha256"] == list(sha)
    assert all(r["host"] for r in done["results"])
    return done


def reports(lathed, done):
    path = "/v1/evaluations/" + done["id"]
    report = lathed.get(path + "?format=lm_eval")
    assert report["results"]["arc_easy"]["acc,none"] == done["results"][0]["metrics"]["acc"]
    assert report["n-samples"]["arc_easy"] == {"original": 60, "effective": 50}
    text = json.dumps(report)
    assert str(lathed.dir) not in text, "it tells where things lie on this machine"
    files = {f["name"]: f["artifact"] for f in done["files"]}
    assert list(files) == ["results.json", "samples_arc_easy.jsonl", "samples_piqa.jsonl", "samples_text.jsonl",
                           "samples_mine.1.jsonl"], files
    content = {name: lathed.ask("GET", f"/v1/artifacts/{art}/content") for name, art in files.items()}
    for f in done["files"]:
        body = content[f["name"]].body
        assert (len(body), hashlib.sha256(body).hexdigest()) == (f["bytes"], f["sha256"]), f
    assert json.loads(content["results.json"].body) == report
    samples = [json.loads(line) for line in content["samples_arc_easy.jsonl"].body.splitlines()]
    assert len(samples) == 50 and {"doc_id", "doc", "target", "resps", "acc"} <= set(samples[0])
    assert sum(s["acc"] for s in samples) / 50 == done["results"][0]["metrics"]["acc"]
    refused(lathed.ask("GET", path + "?format=csv"), 400, "input", "?format")
    told = [e[2] for e in first_events(lathed, done["id"]) if e[1] == "evaluation"]
    assert [t["task"] for t in told] == ["arc_easy", "piqa", "text", "mine.1"]
    assert told[0]["metrics"] == done["results"][0]["metrics"] and told[0]["resource"] == done["id"]


def first_events(lathed, id):
    stream, found = lathed.events("?resource=" + id, last_id=0), []
    for event in stream:
        found.append(event)
        if event[1] == "state" and event[2]["state"] == "succeeded":
            break
    stream.close()
    return found


def speed(lathed, run, search):
    size = {"form": "latency", "prompt_tokens": 16, "generate_tokens": 8, "repeats": 2}
    bare = next(a for a in lathed.pages("/v1/architectures?search=" + search) if a["weights"] == "none")
    checked = lathed.post("/v1/evaluations?dry_run=true", {"architecture": bare["id"], "tasks": [size]}, status=200)
    assert checked == {"dry_run": True, "params": bare["totals"]["params"], "tasks": 1, "random_weights": True}
    for subject in ({"architecture": bare["id"]}, {"run": run}):
        done = evaluate(lathed, **subject, tasks=[size, {**size, "name": "longer", "generate_tokens": 16}])
        short, longer = (r["metrics"] for r in done["results"])
        assert [f["name"] for f in done["files"]] == ["results.json"]
        assert short["ms_per_token"] > 0 and abs(1000 / short["ms_per_token"] / short["decode_tokens_per_second"] - 1) < 1e-6
        assert short["ms_per_token_min"] <= short["ms_per_token"] <= short["ms_per_token_max"]
        assert (short["prompt_tokens"], short["generate_tokens"], longer["generate_tokens"]) == (16, 8, 16)
    outside = lathed.post("/v1/architectures", {"name": "from elsewhere", "shape": SHAPE})["id"]
    assert evaluate(lathed, architecture=outside, tasks=[size])["results"][0]["metrics"]["ms_per_token"] > 0
    refused(lathed.ask("POST", "/v1/evaluations", {"architecture": outside, "tasks": [{"form": "text", "upload": "upl_1"}]}),
            409, "conflict", "/architecture", "none were kept")
    shape = lathed.post("/v1/exports", {"architecture": outside, "targets": [{"format": "shape"}]})["id"]
    assert lathed.wait("/v1/exports/" + shape)["state"] == "succeeded"
    body = {"architecture": bare["id"], "tasks": [size, {"form": "text", "upload": "upl_1"}]}
    refused(lathed.ask("POST", "/v1/evaluations", body), 409, "conflict", "/architecture", "nearest")
    kept = lathed.get(f"/v1/searches/{search}/shapes?ratios=0.3")["items"][0]["architecture"]
    done = evaluate(lathed, architecture=kept, tasks=[{"form": "text", "upload": "upl_5"}])
    assert done["architecture"] == kept


def what_is_refused(lathed, run, up):
    arc = {"form": "arc", "upload": up["arc"]}
    for tasks, pointer in [
            ([], "/tasks"), ("arc", "/tasks"), ([{"upload": up["arc"]}], "/tasks/0/form"),
            ([{"form": "mmlu", "upload": up["arc"]}], "/tasks/0/form"), ([{"form": "arc"}], "/tasks/0/upload"),
            ([arc, arc], "/tasks/1/name"), ([arc, {**arc, "name": "a/../../b"}], "/tasks/1/name"),
            ([{**arc, "name": "..\u0000"}], None), ([{**arc, "name": ".hidden"}], "/tasks/0/name"),
            ([{**arc, "name": ""}], "/tasks/0/name"), ([{**arc, "name": "x" * 64}], "/tasks/0/name"),
            ([{**arc, "upload": "upl_999"}], "/tasks/0/upload"), ([{**arc, "upload": "/etc/passwd"}], "/tasks/0/upload"),
            ([arc, {"form": "piqa", "uploads": [up["piqa"], "upl_999"]}], "/tasks/1/uploads/1"),
            ([{"form": "piqa", "uploads": ["upl_1"] * 17}], "/tasks/0/uploads"), ([{**arc, "limit": -1}], "/tasks/0/limit"),
            ([{"form": "latency", "upload": up["arc"]}], "/tasks/0/upload"),
            ([{"form": "latency", "prompt_tokens": 0}], "/tasks/0/prompt_tokens"),
            ([{**arc, "files": [{"path": "/etc/passwd"}]}], "/tasks/0/files"), ([{**arc, "name": f"t{i}"} for i in range(65)], "/tasks")]:
        reply = lathed.ask("POST", "/v1/evaluations", {"run": run, "tasks": tasks})
        refused(reply, 422 if pointer else reply.status, "input", pointer)
    for more, pointer in [({"run": "run_999"}, "/run"), ({}, "/run"), ({"run": run, "model": "mod_1"}, "/model"),
                          ({"run": run, "context": 0}, "/context"), ({"run": run, "backend": "tpu"}, "/backend"),
                          ({"run": run, "threads": 9999}, "/threads")]:
        refused(lathed.ask("POST", "/v1/evaluations", {**more, "tasks": [arc]}), 422, "input", pointer)
    exact = {"run": run, "tasks": [{"form": "latency"}], "backend": "cuda-exact"}
    assert lathed.post("/v1/evaluations?dry_run=true", exact, status=200)["dry_run"]
    for id in ("eval_999", "exp_1", "eval_0"):
        refused(lathed.ask("GET", "/v1/evaluations/" + id), 404, "missing")
        refused(lathed.ask("GET", f"/v1/evaluations/{id}?format=lm_eval"), 404, "missing")
    wrong = lathed.post("/v1/uploads", raw=b'{"question": 7}\n')["id"]
    made = lathed.post("/v1/evaluations", {"run": run, "tasks": [{"form": "arc", "upload": wrong}]})
    done = lathed.wait("/v1/evaluations/" + made["id"])
    assert done["state"] == "failed" and done["attempt"] == 1 and "answerKey" in done["reason"], done
    assert str(lathed.dir) not in done["reason"], done["reason"]
    refused(lathed.ask("GET", f"/v1/evaluations/{made['id']}?format=lm_eval"), 409, "conflict", says="failed")


def long_file(lathed):
    rng = random.Random(2)
    return lathed.post("/v1/uploads", raw=lines(*(
        {"text": " ".join(rng.choice(WORDS) for _ in range(600))} for _ in range(48))))["id"]


def wait_for_progress(lathed, path, share):
    while True:
        it = lathed.get(path)
        if it["state"] == "succeeded" or it["progress"]["total"] and it["progress"]["done"] >= share * it["progress"]["total"]:
            return it["state"] != "succeeded"


def disturbed(lathed, run, up):
    """Paused and resumed, trainer and lathed killed: the numbers are those of an undisturbed one."""
    body = {"run": run, "context": 64, "threads": 1, "batch_tokens": 256,
            "tasks": [{"form": "text", "upload": long_file(lathed)}, *tasks_of(up)[:1]]}
    want = lathed.wait("/v1/evaluations/" + lathed.post("/v1/evaluations", body)["id"])
    assert want["state"] == "succeeded", want
    path = "/v1/evaluations/" + lathed.post("/v1/evaluations", body)["id"]
    hits = 0
    if wait_for_progress(lathed, path, 0.1):
        if lathed.pause(path) and lathed.wait(path, ("paused", "succeeded"))["state"] == "paused":
            hits += 1
            lathed.post(path + "/resume", status=200)
    if wait_for_progress(lathed, path, 0.3):
        hits += lathed.kill_trainer()
    if wait_for_progress(lathed, path, 0.5):
        lathed.kill()
        lathed.start()
        hits += 1
    got = lathed.wait(path)
    assert got["state"] == "succeeded" and hits >= 2 and got["attempt"] >= 2, (hits, got)
    for a, b in zip(want["results"], got["results"]):
        assert a["metrics"] == b["metrics"] and a["items"] == b["items"], (a, b)
    print(f"disturbed {hits} times, {got['attempt']} attempts")


def listing(lathed, run):
    every = lathed.pages("/v1/evaluations?page_size=3")
    numbers = [int(e["id"][5:]) for e in every]
    assert numbers == sorted(numbers, reverse=True) and len(every) >= 7
    of_run = lathed.pages("/v1/evaluations?run=" + run)
    assert {e["subject"] for e in of_run} == {run} and len(of_run) < len(every)
    assert len(lathed.pages("/v1/evaluations?state=failed")) == 1
    refused(lathed.ask("GET", "/v1/evaluations?model=run_1"), 400, "input", "?model")
    assert "evaluate" in {j["kind"] for j in lathed.get("/v1/jobs")["items"]}


def scores_on_the_card(lathed, run):
    made = lathed.post("/v1/exports", {"run": run, "targets": [{"format": "gguf"}]})
    done = lathed.wait("/v1/exports/" + made["id"])
    card = next(f for f in done["targets"][0]["files"] if f["name"] == "README.md")
    text = lathed.ask("GET", f"/v1/artifacts/{card['artifact']}/content").body.decode()
    assert "validation loss" in text and "arc_easy: acc 0." in text and "(eval_1)" in text, text


if __name__ == "__main__":
    skip_unless_possible()
    with Lathed("--threads", "1") as lathed:
        run, search = make_things(lathed)
        up = task_files(lathed)
        done = scores(lathed, run, up)
        reports(lathed, done)
        speed(lathed, run, search)
        what_is_refused(lathed, run, up)
        disturbed(lathed, run, up)
        listing(lathed, run)
        scores_on_the_card(lathed, run)
        assert lathed.get("/v1/evaluations/" + done["id"]) == done, "a restart changed it"
        goes(lathed, "evaluations", done)
        assert lathed.ask("GET", "/v1/uploads/" + up["arc"]).status == 200, "uploads are anybody's"
    print("ok")
