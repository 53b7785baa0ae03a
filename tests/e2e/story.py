#!/usr/bin/env python3
"""The whole story over HTTP, with the real lathe-train: text becomes a data set, a search prunes a
model, every removal is an architecture, arms are trained and compared."""
import threading
from lathed import PATIENCE, Lathed, SEARCH, SHAPE, make_dataset, skip_unless_possible


def watch(lathed, query, into):
    stream = lathed.events(query, last_id=0)
    for event in stream:
        into.append(event)
        if event[1] == "state" and event[2]["state"] in ("succeeded", "failed"):
            break
    stream.close()


def params_of(shape):
    d, h, v = shape["hidden_size"], shape["head_dim"], shape["vocab_size"]
    layers = sum(d * h * (2 * l["q_heads"] + 2 * l["kv_heads"]) + 3 * d * l["ffn"] for l in shape["layers"])
    return v * d * (1 if shape["tie_word_embeddings"] else 2) + layers + (2 * len(shape["layers"]) + 1) * d


def search_story(lathed):
    data = make_dataset(lathed)
    created = lathed.post("/v1/searches", {"name": "story", "dataset": data, **SEARCH})
    path = "/v1/searches/" + created["id"]
    assert created["state"] == "queued" and created["params_source"] == params_of(SHAPE), created
    events = []
    watcher = threading.Thread(target=watch, args=(lathed, "?resource=" + created["id"], events))
    watcher.start()
    search = lathed.wait(path)
    watcher.join(60 * PATIENCE)
    assert not watcher.is_alive(), "the end was not heard"
    assert search["state"] == "succeeded", search["reason"]
    assert search["ratio"] >= 0.5 and search["params_now"] <= search["params_source"] / 2, search
    data = lathed.get("/v1/datasets/" + data)
    assert data["state"] == "succeeded" and data["vocab_size"] == 257, data
    assert data["tokens"] + data["validation_tokens"] > 200_000, data
    return search, events


def check_trajectory(lathed, search, events):
    path = "/v1/searches/" + search["id"]
    removals = lathed.pages(path + "/trajectory?page_size=7")
    assert [r["ordinal"] for r in removals] == list(range(1, search["removals"] + 1))
    assert removals[-1]["params"] == search["params_now"]
    for a, b in zip(removals, removals[1:]):
        assert b["params"] < a["params"] and b["step"] >= a["step"]
    some = lathed.get(f"{path}/trajectory?from_step={removals[3]['step']}&to_step={removals[8]['step']}&every=2")
    assert all(r["ordinal"] % 2 == 0 and removals[3]["step"] <= r["step"] <= removals[8]["step"] for r in some["items"])
    told = [e[2] for e in events if e[1] == "removal"]
    assert [t["ordinal"] for t in told] == [r["ordinal"] for r in removals], "SSE told other removals"
    assert told[5]["shape_hash"] == removals[5]["shape_hash"] and told[5]["resource"] == search["id"]
    states = [e[2]["state"] for e in events if e[1] == "state"]
    assert states == ["queued", "starting", "running", "succeeded"], states
    assert [e[0] for e in events] == sorted({e[0] for e in events}), "ids are not in order"
    return removals


def check_architectures(lathed, search, removals):
    """What is stored as sums must be what the replayed shape says."""
    listed = lathed.pages(f"/v1/architectures?search={search['id']}&page_size=9")
    assert [a["ordinal"] for a in listed] == list(range(len(removals) + 1))
    for a in listed[:: max(1, len(listed) // 8)] + listed[-1:]:
        one = lathed.get("/v1/architectures/" + a["id"])
        shape, totals = one["shape"], one["totals"]
        assert params_of(shape) == totals["params"] == a["totals"]["params"]
        embedding = shape["vocab_size"] * shape["hidden_size"]
        assert totals["params_non_embedding"] == totals["params"] - embedding
        heads = sum(l["q_heads"] for l in shape["layers"]) * shape["head_dim"]
        assert totals["flops_per_token"] == 6 * totals["params"] + 6 * heads * totals["context"]
        assert totals["kv_bytes_per_token"] == 4 * shape["head_dim"] * sum(l["kv_heads"] for l in shape["layers"])
        assert a["ordinal"] == 0 or abs(params_of(one["human_shape"]) / totals["params"] - 1) < 0.05
    down = lathed.pages(f"/v1/architectures?search={search['id']}&order_by=-params&page_size=11")
    assert [a["id"] for a in down] == [a["id"] for a in listed]
    middle = lathed.pages(f"/v1/architectures?min_params={removals[20]['params']}&max_params={removals[10]['params']}")
    assert [a["ordinal"] for a in middle] == list(range(21, 10, -1)), "the smallest first"


def check_shapes(lathed, search):
    items = lathed.get(f"/v1/searches/{search['id']}/shapes?ratios=0.1,0.3,0.5,0.99")["items"]
    assert [i["ratio_asked"] for i in items] == [0.1, 0.3, 0.5], "0.99 was never reached"
    for i in items:
        assert i["ratio"] >= i["ratio_asked"] and params_of(i["shape"]) == i["totals"]["params"]
    assert [i["weights"] for i in items] == ["snapshot"] * 3, items  # two asked for, and the end
    same = lathed.get(f"/v1/searches/{search['id']}/shapes?params={items[1]['totals']['params']}")["items"]
    assert same[0]["architecture"] == items[1]["architecture"] and same[0]["shape"] == items[1]["shape"]
    at = lathed.get(f"/v1/architectures?search={search['id']}&ratio=0.3")["items"]
    assert [a["id"] for a in at] == [items[1]["architecture"]]
    return items


def check_metrics(lathed, search):
    path = f"/v1/searches/{search['id']}/metrics"
    series = {s["key"]: s["points"] for s in lathed.get(path + "?keys=loss,params,validation_loss")["series"]}
    assert series["loss"][-1] == [search["step"], search["loss"]] and series["loss"][0][1] > search["loss"]
    assert series["params"][-1][1] == search["params_now"]
    assert series["validation_loss"][-1][1] == search["validation_loss"]
    few = lathed.get(path + "?x=tokens&max_points=5")["series"][0]["points"]
    assert len(few) <= 5 and few[-1] == [search["tokens"], search["loss"]], few


def compare(lathed, search, at):
    made = lathed.post("/v1/comparisons", {"name": "arms", "architecture": at["architecture"], "seeds": [1, 2],
                                           "budget": {"tokens": 1024}, "threads": 1})
    done = lathed.wait("/v1/comparisons/" + made["id"])
    assert done["state"] == "succeeded", done
    arms = {(a["arm"], a["seed"]): a for a in done["arms"]}
    assert len(arms) == 6 and all(a["tokens"] == 1024 and a["validation_loss"] for a in arms.values()), done
    assert arms["inherit", 1]["shape_hash"] == arms["reinit", 2]["shape_hash"] == at["shape_hash"]
    assert arms["human", 1]["shape_hash"] != at["shape_hash"]
    assert arms["inherit", 1]["validation_loss"] < arms["reinit", 1]["validation_loss"], "inheriting helps"
    for d in done["differences"]:
        per_seed = [arms[d["a"], s]["validation_loss"] - arms[d["b"], s]["validation_loss"] for s in (1, 2)]
        mean = sum(per_seed) / 2
        half = 12.7062 * abs(per_seed[0] - per_seed[1]) / 2
        assert abs(d["mean"] - mean) < 1e-9 and abs(d["per_seed"][1] - per_seed[1]) < 1e-9, d
        assert abs(d["ci95"][0] - (mean - half)) < 1e-6 and abs(d["ci95"][1] - (mean + half)) < 1e-6, d
    assert [(d["a"], d["b"]) for d in done["differences"]] == [
        ("inherit", "reinit"), ("inherit", "human"), ("reinit", "human")]
    assert lathed.get("/v1/runs/" + arms["reinit", 2]["run"])["seed"] == 2


def run_of_a_shape(lathed, dataset):
    """Its end is heard by one who comes with an id that this database never gave."""
    stream = lathed.events(last_id=10 ** 9)
    run = lathed.post("/v1/runs", {"shape": SHAPE, "dataset": dataset, "budget": {"tokens": 1000}, "threads": 1,
                                   "recipe": {"batch_size": 2, "sequence_length": 16}})
    run = lathed.wait("/v1/runs/" + run["id"])
    assert run["state"] == "succeeded" and run["tokens"] == 1024, run  # whole steps
    assert run["architecture"] is None and run["loss"] > 0
    assert any(kind == "state" and what["id"] == run["id"] and what["state"] == "succeeded" for _, kind, what in stream)
    stream.close()


def adapted(lathed, at):
    """Recovery through adapters: what is trained is small, what comes out is the whole model."""
    asked = {"architecture": at["architecture"], "init": "inherit", "budget": {"tokens": 1024}, "threads": 1,
             "recipe": {"lora": {"rank": 2, "targets": ["q", "down"]}}}
    reply = lathed.ask("POST", "/v1/runs", {**asked, "init": "reinit"})
    assert reply.status == 422 and "init inherit" in reply.body.decode(), reply.body
    run = lathed.wait("/v1/runs/" + lathed.post("/v1/runs", asked)["id"])
    assert run["state"] == "succeeded" and run["shape_hash"] == at["shape_hash"], run
    assert run["recipe"]["lora"] == {"rank": 2, "alpha": 4, "targets": ["q", "down"]}, run["recipe"]


def events_resume(lathed, search, events):
    """A client that comes back misses nothing and sees nothing twice."""
    again = []
    stream = lathed.events("?resource=" + search["id"], last_id=events[9][0])
    for event in stream:
        again.append(event)
        if event[0] == events[-1][0]:
            break
    stream.close()
    assert again == events[10:]


if __name__ == "__main__":
    skip_unless_possible()
    with Lathed(slots=2) as lathed:
        search, events = search_story(lathed)
        removals = check_trajectory(lathed, search, events)
        check_architectures(lathed, search, removals)
        items = check_shapes(lathed, search)
        check_metrics(lathed, search)
        events_resume(lathed, search, events)
        compare(lathed, search, items[1])
        adapted(lathed, items[1])
        run_of_a_shape(lathed, search["dataset"])
        assert lathed.get("/v1/jobs?kind=train&page_size=3")["items"][0]["kind"] == "train"
        assert lathed.get("/v1/workers")["items"][0]["alive"]
    print("ok")
