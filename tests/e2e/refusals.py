#!/usr/bin/env python3
"""What is wrong is refused in words: the member is named, nothing half-made is left behind."""
import http.client, json, struct
from lathed import Lathed, SEARCH, SHAPE, make_dataset, skip_unless_possible


def refused(reply, status, code, pointer=None, says=""):
    assert reply.status == status, (reply.status, reply.body)
    assert reply.headers["Content-Type"] == "application/problem+json", reply.headers
    problem = reply.json
    assert problem["status"] == status and problem["code"] == code, problem
    assert problem["request_id"] == reply.headers["X-Request-Id"], problem
    assert says in problem["detail"], problem
    if pointer is not None:
        assert [e["pointer"] for e in problem["errors"]] == [pointer], problem
    return problem


def changed(base, path, value):
    """A copy in which the member at a/b/0 is another (or gone, for None)."""
    copy = json.loads(json.dumps(base))
    *way, last = [int(p) if p.isdigit() else p for p in path.split("/")]
    at = copy
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return copy


def searches(lathed, data):
    good = {"name": "s", "dataset": data, **SEARCH}
    layer = {"q_heads": 4, "kv_heads": 3, "ffn": 48}
    for path, value, pointer, says in [
        ("colour", "red", "/colour", "not a known"),
        ("dataset", None, "/dataset", "missing"),
        ("dataset", "data_999", "/dataset", "no data set data_999"),
        ("dataset", "srch_1", "/dataset", "data_1"),
        ("dataset", 7, "/dataset", "not a string"),
        ("name", "", "/name", "empty"),
        ("name", "x" * 201, "/name", "200"),
        ("source", {}, "/source", "needs a shape"),
        ("source/train", None, "/source/train", "missing"),
        ("source/train/tokens", -1, "/source/train/tokens", "-1"),
        ("source/model", "mod_1", "/source/shape", "together"),
        ("source/shape/hidden_size", 0, "/source/shape/hidden_size", "0"),
        ("source/shape/hidden_size", "wide", "/source/shape/hidden_size", "whole number"),
        ("source/shape/head_dim", 7, "/source/shape", "head_dim"),
        ("source/shape/layers/1", layer, "/source/shape", "kv_heads 3"),
        ("source/shape/layers/0/depth", 1, "/source/shape/layers/0/depth", "not a known"),
        ("source/shape/vocab_size", 100, "/source/shape/vocab_size", "257"),
        ("space", {"types": ["heads", "tails"]}, "/space/types", "tails"),
        ("space", {"floors": {"ffn": 500}}, "/space", "500"),
        ("stop", None, "/stop", "missing"),
        ("stop", {"ratio": 1.5}, "/stop/ratio", "1.5"),
        ("stop", {"ratio": 0.5, "params": 3}, "/stop", "one"),
        ("stop", {"ratio": 0.999}, "/stop", "at least"),
        ("recipe/learning_rate", "fast", "/recipe/learning_rate", "not a number"),
        ("recipe/speed", 1, "/recipe/speed", "not a known"),
        ("threads", 0, "/threads", "0"),
        ("backend", "abacus", "/backend", "cpu"),
        ("seed", -1, "/seed", "-1"),
    ]:
        reply = lathed.ask("POST", "/v1/searches", changed(good, path, value))
        try:
            refused(reply, 422, "input", pointer, says)
        except AssertionError as why:
            raise AssertionError(f"{path} = {value}") from why
    assert lathed.get("/v1/searches")["items"] == [], "a refused search was made"
    assert lathed.get("/v1/jobs?kind=search")["items"] == []


def bodies(lathed):
    for raw, says in [(b"{", "not JSON"), (b"[1]", "object"), (b'{"a":1,"a":2}', "duplicate"), (b'{"a":1} x', "not JSON"),
                      (b'{"name":"\xff"}', "not JSON"), (b'{"a":' * 100, "nested")]:
        reply = lathed.ask("POST", "/v1/searches", raw=raw, headers={"Content-Type": "application/json"})
        assert reply.status in (400, 422), (raw, reply.status, reply.body)
        refused(reply, reply.status, "input", says=says)
    reply = lathed.ask("POST", "/v1/searches", raw=b"{}", headers={"Content-Type": "text/plain"})
    refused(reply, 415, reply.json["code"])
    reply = lathed.ask("POST", "/v1/searches", raw=b'{"name": "' + b"x" * 2_000_000 + b'"}',
                       headers={"Content-Type": "application/json"})
    refused(reply, 413, reply.json["code"])
    reply = lathed.ask("POST", "/v1/uploads", raw=b"x" * 3_000_000)
    refused(reply, 413, reply.json["code"])
    assert list((lathed.dir / "uploads").iterdir()) == [], "a refused upload was kept"


def doors(lathed):
    for token in (False, "wrong", lathed.token[:-1], lathed.token + "x"):
        reply = lathed.ask("GET", "/v1/searches", token=token)
        refused(reply, 401, reply.json["code"])
        assert reply.headers["WWW-Authenticate"].startswith("Bearer"), reply.headers
    assert lathed.ask("GET", "/livez", token=False).status == 200
    for method, path, status in [("GET", "/v1/nothing", 404), ("DELETE", "/v1/searches", 405), ("GET", "/v1/searches/srch_1", 404),
                                 ("GET", "/v1/searches/srch_0", 404), ("GET", "/v1/searches/..%2f", 400),
                                 ("POST", "/v1/searches/srch_1/cancel", 404), ("GET", "/v1/architectures/arch_99", 404),
                                 ("GET", "/v1/runs/run_x", 404), ("GET", "/v1/comparisons/cmp_" + "9" * 30, 404)]:
        reply = lathed.ask(method, path)
        refused(reply, status, reply.json["code"])
    for path, pointer in [("/v1/searches?page_size=0", "?page_size"), ("/v1/searches?page_size=1001", "?page_size"),
                          ("/v1/searches?page_token=DROP", "?page_token"), ("/v1/searches?colour=red", "?colour"),
                          ("/v1/searches?state=busy", "?state"), ("/v1/architectures?order_by=beauty", "?order_by"),
                          ("/v1/architectures?ratio=2", "?ratio"), ("/v1/architectures?search=run_1", "?search"),
                          ("/v1/searches/srch_1/shapes?ratios=0.1,x", "?ratios"), ("/v1/events?resource=x", "?resource"),
                          ("/v1/runs/run_1/metrics?keys=loss,mood", "?keys"), ("/v1/runs/run_1/metrics?x=y", "?x")]:
        refused(lathed.ask("GET", path), 400, "input", pointer)


def things_made_of_files(lathed):
    good = lathed.post("/v1/uploads", raw=b"some words")["id"]
    one = {"upload": good, "format": "text"}
    for body, pointer in [({"files": []}, "/files"), ({"files": [{"upload": "upl_99"}]}, "/files/0/upload"),
                          ({"files": [{**one, "format": "word"}]}, "/files/0/format"),
                          ({"files": [{**one, "path": "/etc/passwd"}]}, "/files/0/path"),
                          ({"files": [one], "tokenizer": "words"}, "/tokenizer"),
                          ({"files": [one], "validation_fraction": 2}, "/validation_fraction")]:
        refused(lathed.ask("POST", "/v1/datasets", body), 422, "input", pointer)
    refused(lathed.ask("POST", "/v1/models", {"files": [{"upload": good, "filename": "../evil"}]}), 422, "input",
            "/files/0/filename")

    # a tensor that says it is longer than its file
    header = json.dumps({"model.embed_tokens.weight": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 324]}}).encode()
    broken = lathed.post("/v1/uploads", raw=struct.pack("<Q", len(header)) + header + b"\0" * 10)["id"]
    config = lathed.post("/v1/uploads", raw=json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8, "num_attention_heads": 2,
        "num_key_value_heads": 1, "num_hidden_layers": 1, "intermediate_size": 12, "vocab_size": 9,
        "rms_norm_eps": 1e-5}).encode())["id"]
    model = lathed.post("/v1/models", {"name": "broken", "files": [
        {"upload": config, "filename": "config.json"}, {"upload": broken, "filename": "model.safetensors"}]})
    model = lathed.wait("/v1/models/" + model["id"])
    assert model["state"] == "failed" and "safetensors" in model["reason"], model
    assert model["attempt"] == 1, "trying again does not help"
    job = lathed.get("/v1/jobs/" + model["job"])
    assert str(lathed.dir) not in json.dumps([model, job]), job
    body = {"name": "s", "dataset": "data_1", **SEARCH, "source": {"model": model["id"]}}
    reply = lathed.ask("POST", "/v1/searches", body)
    refused(reply, 422, "input", "/dataset")  # there is none yet
    return model["id"]


def not_in_this_state(lathed, data, model):
    body = {"name": "s", "dataset": data, **SEARCH, "source": {"model": model}}
    refused(lathed.ask("POST", "/v1/searches", body), 409, "conflict", says="failed")
    search = lathed.post("/v1/searches", {"name": "s", "dataset": data, **changed(SEARCH, "source/train/tokens", 10 ** 9)})
    path = "/v1/searches/" + search["id"]
    source = lathed.get(f"/v1/architectures?search={search['id']}")["items"][0]
    reply = lathed.ask("POST", "/v1/runs", {"architecture": source["id"], "init": "inherit", "budget": {"tokens": 10}})
    refused(reply, 409, "conflict", "/architecture", "no weights")
    assert lathed.post(path + "/cancel", status=200)["id"] == search["id"]
    for late in ("/pause", "/resume"):  # its trainer may not have stopped yet
        refused(lathed.ask("POST", path + late, {}), 409, "conflict", says="cancelled")
    search = lathed.wait(path)
    assert search["state"] == "cancelled", search
    assert lathed.post(path + "/cancel", status=200)["state"] == "cancelled", "asking twice is harmless"
    refused(lathed.ask("POST", path + "/resume", {}), 409, "conflict", says="cancelled")
    refused(lathed.ask("POST", path + "/pause", {}), 409, "conflict", says="cancelled")
    for arms, pointer in [(["inherit", "inherit"], "/arms"), (["sideways"], "/arms"), ([], "/arms")]:
        reply = lathed.ask("POST", "/v1/comparisons", {"architecture": source["id"], "arms": arms, "budget": {"tokens": 9}})
        refused(reply, 422, "input", pointer)


if __name__ == "__main__":
    skip_unless_possible()
    with Lathed("--max-upload", "2000000") as lathed:
        doors(lathed)
        bodies(lathed)
        model = things_made_of_files(lathed)
        data = make_dataset(lathed)
        lathed.wait("/v1/datasets/" + data)
        searches(lathed, data)
        not_in_this_state(lathed, data, model)
    print("ok")
