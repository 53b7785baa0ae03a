"""A service that is made up: the dashboard's files with the headers that lathed sends, and
an API whose answers are invented but fit together. For tests of the dashboard that need
what a real search does not give in seconds: 10,000 removals, hostile names, an outage, a
service with other verbs.
"""
import http.server
import json
import os
import pathlib
import re
import threading
import time
import urllib.parse

from world import HOSTILE, Trajectory, World, an_evaluation, an_export, make_shape  # noqa: F401

TOKEN = "open-sesame"
CSP = ("default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'")
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml"}


def problem(status, code, detail, errors=()):
    return status, {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code, "request_id": "req_1", "errors": list(errors)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *_):
        pass

    def reply(self, status, body, kind="application/json"):
        data = b"" if status == 204 else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json" if status >= 400 and kind == "application/json" else kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer("GET", {})

    def do_OPTIONS(self):
        verbs = [verb for verb, pattern, _ in ROUTES if re.fullmatch(pattern, self.path) and self.path not in self.server.without]
        self.send_response(204 if verbs else 404)
        self.send_header("Allow", ", ".join([*verbs, "OPTIONS"]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_json = self.headers.get("Content-Type") == "application/json"
        self.answer("POST", json.loads(data or b"{}") if is_json else {"bytes": len(data)})

    def do_DELETE(self):
        self.answer("DELETE", {})

    def answer(self, method, body):
        world, url = self.server.world, urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if not url.path.startswith("/v1/"):
            return self.static(url.path)
        if world.down:
            return self.reply(*problem(503, "busy", "the database is away"))
        if url.path in world.refused:
            world.refused.remove(url.path)
            return self.reply(*problem(503, "busy", "one too many"))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply(*problem(401, "unauthorized", "this needs a token"))
        if url.path == "/v1/events":
            return self.stream(query)
        for verb, pattern, fn in ROUTES:
            match = re.fullmatch(pattern, url.path)
            if match and verb == method:
                with world.lock:
                    answer = fn(world, query, body, *match.groups())
                time.sleep(world.latency(url.path, query))
                return self.reply(*answer)
        return self.reply(*problem(404, "missing", f"there is no {url.path}"))

    def static(self, path):
        root, library = self.server.root, "/usr/share/javascript/dygraphs"
        if path == "/test/unit.js":
            return self.reply(200, pathlib.Path(__file__).with_name("unit.js").read_bytes(), TYPES[".js"])
        name = "index.html" if path == "/" else path.removeprefix("/web/")
        file = pathlib.Path(library, name.removeprefix("lib/")) if name.startswith("lib/") else pathlib.Path(root, name)
        if ".." in name or not file.is_file():
            return self.reply(*problem(404, "missing", "no such file"))
        return self.reply(200, file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

    def stream(self, query):
        world, subject = self.server.world, query.get("resource")
        at = int(self.headers.get("Last-Event-ID") or len(world.events))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.server.streams.add(self)
        try:
            self.wfile.write(b"retry: 200\n\n")
            self.wfile.flush()
            while not world.down and not self.server.ending:
                with world.changed:
                    if len(world.events) <= at:
                        world.changed.wait(0.5)
                    news, at = world.events[at:], len(world.events)
                self.wfile.write(b": still here\n\n")
                for i, about, kind, data in news:
                    if not subject or about == subject:
                        self.wfile.write(f"id: {i}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode())
                self.wfile.flush()
        except OSError:
            pass
        self.server.streams.discard(self)


def page(items, query):
    size, start = int(query.get("page_size", 100)), int(query.get("page_token", 0))
    more = start + size < len(items)
    return 200, {"items": items[start:start + size], "next_page_token": str(start + size) if more else None}


def listing(of):
    return lambda w, q, b: page(of(w), q)


def one(collection):
    def get(w, q, b, i):
        item = getattr(w, collection).get(i)
        return (200, item) if item else problem(404, "missing", f"there is no {i}")
    return get


def trajectory(w, q, b, i):
    first = int(q.get("from_ordinal", 1))
    status, answer = page(w.trajectories[i].removals[max(0, first - 1):], q)
    answer["items"] = [{**r, "architecture": f"arch_{int(i[5:]) * 100000 + r['ordinal']}"} for r in answer["items"]]
    return status, answer


def shapes(w, q, b, i):
    t = w.trajectories[i]
    items = []
    for ratio in map(float, q["ratios"].split(",")):
        a = w.architecture(i, t.ordinal_of(ratio))
        items.append({**a, "ratio_asked": ratio, "architecture": a["id"]})
    return 200, {"items": items}


def metrics(w, q, b, i):
    with_params = [[r["tokens"], r["params"]] for r in w.trajectories[i].removals[::7]] if i in w.trajectories else []
    known = {**w.curves.get(i, {}), "params": with_params}
    return 200, {"series": [{"key": k, "points": known.get(k, [])} for k in q["keys"].split(",")]}


def explain(w, q, b, i):
    n = len(w.searches[i]["source_shape"]["layers"])
    spread = [[m * 1e-5 * (1 + l) for m in (0.5, 1, 2, 3, 5, 9, 20)] for l in range(n)]
    return 200, {"items": [{"ordinal": k, "ratio": k / 400, "influence": [0.1 / (1 + l) for l in range(n)], "quantiles": [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], "heads": spread, "ffn": spread, "stem": spread[0]}
                           for k in (100, 200) if k <= w.searches[i]["removals"]], "next_page_token": None}


def stability(w, q, b, i):
    agreement = {"units": 18, "survive": [9, 8], "overlap": 0.75, "chance": 0.5, "rank_correlation": 0.31}
    return 200, {"ordinals": [100, 90], "heads": agreement, "ffn": agreement, "stem": {**agreement, "rank_correlation": None}}


def architecture(w, q, b, i):
    n = int(i[5:]) if i[5:].isdigit() else 0
    search = f"srch_{n // 100000}"
    return (200, w.architecture(search, n % 100000)) if search in w.searches else problem(404, "missing", f"there is no {i}")


def new_search(w, q, body):
    if q.get("dry_run"):
        w.dry_runs += 1
    if not body.get("name"):
        return problem(422, "input", "/name must have 1 to 200 characters", [{"pointer": "/name", "detail": "must have 1 to 200 characters"}])
    s = body["source"].get("shape")
    if s and s["layers"][0]["q_heads"] % s["layers"][0]["kv_heads"]:
        return problem(422, "input", "kv_heads does not divide q_heads", [{"pointer": "/source/shape/layers/0/kv_heads", "detail": "kv_heads 4 does not divide q_heads 6"}])
    if not isinstance(body["stop"].get("ratio", 0.5), (int, float)):
        return problem(422, "input", "wrong stop", [{"pointer": "/stop/ratio", "detail": "must be a number"}])
    if q.get("dry_run"):
        return 200, {"dry_run": True, "params": 1, "tokens": 900000, "steps": 900, "memory_bytes": 98000000, "seconds": 200, "flops": 1, "flops_per_second": 1}
    w.posted.append(body)
    i = len(w.searches) + 1
    w.add_search(i, body["name"], "queued", Trajectory(s or make_shape(6, 192, 6, 6, 512), 0, i))
    w.searches[f"srch_{i}"]["created_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    w.say(f"srch_{i}", "state", state="queued")
    return 201, w.searches[f"srch_{i}"]


def act(w, q, b, kind, i, verb):
    item = getattr(w, kind).get(i)
    if not item:
        return problem(404, "missing", f"there is no {i}")
    item["state"] = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}[verb]
    w.say(i, "state", state=item["state"])
    return 202, item


def delete(w, q, b, kind, i):
    if not getattr(w, kind).pop(i, None):
        return problem(404, "missing", f"there is no {i}")
    w.say(i, "deleted", id=i)
    return 204, None


def drain(w, q, b, i, verb):
    WORKERS[0]["draining"] = verb == "drain"
    return 200, WORKERS[0]


def new_run(w, q, body):
    w.posted.append(body)
    i = f"run_{len(w.runs) + 1}"
    w.runs[i] = {**w.runs["run_4"], "id": i, "name": body.get("name") or i, "state": "queued", "validation_loss": None, "tokens": 0, "loss": None}
    return 201, w.runs[i]


def new_comparison(w, q, body):
    w.posted.append(body)
    i = f"cmp_{len(w.comparisons) + 1}"
    w.comparisons[i] = {**w.comparisons["cmp_1"], "id": i, "name": body.get("name") or i, "state": "queued", "differences": []}
    return 201, w.comparisons[i]


def made(collection, prefix, build):
    def create(w, q, body):
        if q.get("dry_run"):
            return 200, {"dry_run": True, "bytes": 2_400_000, "targets": [{**t, "params": 600000, "params_stored": 600000, "overhead": 0, "bytes": 2_400_000} for t in body["targets"]]}
        w.posted.append(body)
        things = getattr(w, collection)
        i = f"{prefix}_{len(things) + 1}"
        things[i] = {**build(i, body.get("run") or body.get("architecture") or body.get("model"), "succeeded"), "name": body.get("name") or i}
        return 201, things[i]
    return create


def fork(w, q, body, i):
    s = w.searches[i]
    return new_search(w, q, {"name": s["name"], "stop": s["stop"], "source": {"shape": s["source_shape"]}, **body})


def jobs(w):
    return [{"id": s["job"], "kind": "search", "resource": s["id"], "state": s["state"], "attempt": 1, "worker": "w1", "heartbeat_at": None, "started_at": s["started_at"],
             "finished_at": None, "reason": s["reason"]} for s in w.searches.values()]


WORKERS = [{"id": "wrk_1", "name": "host-a:/var/lib/lathe", "host": "host-a", "backends": ["cpu", "ref"], "slots": 1, "busy": 1, "alive": True, "draining": False, "seen_at": "2026-11-22T09:00:00Z"}]
ROUTES = [
    ("GET", "/v1/searches", listing(lambda w: list(w.searches.values()))), ("GET", "/v1/runs", listing(lambda w: [{k: v for k, v in r.items() if k != "shape"} for r in w.runs.values()])),
    ("GET", "/v1/comparisons", listing(lambda w: [{k: v for k, v in c.items() if k not in ("arms", "differences")} for c in w.comparisons.values()])), ("GET", "/v1/datasets", listing(lambda w: w.datasets)),
    ("GET", "/v1/models", listing(lambda w: w.models)), ("GET", "/v1/jobs", listing(jobs)), ("GET", "/v1/workers", listing(lambda w: WORKERS)),
    ("GET", r"/v1/searches/(\w+)", one("searches")), ("GET", r"/v1/runs/(\w+)", one("runs")), ("GET", r"/v1/comparisons/(\w+)", one("comparisons")),
    ("GET", r"/v1/searches/(\w+)/trajectory", trajectory), ("GET", r"/v1/searches/(\w+)/shapes", shapes),
    ("GET", r"/v1/searches/(\w+)/explain", explain), ("GET", r"/v1/searches/(\w+)/stability", stability),
    ("GET", r"/v1/(?:searches|runs)/(\w+)/metrics", metrics), ("GET", r"/v1/architectures/(\w+)", architecture),
    ("POST", "/v1/searches", new_search), ("POST", "/v1/runs", new_run), ("POST", "/v1/comparisons", new_comparison),
    ("POST", r"/v1/(searches|runs|comparisons|exports|evaluations)/(\w+)/(cancel|pause|resume)", act), ("POST", r"/v1/searches/(\w+)/fork", lambda w, q, b, i: fork(w, q, b, i)),
    ("GET", "/v1/exports", listing(lambda w: list(w.exports.values()))), ("GET", r"/v1/exports/(\w+)", one("exports")), ("POST", "/v1/exports", made("exports", "exp", an_export)),
    ("GET", "/v1/evaluations", listing(lambda w: list(w.evaluations.values()))), ("GET", r"/v1/evaluations/(\w+)", one("evaluations")),
    ("POST", "/v1/evaluations", made("evaluations", "eval", lambda i, of, state: an_evaluation(i, of, state, 0.5))),
    ("GET", "/v1/artifacts", listing(lambda w: w.artifacts)), ("GET", r"/v1/artifacts/\w+/content", lambda w, q, b: (200, b"x" * 640)),
    ("GET", r"/v1/comparisons/(\w+)/report", lambda w, q, b, i: (200, f"# {i}\n".encode())), ("GET", r"/v1/architectures/\w+/config", lambda w, q, b: (409, problem(409, "conflict", "its layers differ: take per_layer_config")[1]) if q["format"] == "hf" else (200, {"format": q["format"]})),
    ("DELETE", r"/v1/(exports|evaluations)/(\w+)", delete), ("POST", r"/v1/workers/(\w+)/(drain|undrain)", drain),
    ("POST", "/v1/uploads", lambda w, q, b: (201, {"id": "upl_1", "bytes": b.get("bytes", 0), "sha256": "0" * 64})),
    ("POST", "/v1/datasets", lambda w, q, b: (w.posted.append(b), (201, {**w.datasets[0], "id": "data_3", "name": b["name"]}))[1]),
]


class Service:
    def __init__(self, root, removals=10000, port=0):
        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass
        self.world = World(removals)
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.world, self.server.root, self.server.ending = self.world, root, False
        self.server.streams = set()
        self.server.without = set()  # paths that this service does not have
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.ending = True
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    service = Service(pathlib.Path(__file__).resolve().parents[2] / "clients/web", port=int(os.environ.get("PORT", "0")))
    print(service.url, TOKEN, flush=True)
    while True:
        time.sleep(0.5)
        service.world.advance()
