#!/usr/bin/env python3
"""Data sets of every kind of file and tokenizer; models with their tokenizers, and their end."""
import struct
from lathed import Lathed, SEARCH, make_dataset, skip_unless_possible, text

EOD = 256  # of the byte tokenizer


def tokens(n=40):
    documents = text(n * 600).split(b"\n\n")
    return [t for d in documents for t in [*d, EOD]]


def upload(lathed, raw):
    return lathed.post("/v1/uploads", raw=raw)["id"]


def done(lathed, body):
    made = lathed.post("/v1/datasets", {"validation_fraction": 0.2, **body})
    data = lathed.wait("/v1/datasets/" + made["id"])
    assert data["state"] == "succeeded", data["reason"]
    return data, lathed.get(f"/v1/datasets/{made['id']}/stats")


def shards(lathed):
    ids = tokens()
    pairs = struct.pack(f"<{len(ids)}H", *ids)
    llmc = struct.pack("<256i", 20240520, 1, len(ids), *[0] * 253) + pairs
    sizes = [i + 1 for i, t in enumerate(ids) if t == EOD]
    lengths = [b - a for a, b in zip([0] + sizes, sizes)]
    starts = [2 * (b - n) for b, n in zip(sizes, lengths)]
    idx = b"MMIDIDX\0\0" + struct.pack("<QB", 1, 8) + struct.pack("<QQ", len(lengths), len(lengths) + 1)
    idx += struct.pack(f"<{len(lengths)}i", *lengths) + struct.pack(f"<{len(starts)}q", *starts)
    idx += struct.pack(f"<{len(lengths) + 1}q", *range(len(lengths) + 1))
    counted = set()
    for file in ({"format": "nanogpt", "upload": upload(lathed, pairs)}, {"format": "llmc", "upload": upload(lathed, llmc)},
                 {"format": "megatron", "upload": upload(lathed, pairs), "index": upload(lathed, idx)}):
        data, stats = done(lathed, {"files": [{**file, "domain": "made"}]})
        assert stats["domains"][0]["name"] == "made" and stats["tokenizer"]["eod"] == EOD, stats
        counted.add((data["tokens"] + data["validation_tokens"], data["documents"]))
    assert counted == {(len(ids), ids.count(EOD))}, counted
    for file in ({"format": "megatron"}, {"format": "text", "index": "upl_1"}):
        odd = lathed.ask("POST", "/v1/datasets", {"files": [{"upload": "upl_1", **file}]})
        assert odd.status == 422 and odd.json["errors"][0]["pointer"] == "/files/0/index", odd.body


def trained(lathed):
    files = [{"upload": upload(lathed, text(100_000)), "domain": "a"}, {"upload": upload(lathed, text(50_000, 2)), "domain": "b"}]
    data, stats = done(lathed, {"files": files, "tokenizer": {"train": {"vocab_size": 320, "family": "gpt2"}}})
    assert 257 <= data["vocab_size"] <= 320 and stats["bytes_per_token"] > 1.5, (data, stats)
    assert [d["name"] for d in stats["domains"]] == ["a", "b"] and stats["domains"][0]["bytes"] > 90_000
    assert sum(d["tokens"] for d in stats["domains"]) == data["tokens"]
    for tokenizer, pointer in (({"train": {"vocab_size": 3}}, "/tokenizer/train/vocab_size"), ({}, "/tokenizer"),
                               ({"model": "mod_99"}, "/tokenizer/model"), ({"upload": "upl_1", "model": "mod_1"}, "/tokenizer")):
        odd = lathed.ask("POST", "/v1/datasets", {"files": files, "tokenizer": tokenizer})
        assert odd.status == 422 and odd.json["errors"][0]["pointer"] == pointer, odd.body
    return data["id"]


def model_and_its_tokenizer(lathed, data):
    """A search's snapshot becomes a model; a data set speaks its tokenizer's ids; then it goes."""
    vocab = lathed.get("/v1/datasets/" + data)["vocab_size"]
    body = {**SEARCH, "name": "s", "dataset": data, "stop": {"ratio": 0.1}, "snapshots": {"ratios": [0.05]}}
    body["source"] = {"shape": {**body["source"]["shape"], "vocab_size": vocab}, "train": {"tokens": 256}}
    search = lathed.wait("/v1/searches/" + lathed.post("/v1/searches", body)["id"])
    assert search["state"] == "succeeded", search["reason"]
    kept = lathed.get(f"/v1/architectures?search={search['id']}&weights=snapshot")["items"][0]["id"]
    files = []
    for artifact in lathed.get("/v1/artifacts?resource=" + kept)["items"]:
        content = lathed.ask("GET", f"/v1/artifacts/{artifact['id']}/content")
        if content.status == 200:
            files.append({"upload": upload(lathed, content.body), "filename": artifact["name"]})
    if "tokenizer.json" not in [f["filename"] for f in files]:
        raise AssertionError(files)
    model = lathed.wait("/v1/models/" + lathed.post("/v1/models", {"name": "kept", "files": files})["id"])
    assert model["state"] == "succeeded", model["reason"]
    own, stats = done(lathed, {"files": [{"upload": "upl_1"}], "tokenizer": {"model": model["id"]}})
    assert stats["tokenizer"]["hash"] == lathed.get(f"/v1/datasets/{data}/stats")["tokenizer"]["hash"]
    used = lathed.post("/v1/searches", {**body, "name": "u", "source": {"model": model["id"]}})
    path = "/v1/models/" + model["id"]
    refused = lathed.ask("DELETE", path)
    assert refused.status == 409 and used["id"] in refused.json["detail"], refused.body
    lathed.wait("/v1/searches/" + used["id"])
    again = lathed.post("/v1/models", {"name": "again", "files": files})
    again = lathed.wait("/v1/models/" + again["id"])
    folder = lathed.dir / "jobs" / again["job"]
    assert (folder / "result").is_dir()
    assert lathed.ask("DELETE", "/v1/models/" + again["id"]).status == 204
    assert lathed.ask("GET", "/v1/models/" + again["id"]).status == 404
    assert lathed.get("/v1/artifacts?job=" + again["job"])["items"] == []
    for _ in range(200):
        if not folder.exists():
            return
        lathed.get("/v1/uploads?page_size=1")
    raise AssertionError("the folder of a deleted model is still there")


if __name__ == "__main__":
    skip_unless_possible()
    with Lathed() as lathed:
        make_dataset(lathed)
        shards(lathed)
        model_and_its_tokenizer(lathed, trained(lathed))
    print("ok")
