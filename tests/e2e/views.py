#!/usr/bin/env python3
"""What can be asked of a search that is over: its scores, its architectures in the words of other
programs, its files, a fork of it, a report."""
import hashlib, json, struct
from lathed import Lathed, SEARCH, SHAPE, make_dataset, skip_unless_possible


def saliency(lathed, search):
    path = f"/v1/searches/{search['id']}/saliency"
    removals = lathed.pages(f"/v1/searches/{search['id']}/trajectory?page_size=1000")
    series = {s["key"]: s["points"] for s in lathed.get(path)["series"]}
    for key in ("heads", "ffn", "stem"):
        assert series[key] == [[r["ordinal"], r["min_score"][key]] for r in removals if r["min_score"][key] is not None]
    few = lathed.get(path + "?x=step&max_points=6")["series"][1]["points"]
    assert 3 <= len(few) <= 9 and few[0][0] == removals[0]["step"], few
    for r in removals:  # what went was what scored least
        scores = {k: v for k, v in r["min_score"].items() if v is not None}
        assert scores[r["type"]] == min(scores.values()), r
    return removals


def explanations(lathed, search):
    """One at the source, one at each ratio; every layer has its quantiles, ascending."""
    items = lathed.pages(f"/v1/searches/{search['id']}/explain")
    ratios = search["snapshots"]["ratios"]
    assert len(items) >= 1 + len(ratios) and items[0]["ordinal"] == 0, items
    layers = len(search["source_shape"]["layers"])
    for item in items:
        assert len(item["influence"]) == layers and all(0 <= x <= 2 for x in item["influence"]), item
        assert item["architecture"]
        for row in item["ffn"] + item["heads"]:
            assert len(row) == len(item["quantiles"]) and row == sorted(row), row
    assert len(items[1]["ffn"]) == len(items[1]["heads"]) == layers, items[1]
    assert lathed.ask("GET", "/v1/searches/srch_9999/explain").status == 404


def stability(lathed, search, same):
    """With itself made again a search agrees in everything; with itself and strangers there is no saying."""
    path = f"/v1/searches/{search['id']}/stability"
    told = lathed.get(f"{path}?against={same['id']}&ratio=0.3")
    removals = lathed.pages(f"/v1/searches/{search['id']}/trajectory?page_size=1000")
    removals = removals[:told["ordinals"][0]]
    assert told["ordinals"][0] == told["ordinals"][1] and removals[-1]["ratio"] >= 0.3 > removals[-2]["ratio"]
    shape = search["source_shape"]
    units = {"heads": sum(l["kv_heads"] for l in shape["layers"]), "ffn": sum(l["ffn"] for l in shape["layers"]),
             "stem": shape["hidden_size"]}
    for kind, n in units.items():
        gone = sum(len([i for i in r["index"] if i >= 0]) for r in removals if r["type"] == kind)
        assert told[kind]["units"] == n and told[kind]["survive"] == [n - gone] * 2, (kind, told)
        assert told[kind]["overlap"] == 1 and told[kind]["chance"] <= 1, told
        assert told[kind]["rank_correlation"] in (None, 1) or abs(told[kind]["rank_correlation"] - 1) < 1e-9
    for wrong, status in (("", 400), (f"?against={search['id']}", 400), ("?against=srch_9999", 400),
                          (f"?against={same['id']}&ratio=0.95", 409)):
        assert lathed.ask("GET", path + wrong).status == status, wrong
    assert lathed.ask("GET", f"/v1/searches/srch_9999/stability?against={same['id']}").status == 404


def formats(lathed, search):
    items = lathed.get(f"/v1/searches/{search['id']}/shapes?ratios=0.1,0.3")["items"]
    a, b = items
    shape, layer = a["shape"], a["shape"]["layers"][0]
    path = f"/v1/architectures/{a['architecture']}/config?format="
    hf = lathed.get(path + "hf")
    assert hf["hidden_size"] == shape["hidden_size"] and hf["intermediate_size"] == layer["ffn"], hf
    assert hf["num_attention_heads"] == layer["q_heads"] and hf["num_key_value_heads"] == layer["kv_heads"]
    assert lathed.get(path + "per_layer_config")["per_layer_config"]["2"]["intermediate_size"] == layer["ffn"]
    assert lathed.get(path + "gguf")["llama.feed_forward_length"] == layer["ffn"]
    deci = lathed.get(path + "decilm")
    up = int(2 * deci["block_configs"][0]["ffn"]["ffn_mult"] * shape["hidden_size"] / 3)
    assert -(-up // 256) * 256 == -(-layer["ffn"] // 256) * 256, "lands in another bucket"
    assert lathed.ask("GET", path + "onnx").status == 400

    diff = lathed.get(f"/v1/architectures/{a['architecture']}/diff?against={b['architecture']}")
    assert diff["totals"]["params"] == [a["totals"]["params"], b["totals"]["params"]] and not diff["same"]
    for l in diff["layers"]:
        for key in set(l) - {"layer"}:
            assert l[key] == [i["shape"]["layers"][l["layer"]][key] for i in (a, b)]
    same = lathed.get(f"/v1/architectures/{a['architecture']}/diff?against={a['architecture']}")
    assert same["same"] and same["layers"] == []
    assert lathed.ask("GET", f"/v1/architectures/{a['architecture']}/diff").status == 400
    assert lathed.ask("GET", f"/v1/architectures/{a['architecture']}/diff?against=arch_9999").status == 404
    return a, b


def files(lathed, at):
    made = lathed.pages("/v1/artifacts?resource=" + at["architecture"])
    weights = next(a for a in made if a["name"] == "model.safetensors")
    path = f"/v1/artifacts/{weights['id']}"
    assert lathed.get(path) == weights
    whole = lathed.ask("GET", path + "/content")
    assert whole.status == 200 and "attachment" in whole.headers["Content-Disposition"], whole.headers
    assert hashlib.sha256(whole.body).hexdigest() == weights["sha256"], "not what the trainer said"
    n, = struct.unpack("<Q", whole.body[:8])
    tensors = json.loads(whole.body[8:8 + n])
    tensors.pop("__metadata__", None)
    sizes = [a * b if b else a for a, b in ((t["shape"] + [0])[:2] for t in tensors.values())]
    assert sum(sizes) == at["totals"]["params"], "weights and parameter count disagree"
    part = lathed.ask("GET", path + "/content", headers={"Range": "bytes=8-17"})
    assert part.status == 206 and part.body == whole.body[8:18], (part.status, part.headers)
    again = lathed.ask("GET", path + "/content", headers={"If-None-Match": whole.headers["ETag"]})
    assert again.status == 304 and not again.body
    config = next(a for a in made if a["name"] == "config.json")
    assert json.loads(lathed.ask("GET", f"/v1/artifacts/{config['id']}/content").body)["vocab_size"] == 257


def forks(lathed, search, at):
    path = f"/v1/searches/{search['id']}/fork"
    fork = lathed.post(path, {"name": "other seed", "seed": 5, "recipe": {"learning_rate": 0.002}})
    assert fork["seed"] == 5 and fork["name"] == "other seed", fork
    assert fork["recipe"] == {**search["recipe"], "learning_rate": 0.002}, fork["recipe"]
    for key in ("dataset", "source_hash", "space", "schedule", "stop", "snapshots", "validation", "checkpoint", "source"):
        assert fork[key] == search[key], key
    same = lathed.post(path, {"name": "the same"})
    onward = lathed.post(path, {"source": {"architecture": at["architecture"]}, "stop": {"ratio": 0.2},
                                "snapshots": {"ratios": []}})
    assert onward["source_hash"] == at["shape_hash"] and onward["params_source"] == at["totals"]["params"]
    assert lathed.ask("POST", path, {"colour": "red"}).status == 422
    done = lathed.wait("/v1/searches/" + same["id"])
    assert (done["state"], done["loss"], done["removals"]) == ("succeeded", search["loss"], search["removals"]), done
    onward = lathed.wait("/v1/searches/" + onward["id"])
    assert onward["state"] == "succeeded" and onward["ratio"] >= 0.2, onward
    first = lathed.get(f"/v1/searches/{onward['id']}/metrics?keys=loss")["series"][0]["points"][0][1]
    assert first < 4, f"it starts from trained weights, not from a loss of {first}"
    assert lathed.wait("/v1/searches/" + fork["id"])["loss"] != search["loss"]
    return same


def recovers(lathed, search):
    """A fork with another update goes on training after the pruning, and leaves a model with biases that had none."""
    fork = lathed.post(f"/v1/searches/{search['id']}/fork", {
        "name": "recovers", "stop": {"ratio": 0.1}, "snapshots": {"ratios": []}, "update": "bias", "criterion": {"name": "flap"}, "recover": {"tokens": 1024},
        "space": {"types": ["heads", "ffn"], "scope": "per_layer", "layers": {"from": 1}}})
    assert fork["recover"] == {"tokens": 1024} and search["recover"] == {"tokens": 0}, (fork, search)
    assert fork["source_shape"]["output_bias"] and "output_bias" not in search["source_shape"]
    fork = lathed.wait("/v1/searches/" + fork["id"])
    assert fork["state"] == "succeeded" and fork["tokens"] >= search["tokens"] and fork["phase"] == "train", fork
    last = lathed.pages(f"/v1/searches/{fork['id']}/trajectory?page_size=1000")[-1]
    shape = lathed.get(f"/v1/searches/{fork['id']}/shapes?ratios={last['ratio']}")["items"][0]["shape"]
    source = fork["source_shape"]["layers"]
    assert shape["layers"][0] == source[0] and shape["layers"][1] != source[1] and shape["output_bias"], shape
    made = lathed.pages("/v1/artifacts?resource=" + fork["id"])
    assert {"config.json", "model.safetensors"} <= {a["name"] for a in made}, made
    again = lathed.post(f"/v1/searches/{fork['id']}/fork?dry_run=true", {}, status=200)
    assert again["params"] == fork["params_source"], again


def report(lathed, at):
    made = lathed.post("/v1/comparisons", {"name": "a | b", "architecture": at["architecture"], "seeds": [3], "threads": 1,
                                           "arms": ["inherit", "reinit"], "budget": {"tokens": 256}})
    path = f"/v1/comparisons/{made['id']}"
    lathed.wait(path)
    said = lathed.ask("GET", path + "/report")
    assert said.headers["Content-Type"].startswith("text/markdown"), said.headers
    text, arms = said.body.decode(), lathed.get(path)["arms"]
    assert "| inherit | 3 |" in text and "one seed says little" in text, text
    assert f"{arms[0]['validation_loss']:.4f}" in text, text


def rehearsals(lathed, search, at):
    """dry_run checks and counts, and makes nothing."""
    before = len(lathed.pages("/v1/jobs"))
    body = {"name": "s", "dataset": search["dataset"], **SEARCH}
    plan = lathed.post("/v1/searches?dry_run=true", body, status=200)
    assert plan["dry_run"] and plan["params"] == search["params_source"] and plan["seconds"] > 0, plan
    assert abs(plan["tokens"] / search["tokens"] - 1) < 0.5, (plan, search["tokens"])
    plan = lathed.post("/v1/runs?dry_run=true", {"architecture": at["architecture"], "budget": {"tokens": 100}}, status=200)
    assert plan["params"] == at["totals"]["params"] and plan["tokens"] == 100, plan
    assert lathed.ask("POST", "/v1/searches?dry_run=true", {**body, "stop": {"ratio": 2}}).status == 422
    assert len(lathed.pages("/v1/jobs")) == before


if __name__ == "__main__":
    skip_unless_possible()
    with Lathed(slots=2) as lathed:
        data = make_dataset(lathed)
        search = lathed.post("/v1/searches", {"name": "views", "dataset": data, **SEARCH})
        search = lathed.wait("/v1/searches/" + search["id"])
        assert search["state"] == "succeeded", search
        removals = saliency(lathed, search)
        a, b = formats(lathed, search)
        files(lathed, a)
        rehearsals(lathed, search, a)
        explanations(lathed, search)
        stability(lathed, search, forks(lathed, search, a))
        recovers(lathed, search)
        report(lathed, b)
    print("ok")
