#!/usr/bin/env python3
"""Exports over HTTP: a run in every format, an architecture's kept weights, a model that came in; the
proof beside each, the files and what is in them, and what is refused."""
import hashlib, json, struct, time
from lathed import Lathed, SEARCH, SHAPE, make_dataset, skip_unless_possible
from refusals import refused

EVERY = [{"format": "hf"}, {"format": "hf", "dtype": "bfloat16"}, {"format": "hf_padded", "dtype": "float16"},
         {"format": "decilm"}, {"format": "gguf", "dtype": "float32"}, {"format": "gguf", "dtype": "q8_0"},
         {"format": "gguf", "dtype": "q4_0"}, {"format": "safetensors", "dtype": "bfloat16"}, {"format": "shape"}]
# Largest difference of two logits from our own forward; the models are tiny and hardly trained.
BOUND = {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.1, "q8_0": 0.1, "q4_0": 2.0}


def make_things(lathed):
    """A search with kept weights, and a run of a shape whose layers differ."""
    data = make_dataset(lathed)
    layers = [{"q_heads": 4, "kv_heads": 2, "ffn": 48}, {"q_heads": 2, "kv_heads": 1, "ffn": 40}]
    shape = {**SHAPE, "layers": layers}
    run = lathed.post("/v1/runs", {"name": "bent <b>|\nname", "shape": shape, "dataset": data, "threads": 1,
                                   "budget": {"tokens": 2048}, "recipe": {"batch_size": 2, "sequence_length": 32}})
    early = {"run": run["id"], "targets": [{"format": "hf"}]}
    refused(lathed.ask("POST", "/v1/exports", early), 409, "conflict", "/run", "once it has succeeded")
    search = lathed.post("/v1/searches", {"name": "s", "dataset": data, **SEARCH})
    for path in ("/v1/runs/" + run["id"], "/v1/searches/" + search["id"]):
        assert lathed.wait(path)["state"] == "succeeded"
    return run["id"], search["id"], shape


def export(lathed, **body):
    made = lathed.patiently("POST", "/v1/exports", body=body)
    assert made.status == 201 and made.headers["Location"] == "/v1/exports/" + made.json["id"], made.body
    assert all(t["files"] == [] and t["parity"] is None for t in made.json["targets"]), made.json
    done = lathed.wait("/v1/exports/" + made.json["id"])
    assert done["state"] == "succeeded", done["reason"]
    return done


def content(lathed, file):
    reply = lathed.ask("GET", f"/v1/artifacts/{file['artifact']}/content")
    assert reply.status == 200 and len(reply.body) == file["bytes"], (file, reply.status, len(reply.body))
    assert hashlib.sha256(reply.body).hexdigest() == file["sha256"], file
    return reply.body


def files_of(lathed, target):
    return {f["name"]: content(lathed, f) for f in target["files"]}


def tensors_of(data):
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return header


def params_of(header):
    n = 0
    for tensor in header.values():
        product = 1
        for length in tensor["shape"]:
            product *= length
        n += product
    return n


def check_target(lathed, target, sizes, params):
    files = files_of(lathed, target)
    assert target["params"] == params and target["params_stored"] == sizes["params_stored"], target
    assert abs(target["overhead"] - (target["params_stored"] / params - 1)) < 1e-9
    assert "README.md" in files, target
    if target["format"] == "gguf":
        data = files["model.gguf"]
        assert data[:4] == b"GGUF" and b"general.architecture" in data[:400], data[:64]
        assert sizes["bytes"] < len(data) < sizes["bytes"] + 40_000, (sizes, len(data))
    elif target["format"] != "shape":
        header = tensors_of(files["model.safetensors"])
        assert params_of(header) == target["params_stored"], target
        named = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}[target["dtype"]]
        assert {t["dtype"] for t in header.values()} == {named}
        assert sizes["bytes"] < len(files["model.safetensors"]) < sizes["bytes"] + 10_000
    if target["format"] in ("safetensors", "shape"):
        assert target["parity"] is None and "shape.json" in files
    else:
        assert target["parity"]["max_abs_logit_difference"] < BOUND[target["dtype"]], target["parity"]
        assert target["parity"]["positions"] > 50 and target["parity"]["mean_kl"] < 0.2
        assert {r["runtime"] for r in target["runtimes"]} and all(r["why"] for r in target["runtimes"])
    return files


def every_format_of_a_run(lathed, run, shape):
    sizes = lathed.post("/v1/exports?dry_run=true", {"run": run, "targets": EVERY}, status=200)
    assert sizes["dry_run"] and sizes["bytes"] == sum(t["bytes"] for t in sizes["targets"])
    assert lathed.get("/v1/exports")["items"] == [], "a dry run made one"
    done = export(lathed, name="every", run=run, targets=EVERY, prompts=["the lazy dog", "hello world " * 9])
    assert done["subject"] == done["run"] == run and done["progress"] == {"done": 9, "total": 9, "unit": "targets"}
    params = lathed.get("/v1/runs/" + run)["params"]
    assert done["tokenizer"]["kind"] == "bytes" and len(done["tokenizer"]["sha256"]) == 64
    found = {}
    for asked, size, target in zip(EVERY, sizes["targets"], done["targets"]):
        assert target["format"] == asked["format"] and target["dtype"] == asked.get("dtype", "float32")
        assert target["parity"] is None or target["parity"]["prompts"] == 2
        found[target["format"], target["dtype"]] = check_target(lathed, target, size, params)
    config = json.loads(found["hf", "float32"]["config.json"])
    assert config["num_hidden_layers"] == 2 and "modeling_lathe.py" in found["hf", "float32"]
    assert json.loads(found["shape", "float32"]["shape.json"])["layers"] == shape["layers"]
    card = found["hf", "float32"]["README.md"].decode()
    assert "bent <b>" in card and "| name" not in card and "validation loss" in card and "2,048 tokens" in card, card
    return done, found


def comes_back_in(lathed, run, found):
    """What was exported is a model like any other."""
    want = lathed.get("/v1/runs/" + run)
    for format, names in (("hf", ("config.json", "model.safetensors", "tokenizer.json")), ("gguf", ("model.gguf",))):
        files = [{"upload": lathed.post("/v1/uploads", raw=found[format, "float32"][name])["id"], "filename": name}
                 for name in names]
        model = lathed.post("/v1/models", {"name": format + " again", "files": files})
        model = lathed.wait("/v1/models/" + model["id"])
        assert model["state"] == "succeeded", model["reason"]
        assert (model["params"], model["shape"]["layers"]) == (want["params"], want["shape"]["layers"]), model
        again = export(lathed, model=model["id"], targets=[{"format": "gguf"}])
        target, = again["targets"]
        kept = lathed.ask("DELETE", "/v1/models/" + model["id"])
        assert again["id"] in refused(kept, 409, "conflict", None)["detail"], kept.body
        assert again["subject"] == model["id"] and again["name"] == "export"
        assert again["tokenizer"]["kind"] and target["parity"]["max_abs_logit_difference"] < 1e-4


def goes(lathed, kind, made):
    """Deleted: its row, its files on disk and what told of them; listeners hear of it, its subject stays."""
    path, folder = f"/v1/{kind}/{made['id']}", lathed.dir / "jobs" / made["job"]
    file = lathed.get("/v1/artifacts?resource=" + made["id"])["items"][0]
    assert (folder / "result").is_dir()
    assert lathed.ask("DELETE", path).status == 204
    refused(lathed.ask("DELETE", path), 404, "missing")
    refused(lathed.ask("GET", path), 404, "missing")
    refused(lathed.ask("GET", f"/v1/artifacts/{file['id']}/content"), 404, "missing")
    assert made["id"] not in [e["id"] for e in lathed.pages("/v1/" + kind)]
    assert lathed.get("/v1/artifacts?resource=" + made["id"])["items"] == []
    stream = lathed.events("?resource=" + made["id"], last_id=0)
    assert "deleted" in (kind for _, kind, _ in stream)
    stream.close()
    deadline = time.monotonic() + 10
    while folder.exists():
        assert time.monotonic() < deadline, f"{folder} is still there"
        time.sleep(0.02)


def model_after_its_exports(lathed):
    for made in lathed.get("/v1/exports?model=mod_1")["items"]:
        goes(lathed, "exports", made)
    assert lathed.ask("DELETE", "/v1/models/mod_1").status == 204


def of_an_architecture(lathed, search):
    kept = lathed.get(f"/v1/searches/{search}/shapes?ratios=0.3")["items"][0]["architecture"]
    done = export(lathed, architecture=kept, targets=[{"format": "gguf"}, {"format": "hf_padded"}])
    assert done["subject"] == done["architecture"] == kept
    card = files_of(lathed, done["targets"][1])["README.md"].decode()
    assert "removals: " in card and "of the source's parameters removed" in card and kept in card, card
    bare = next(a["id"] for a in lathed.pages("/v1/architectures?search=" + search) if a["weights"] == "none")
    body = {"architecture": bare, "targets": [{"format": "shape"}, {"format": "hf"}]}
    said = refused(lathed.ask("POST", "/v1/exports", body), 409, "conflict", "/architecture", "nearest")
    assert kept in said["detail"], said
    shape = export(lathed, architecture=bare, targets=[{"format": "shape"}])  # needs no weights
    text = files_of(lathed, shape["targets"][0])["shape.json"]
    assert json.loads(text)["layers"] == lathed.get("/v1/architectures/" + bare)["shape"]["layers"]
    return kept


def listing(lathed, run, kept):
    every = lathed.pages("/v1/exports?page_size=2")
    assert [e["id"] for e in every] == [f"exp_{i}" for i in range(len(every), 0, -1)] and len(every) == 5
    assert [e["subject"] for e in lathed.pages("/v1/exports?run=" + run)] == [run]
    assert [e["subject"] for e in lathed.pages("/v1/exports?architecture=" + kept)] == [kept]
    assert [e["model"] for e in lathed.pages("/v1/exports?model=mod_1&state=succeeded")] == ["mod_1"]
    assert lathed.get("/v1/exports?state=failed")["items"] == []
    assert [e["id"] for e in lathed.get("/v1/exports?order_by=id&page_size=2")["items"]] == ["exp_1", "exp_2"]
    refused(lathed.ask("GET", "/v1/exports?run=arch_1"), 400, "input", "?run")
    refused(lathed.ask("GET", "/v1/exports?colour=red"), 400, "input")
    kinds = {j["kind"] for j in lathed.get("/v1/jobs")["items"]}
    assert "export" in kinds
    files = lathed.get("/v1/artifacts?resource=exp_1&page_size=3")["items"]
    assert len(files) == 3 and all(f["bytes"] and f["sha256"] for f in files)
    head = lathed.ask("GET", f"/v1/artifacts/{files[0]['id']}/content", headers={"Range": "bytes=1-4"})
    assert head.status == 206 and len(head.body) == 4


def what_is_refused(lathed, run):
    hf = [{"format": "hf"}]
    for body, pointer in [
            ({"targets": hf}, "/run"), ({"run": run, "architecture": "arch_1", "targets": hf}, "/architecture"),
            ({"run": "run_999", "targets": hf}, "/run"), ({"architecture": "arch_999999", "targets": hf}, "/architecture"),
            ({"model": "mod_77", "targets": hf}, "/model"), ({"run": "../run_1", "targets": hf}, "/run"),
            ({"run": "run_1'; drop table run;--", "targets": hf}, "/run"), ({"run": 1, "targets": hf}, "/run"),
            ({"run": run}, "/targets"), ({"run": run, "targets": []}, "/targets"),
            ({"run": run, "targets": hf * 2}, "/targets/1"), ({"run": run, "targets": hf * 17}, "/targets"),
            ({"run": run, "targets": [{"format": "onnx"}]}, "/targets/0/format"),
            ({"run": run, "targets": [{"format": "hf", "dtype": "q8_0"}]}, "/targets/0/dtype"),
            ({"run": run, "targets": [{"format": "gguf", "dtype": "int3"}]}, "/targets/0/dtype"),
            ({"run": run, "targets": [{"format": "gguf", "path": "/etc"}]}, "/targets/0/path"),
            ({"run": run, "targets": hf, "prompts": ["x" * 9000]}, "/prompts/0"),
            ({"run": run, "targets": hf, "prompts": "x"}, "/prompts"), ({"run": run, "targets": hf, "name": ""}, "/name"),
            ({"run": run, "targets": hf, "tokenizer": "/etc/passwd"}, "/tokenizer")]:
        refused(lathed.ask("POST", "/v1/exports", body), 422, "input", pointer)
    refused(lathed.ask("POST", "/v1/exports?dry_run=1", {"run": run, "targets": hf}), 400, "input", "?dry_run")
    for id in ("exp_999", "exp_0", "run_1", "exp_-1", "exp_1;", "exp_%31%27"):
        refused(lathed.ask("GET", "/v1/exports/" + id), 404, "missing")
    for wish in ("cancel", "pause", "resume"):
        refused(lathed.ask("POST", "/v1/exports/exp_999/" + wish, {}), 404, "missing")
        refused(lathed.ask("POST", "/v1/exports/exp_1/" + wish, {}), 409, "conflict", says="succeeded already")
    stale = lathed.ask("DELETE", "/v1/exports/exp_1", headers={"If-Match": 'W/"running.1.run"'})
    refused(stale, 412, "stale", says="succeeded now")


def asked_otherwise(lathed, run):
    """Paused, resumed and cancelled while nobody works on it."""
    lathed.post("/v1/workers/wrk_1/drain", status=200)
    body = {"run": run, "targets": EVERY[:2]}
    path, other = ("/v1/exports/" + lathed.post("/v1/exports", body)["id"] for _ in range(2))
    refused(lathed.ask("DELETE", other), 409, "conflict", says="cancel it first")
    assert lathed.post(other + "/cancel", status=200)["state"] == "cancelled"
    assert lathed.ask("DELETE", other).status == 204  # it has no files, nor ever had a folder
    assert lathed.post(path + "/pause", status=200)["state"] == "paused"
    assert lathed.post(path + "/resume", status=200)["state"] == "queued"
    lathed.post("/v1/workers/wrk_1/undrain", status=200)
    assert lathed.wait(path)["state"] == "succeeded"


def kill_in_the_middle(lathed, run):
    """An export whose trainer was killed before it had an end."""
    for _ in range(20):
        path = "/v1/exports/" + lathed.post("/v1/exports", {"run": run, "targets": EVERY})["id"]
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not lathed.kill_trainer():
            pass
        lathed.wait(path, ("succeeded", "queued"))
        if lathed.get(path)["state"] == "queued":
            return path
    raise AssertionError("never in time")


def disturbed(lathed, run):
    """Its trainer, then lathed is killed."""
    path = kill_in_the_middle(lathed, run)
    lathed.wait(path, ("starting", "running", "succeeded"))
    lathed.kill()
    lathed.start()
    done = lathed.wait(path)
    assert done["state"] == "succeeded" and done["attempt"] >= 2, done
    files = [f for target in done["targets"] for f in target["files"]]
    assert all(content(lathed, f) for f in files)
    assert len({f["artifact"] for f in files}) == len(files) == len(lathed.pages("/v1/artifacts?resource=" + done["id"]))


if __name__ == "__main__":
    skip_unless_possible()
    with Lathed("--threads", "1") as lathed:
        run, search, shape = make_things(lathed)
        done, found = every_format_of_a_run(lathed, run, shape)
        comes_back_in(lathed, run, found)
        kept = of_an_architecture(lathed, search)
        listing(lathed, run, kept)
        what_is_refused(lathed, run)
        asked_otherwise(lathed, run)
        disturbed(lathed, run)
        model_after_its_exports(lathed)
        again = lathed.get("/v1/exports/" + done["id"])
        assert again == done, "a restart changed it"
    print("ok")
