#!/usr/bin/env python3
"""Architectures of all searches and from elsewhere: orders, filters, fronts, imports, and what is made of them."""
import json
from lathed import Lathed, SEARCH, SHAPE, make_dataset, skip_unless_possible

OPENELM = {"model_type": "openelm", "model_dim": 64, "head_dim": 16, "vocab_size": 257, "num_transformer_layers": 2,
           "num_query_heads": [2, 4], "num_kv_heads": [1, 2], "ffn_multipliers": [0.5, 2.0], "ffn_dim_divisor": 16}


def searches(lathed):
    data = make_dataset(lathed)
    bodies = [{**SEARCH, "name": "a"}, {**SEARCH, "name": "b", "seed": 2, "stop": {"ratio": 0.3}}]
    made = [lathed.post("/v1/searches", {"dataset": data, **b})["id"] for b in bodies]
    for one in made:
        assert lathed.wait("/v1/searches/" + one)["state"] == "succeeded"
    return data, made


def orders(lathed, made):
    path = "/v1/architectures?page_size=7"
    everything = lathed.pages(path)
    ids = [int(a["id"][5:]) for a in everything]
    assert ids == sorted(ids) and len({a["search"] for a in everything}) == 2
    for key, of in (("params", lambda a: a["totals"]["params"]), ("ratio", lambda a: a["ratio"])):
        up, down = lathed.pages(f"{path}&order_by={key}"), lathed.pages(f"{path}&order_by=-{key}")
        assert [a["id"] for a in down] == [a["id"] for a in reversed(up)] and len(up) == len(ids)
        assert [of(a) for a in up] == sorted(of(a) for a in everything)
        low, high = of(up[len(up) // 4]), of(up[len(up) // 2])
        between, bounds = [a["id"] for a in up if low <= of(a) <= high], f"&min_{key}={low}&max_{key}={high}"
        assert [a["id"] for a in lathed.pages(f"{path}&order_by={key}{bounds}")] == between and len(between) > 7
        assert [a["id"] for a in lathed.pages(f"{path}&order_by=-{key}{bounds}")] == between[::-1]
    some = lathed.pages(f"{path}&min_ratio=0.1&max_ratio=0.2")
    assert [a["id"] for a in some] == [a["id"] for a in lathed.pages(path + "&order_by=ratio") if 0.1 <= a["ratio"] <= 0.2]
    kept = lathed.pages(f"{path}&weights=snapshot")
    assert [a["id"] for a in kept] == [a["id"] for a in everything if a["weights"] == "snapshot"] and kept
    one = [a for a in everything if a["search"] == made[1]]
    assert lathed.pages(f"{path}&search={made[1]}&order_by=-params") == one
    assert lathed.pages(f"{path}&search={made[1]}&order_by=params") == one[::-1]
    for share in (0, 0.1, 0.25, everything[9]["ratio"], 0.3, 0.35, 0.9):
        first = [next((a["id"] for a in everything if a["search"] == m and a["ratio"] >= share), None) for m in made]
        at = lathed.pages(f"/v1/architectures?page_size=1&ratio={share}")
        assert [a["id"] for a in at] == [f for f in first if f], (share, at, first)
        assert [a["id"] for a in lathed.pages(f"/v1/architectures?ratio={share}&search={made[1]}")] == [f for f in first[1:] if f]
    source = lathed.get("/v1/searches/" + made[0])["source_hash"]
    assert len(lathed.pages(f"{path}&source={source}")) == len(ids)
    assert lathed.pages(f"{path}&source={'0' * 64}") == []
    return everything


def front_of(points):
    return {i for i, (x, y) in points.items()
            if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())}


def fronts(lathed, data, everything):
    for axes in ("params,flops_per_token", "kv_bytes_per_token,params"):
        x, y = axes.split(",")
        want = front_of({a["id"]: (a["totals"][x], a["totals"][y]) for a in everything})
        got = lathed.get("/v1/architectures?pareto=" + axes)
        assert {a["id"] for a in got["items"]} == want and got["next_page_token"] is None
        assert all(a["pareto"] == {x: a["totals"][x], y: a["totals"][y]} for a in got["items"])
    losses = {}
    for a in everything[::9]:
        run = lathed.post("/v1/runs", {"architecture": a["id"], "budget": {"tokens": 256}, "threads": 1})
        losses[a["id"]] = (a["totals"]["params"], lathed.wait("/v1/runs/" + run["id"])["validation_loss"])
    got = lathed.get(f"/v1/architectures?pareto=params,validation_loss&dataset={data}")["items"]
    assert {a["id"]: (a["pareto"]["params"], a["pareto"]["validation_loss"]) for a in got} == {
        i: losses[i] for i in front_of(losses)}
    assert lathed.get("/v1/architectures?pareto=params,latency_ms")["items"] == [], "nothing was measured"
    for query in ("params", "params,params", "params,beauty", "params,validation_loss"):
        reply = lathed.ask("GET", "/v1/architectures?pareto=" + query)
        assert reply.status == 400 and reply.json["errors"], (query, reply.body)


def imports(lathed, everything):
    """What /config gives out comes back as the same shape."""
    made = 0
    for a in everything[::11]:
        for format in ("hf", "per_layer_config", "decilm"):
            reply = lathed.ask("GET", f"/v1/architectures/{a['id']}/config?format={format}")
            if reply.status == 409:
                continue
            assert reply.status == 200, reply.body
            new = lathed.post("/v1/architectures", {"name": format, "config": reply.json})
            same = lathed.get(f"/v1/architectures/{new['id']}/diff?against={a['id']}")
            assert same["same"] or format == "decilm", (format, same)  # which rounds widths up to 256
            made += 1
    assert made > 5
    open_elm = lathed.post("/v1/architectures", {"name": "open", "config": OPENELM})
    assert open_elm["search"] is None and open_elm["totals"]["context"] == 2048
    assert open_elm["shape"]["layers"] == [{"q_heads": 2, "kv_heads": 1, "ffn": 32}, {"q_heads": 4, "kv_heads": 2, "ffn": 128}]
    odd = lathed.ask("POST", "/v1/architectures", {"config": {**OPENELM, "num_kv_heads": [1]}})
    assert odd.status == 422 and odd.json["errors"][0]["pointer"] == "/config/num_kv_heads", odd.body
    for body, pointer in (({}, "/shape"), ({"shape": SHAPE, "config": {}}, "/config"), ({"config": 3}, "/config"),
                          ({"config": {"model_type": "mamba"}}, "/config/model_type")):
        odd = lathed.ask("POST", "/v1/architectures", body)
        assert odd.status == 422 and odd.json["errors"][0]["pointer"] == pointer, odd.body
    before = len(lathed.pages("/v1/architectures?page_size=500"))
    checked = lathed.post("/v1/architectures?dry_run=true", {"shape": SHAPE}, status=200)
    assert checked["dry_run"] and len(lathed.pages("/v1/architectures?page_size=500")) == before
    return open_elm["id"]


def made_of_an_import(lathed, data, arch):
    """It has no search, so the data set must be said; there is nothing to inherit."""
    one = lathed.get("/v1/architectures/" + arch)
    assert one["search"] is None and one["name"] == "open" and one["human_shape"]["hidden_size"] == 64
    assert lathed.ask("POST", "/v1/runs", {"architecture": arch, "budget": {"tokens": 64}}).status == 422
    small = {"dataset": data, "budget": {"tokens": 64}, "threads": 1, "recipe": {"batch_size": 1, "sequence_length": 32}}
    run = lathed.post("/v1/runs", {"architecture": arch, **small})
    assert lathed.wait("/v1/runs/" + run["id"])["state"] == "succeeded"
    refused = lathed.ask("POST", "/v1/comparisons", {"architecture": arch, **small})
    assert refused.status == 409 and "no weights" in refused.json["detail"], refused.body
    pair = lathed.post("/v1/comparisons", {"architecture": arch, "arms": ["reinit", "human"], **small})
    assert lathed.wait("/v1/comparisons/" + pair["id"])["state"] == "succeeded"
    assert "(open)" in lathed.ask("GET", f"/v1/comparisons/{pair['id']}/report").body.decode()


def lines(lathed, made):
    """NDJSON: the same pages, the next one's token in a header."""
    path, token, got = f"/v1/searches/{made[0]}/trajectory?page_size=20", "", []
    while token is not None:
        reply = lathed.ask("GET", path + token, headers={"Accept": "application/x-ndjson"})
        got += [json.loads(line) for line in reply.body.splitlines()]
        next_token = reply.headers["Next-Page-Token"]
        token = "&page_token=" + next_token if next_token else None
    assert got == lathed.pages(path)


if __name__ == "__main__":
    skip_unless_possible()
    with Lathed(slots=2) as lathed:
        data, made = searches(lathed)
        everything = orders(lathed, made)
        fronts(lathed, data, everything)
        made_of_an_import(lathed, data, imports(lathed, everything))
        lines(lathed, made)
    print("ok")
