#!/usr/bin/env python3
"""Every operation of /v1/openapi.json once as its example says, then once for each error that every
operation of its kind documents. What comes back is held against the document by lathed.py."""
import http.client, json, re, time
from contract import jsonschema
from lathed import SHAPE, Lathed, Reply, skip_unless_possible, text
from trouble import all_seen, away, broken, everywhere, listeners, same_key, too_often

FIRST = ["createUpload", "createDataset", "createModel", "createSearch", "createArchitecture", "createRun", "createComparison"]
QUERY = {"getArchitectureConfig": "?format=per_layer_config", "getStability": "?against=srch_2&ratio=0.2"}
REPORT = {"getEvaluation": "?format=lm_eval"}  # what is a file, or not there yet
BY_HAND = {"watchEvents"}


def collection(path):
    return (path.split("/") + ["", ""])[2]


def query_of(name, op):
    """What a query must say: an id where one is required."""
    must = [p for p in op["parameters"] if p.get("in") == "query" and p["required"]]
    ids = [f"{p['name']}={re.match(r'.([a-z]+_)', p['schema']['pattern'])[1]}1" for p in must]
    return QUERY.get(name, "?" + "&".join(ids) if ids else "")


class Walk:
    def __init__(self, lathed):
        self.lathed, self.ops, self.id = lathed, lathed.contract.operations, {}

    def path(self, name, fresh=None):
        path = self.ops[name][1]
        return path.replace("{id}", fresh or self.id.get(collection(path), "?")) + query_of(name, self.ops[name][2])

    def create(self, name):
        """What the example says, for the first time under this name: its id is remembered."""
        method, path, op = self.ops[name]
        if name == "createUpload":
            made = self.lathed.post(path, raw=text())
        else:
            body = op["requestBody"]["content"]["application/json"]["example"]
            made = self.lathed.post(self.path(name), body)
        self.id.setdefault(collection(path), made["id"])
        return made

    def examples(self):
        posts = [n for n, (m, p, op) in self.ops.items() if m == "POST" and "example" in json.dumps(op.get("requestBody", {}))]
        for name in FIRST + [n for n in posts if n not in FIRST]:
            made = self.create(name)
            if name in ("createDataset", "createSearch", "forkSearch"):
                done = self.lathed.wait(f"/v1/{collection(self.ops[name][1])}/{made['id']}")
                assert done["state"] == "succeeded", (name, done["reason"])
            if "201" in self.ops[name][2]["responses"] and any(p.get("name") == "dry_run" for p in self.ops[name][2]["parameters"]):
                body = self.ops[name][2]["requestBody"]["content"]["application/json"]["example"]
                assert self.lathed.post(self.path(name) + "?dry_run=true", body, status=200)["dry_run"]

    def reads(self):
        self.id["artifacts"] = self.lathed.get("/v1/artifacts?resource=" + self.kept())["items"][0]["id"]
        self.id["jobs"], self.id["workers"] = "job_1", "wrk_1"
        for name, (method, path, op) in self.ops.items():
            if method == "GET" and name not in BY_HAND:
                reply = self.lathed.patiently("GET", self.path(name))
                assert reply.status == 200, (name, self.path(name), reply.status, reply.body[:300])
        stream = self.lathed.events("?resource=srch_1", last_id=0)
        assert next(iter(stream))[2]["resource"] == "srch_1"
        stream.close()
        self.lathed.contract.seen.add(("watchEvents", 200))

    def kept(self):
        return self.lathed.get("/v1/architectures?weights=snapshot&page_size=1")["items"][0]["id"]

    def wishes(self):
        """The one slot is taken for long, so whatever is asked for next waits in the queue."""
        long = json.loads(json.dumps(self.ops["createSearch"][2]["requestBody"]["content"]["application/json"]["example"]))
        long["source"]["train"]["tokens"] = 10 ** 9
        busy = self.lathed.post("/v1/searches", long)
        self.lathed.wait("/v1/searches/" + busy["id"], ("running",))
        data = self.create("createDataset")
        self.too_early("datasets", data["id"])
        self.lathed.post(f"/v1/jobs/{data['job']}/cancel", status=200)
        creators = {collection(p): n for n, (m, p, op) in self.ops.items() if m == "POST" and p.count("/") == 2}
        for kind in sorted({collection(p) for _, p, _ in self.ops.values() if p.endswith("/cancel")}):
            made = self.create(creators.get(kind, "createRun"))
            one = made["job"] if kind == "jobs" else made["id"]
            self.too_early(kind, one)
            for wish, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
                path = f"/v1/{kind}/{one}"
                if not self.lathed.contract.find("POST", f"{path}/{wish}")[1]:
                    continue
                tag = self.lathed.ask("GET", path).headers["ETag"]
                stale = self.lathed.ask("POST", f"{path}/{wish}", {}, headers={"If-Match": 'W/"running.7.run"'})
                assert stale.status == 412 and stale.json["code"] == "stale", (path, wish, stale.status, stale.body)
                done = self.lathed.ask("POST", f"{path}/{wish}", {}, headers={"If-Match": f'"x", {tag}'})
                assert done.status == 200 and done.json["state"] == state, (path, wish, done.status, done.body)
                late = "pause" if wish == "cancel" else None
                if late and self.lathed.contract.find("POST", f"{path}/{late}")[1]:
                    refused(path, self.lathed.ask("POST", f"{path}/{late}", {}), 409, "conflict")
                    refused(path, self.lathed.ask("POST", f"{path}/resume", {}), 409, "conflict")
        self.lathed.post(f"/v1/searches/{busy['id']}/cancel", status=200)

    def too_early(self, kind, one):
        for name, (method, path, op) in self.ops.items():
            if method == "GET" and "409" in op["responses"] and collection(path) == kind and "{id}" in path:
                refused(name, self.lathed.ask(method, path.replace("{id}", one) + (REPORT.get(name) or query_of(name, op))), 409, "conflict")

    def cannot_be_said(self):
        """Layers that differ, in a format that knows only one kind."""
        shape = {**SHAPE, "layers": [dict(SHAPE["layers"][0], ffn=n) for n in (16, 48)]}
        made = self.lathed.ask("POST", "/v1/architectures", {"name": "uneven", "shape": shape}).json["id"]
        path = self.ops["getArchitectureConfig"][1].replace("{id}", made)
        refused(path, self.lathed.ask("GET", path + "?format=hf"), 409, "conflict")

    def too_late(self):
        """What has ended well cannot be cancelled any more."""
        for kind in sorted({collection(p) for _, p, _ in self.ops.values() if p.endswith("/cancel")}):
            path = f"/v1/{kind}/{self.id[kind]}"
            assert self.lathed.wait(path)["state"] == "succeeded", path
            refused(path, self.lathed.ask("POST", path + "/cancel", {}), 409, "conflict")

    def drain(self, wish, was):
        """Done to what was seen; a second time it is no longer that."""
        seen = {"If-Match": self.lathed.ask("GET", "/v1/workers/wrk_1").headers["ETag"]}
        assert seen["If-Match"] == f'W/"{was}"', seen
        done = self.lathed.ask("POST", "/v1/workers/wrk_1/" + wish, {}, headers=seen)
        assert done.status == 200 and done.json["draining"] == (wish == "drain"), (wish, done.status, done.body)
        refused(wish, self.lathed.ask("POST", "/v1/workers/wrk_1/" + wish, {}, headers=seen), 412, "stale")

    def deletions(self):
        """Nobody works meanwhile: what has a job waits in the queue, where it cannot be deleted."""
        self.drain("drain", "working")
        for name, (method, path, op) in self.ops.items():
            if method != "DELETE":
                continue
            made = self.create(next(n for n, (m, p, _) in self.ops.items() if m == "POST" and p == path.rsplit("/", 1)[0]))
            path = self.path(name, made["id"])
            if "job" in made:
                assert "cancel it first" in refused(name, self.lathed.ask("DELETE", path), 409, "conflict").json["detail"], name
                self.lathed.post(f"/v1/jobs/{made['job']}/cancel", status=200)
            tag = self.lathed.ask("GET", path).headers["ETag"]
            refused(name, self.lathed.ask("DELETE", path, headers={"If-Match": '"running.7.run"'}), 412, "stale")
            reply = self.lathed.ask("DELETE", path, headers={"If-Match": tag})
            assert reply.status == 204 and not reply.body, (name, reply.status, reply.body)
        self.drain("undrain", "draining")


# ---- what every operation of a kind refuses ------------------------------------------------

def refused(name, reply, status, code=None):
    assert reply.status == status, (name, reply.status, reply.body[:300])
    assert reply.headers["Content-Type"] == "application/problem+json", (name, reply.headers)
    problem = reply.json
    assert problem["status"] == status and problem["request_id"] == reply.headers["X-Request-Id"], (name, problem)
    assert code is None or problem["code"] == code, (name, problem)
    return reply


def known(lathed, token):
    """A new token works once every process was told of it."""
    deadline = time.monotonic() + 20
    while lathed.ask("GET", "/v1/uploads", token=token).status == 401:
        assert time.monotonic() < deadline, "a new token is not known after 20 s"
        time.sleep(0.05)
    return token


def doors(lathed, walk, readonly):
    for name, (method, path, op) in walk.ops.items():
        path, scope = walk.path(name), op.get("x-scope")
        foreign = lathed.ask(method, path, headers={"Origin": "http://evil.example"})
        refused(name, foreign, 403, "origin")
        refused(name, lathed.ask(method, path, headers={"Host": "evil.example"}), 421, "host")
        other = lathed.ask("PATCH", path)
        assert other.status == 405 and method in other.headers["Allow"], (name, other.status, other.headers)
        if not scope:
            continue
        assert refused(name, lathed.ask(method, path, token=False), 401, "token").headers["WWW-Authenticate"] == 'Bearer realm="lathe"'
        if scope != "read":
            refused(name, lathed.ask(method, path, token=readonly), 403, "scope")


def endless(lathed, name, path):
    """Said to be larger than any file may be, and refused before a byte of it was sent."""
    connection = http.client.HTTPConnection(lathed.host, lathed.port, timeout=10)
    connection.putrequest("POST", path)
    for key, value in (("Authorization", "Bearer " + lathed.token), ("Content-Type", "application/octet-stream"),
                       ("Content-Length", str(1 << 50))):
        connection.putheader(key, value)
    connection.endheaders()
    refused(name, checked(lathed, path, connection), 413, "limit")


def checked(lathed, path, connection):
    reply = connection.getresponse()
    reply = Reply(reply.status, reply.headers, reply.read())
    connection.close()
    lathed.contract.check("POST", path, reply)
    return reply


def unsaid(lathed, name, path):
    """A file of no stated length, and not in chunks."""
    connection = http.client.HTTPConnection(lathed.host, lathed.port, timeout=10)
    connection.putrequest("POST", path)
    for key, value in (("Authorization", "Bearer " + lathed.token), ("Content-Type", "application/octet-stream")):
        connection.putheader(key, value)
    connection.endheaders()
    refused(name, checked(lathed, path, connection), 411, "length")


def bodies(lathed, walk):
    big = b'{"name": "' + b"x" * 1_200_000 + b'"}'
    for name, (method, path, op) in walk.ops.items():
        path, content = walk.path(name), op.get("requestBody", {}).get("content", {})
        if not content and op.get("x-scope"):
            refused(name, lathed.ask(method, path, {"a": 1}), 400, "body")
        if "application/octet-stream" in content:
            unsaid(lathed, name, path)
            endless(lathed, name, path)
            refused(name, lathed.ask(method, path, raw=b"a", headers={"Content-Type": "text/plain"}), 415, "type")
        if "application/json" not in content:
            continue
        json_type = {"Content-Type": "application/json"}
        refused(name, lathed.ask(method, path, raw=b"{}", headers={"Content-Type": "text/plain"}), 415, "type")
        refused(name, lathed.ask(method, path, raw=big, headers=json_type), 413, "limit")
        refused(name, lathed.ask(method, path, raw=b'{"a": ', headers=json_type), 400, "input")
        odd = refused(name, lathed.ask(method, path, {"colour": "red"}), 422, "input")
        assert odd.json["errors"][0]["pointer"], (name, odd.json)


def queries(lathed, walk):
    for name, (method, path, op) in walk.ops.items():
        path = walk.path(name)
        if any("PageSize" in p.get("$ref", "") for p in op["parameters"]):
            for query, pointer in (("page_size=0", "?page_size"), ("page_token=x", "?page_token"), ("colour=red", "?colour")):
                odd = refused(name, lathed.ask(method, f"{path}?{query}"), 400, "input")
                assert odd.json["errors"][0]["pointer"] == pointer, (name, odd.json)
            lines = lathed.ask(method, path, headers={"Accept": "application/x-ndjson"})
            assert lines.headers["Content-Type"] == "application/x-ndjson", (name, lines.headers)
            items = lathed.get(path)["items"]
            assert [json.loads(l) for l in lines.body.splitlines()] == items or name in ("listJobs", "listWorkers"), name
        if "{id}" in op_path(walk, name) and op.get("x-scope"):
            nobody = op_path(walk, name).replace("{id}", re.sub(r"\d+$", "987654321", walk.id.get(collection(path), "x_1"))) + query_of(name, op)
            refused(name, lathed.ask(method, nobody, {} if "requestBody" in op else None), 404, "missing")
        refused(name, lathed.ask(method, path + ("&" if "?" in path else "?") + "a=1&a=2"), 400, "input")


def op_path(walk, name):
    return walk.ops[name][1]


def keys(lathed, walk):
    """The same key: the same reply; another body: refused; no key at all: a second one."""
    body = walk.ops["createArchitecture"][2]["requestBody"]["content"]["application/json"]["example"]
    key = {"Idempotency-Key": "operations-1"}
    first, again = (lathed.ask("POST", "/v1/architectures", body, headers=key) for _ in range(2))
    assert (first.status, first.body) == (again.status, again.body) and again.headers["Idempotency-Replayed"] == "true"
    refused("key", lathed.ask("POST", "/v1/architectures", body, headers={"Idempotency-Key": "x" * 300}), 400, "idempotency")
    for name, (method, path, op) in walk.ops.items():
        if any("IdempotencyKey" in p.get("$ref", "") for p in op["parameters"]):
            json_body = "application/json" in op["requestBody"]["content"]
            dry = "?dry_run=true" if any(p.get("name") == "dry_run" for p in op["parameters"]) else ""
            bodies = [{"body": {"name": n}} for n in "ab"] if json_body else [{"raw": b"a"}, {"raw": b"b"}]
            path, key = walk.path(name) + dry, {"Idempotency-Key": name}
            assert lathed.ask(method, path, headers=key, **bodies[0]).status in (200, 201, 422), name
            refused(name, lathed.ask(method, path, headers=key, **bodies[1]), 422, "idempotency")


def guesses(lathed):
    statuses = {lathed.ask("GET", "/v1/uploads", token=f"lathe_{n:043d}").status for n in range(300)}
    assert statuses == {401, 429}, statuses


def ranges(lathed, walk):
    """A part of what is sent, nothing of what is had already, and a part that is not there."""
    for name, (method, path, op) in walk.ops.items():
        if "304" not in op["responses"]:
            continue
        path = walk.path(name) + REPORT.get(name, "")
        tag = lathed.ask(method, path).headers["ETag"]
        assert lathed.ask(method, path, headers={"If-None-Match": tag}).status == 304, name
        if "206" in op["responses"]:
            part = lathed.ask(method, path, headers={"Range": "bytes=1-3"})
            assert part.status == 206 and len(part.body) == 3, (name, part.status, part.body[:100])
            refused(name, lathed.ask(method, path, headers={"Range": "bytes=999999999-"}), 416)


def large(lathed):
    """Too much before any route is known: libmicrohttpd's own words, without a body of ours."""
    for target, headers, status in (("/v1/uploads", {"X-Long": "x" * 40_000}, 431), ("/" + "x" * 60_000, {}, 414)):
        connection = http.client.HTTPConnection(lathed.host, lathed.port, timeout=10)
        connection.request("GET", target, headers=headers)
        assert connection.getresponse().status == status
        connection.close()


def covered(walk):
    done = {name for name, status in walk.lathed.contract.seen if status < 300}
    missing = set(walk.ops) - done
    assert not missing, f"no test got a good reply from {sorted(missing)}"


if __name__ == "__main__":
    skip_unless_possible()
    if jsonschema is None:
        print("python3-jsonschema is not here: statuses and types are checked, bodies are not")
    with Lathed("--rate", "30") as lathed:
        walk = Walk(lathed)
        walk.examples()
        walk.reads()
        walk.wishes()
        walk.too_late()
        walk.cannot_be_said()
        walk.deletions()
        covered(walk)
        readonly = lathed.post("/v1/tokens", {"name": "reader", "scope": "read"})["token"]
        doors(lathed, walk, known(lathed, readonly))
        bodies(lathed, walk)
        queries(lathed, walk)
        keys(lathed, walk)
        ranges(lathed, walk)
        same_key(walk)
        too_often(walk, known(lathed, lathed.post("/v1/tokens", {"name": "eager", "scope": "read"})["token"]))
        with broken(lathed):
            everywhere(walk, 500)
        with away(lathed):
            everywhere(walk, 503)
        listeners(lathed)
        large(lathed)
        guesses(lathed)
        all_seen(lathed)
    print("ok")
