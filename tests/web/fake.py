"""A service that is made up: the dashboard's files with the headers that lathed sends, and
an API whose answers are invented but fit together. For tests of the dashboard that need
what a real search does not give in seconds: 10,000 removals, hostile names, an outage, a
service with other verbs.
"""
import http.server
import json
import math
import os
import pathlib
import random
import re
import socket
import threading
import time
import urllib.parse

TOKEN = "open-sesame"
CSP = ("default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'")
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml"}
HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"\'&{{7*7}}'
CONTEXT = 128


def layer(q, kv, ffn):
    return {"q_heads": q, "kv_heads": kv, "ffn": ffn}


def make_shape(n, hidden, q, kv, ffn, vocab=257, head_dim=32):
    return {"schema": "lathe.shape/1", "family": "llama", "hidden_size": hidden, "head_dim": head_dim, "vocab_size": vocab,
            "tie_word_embeddings": True, "rope_theta": 10000, "norm_eps": 1e-5, "layers": [layer(q, kv, ffn) for _ in range(n)]}


def params(s):
    d, h = s["hidden_size"], s["head_dim"]
    return s["vocab_size"] * d + sum(d * (2 * l["q_heads"] * h + 2 * l["kv_heads"] * h + 3 * l["ffn"]) + 2 * d for l in s["layers"]) + d


def totals(s):
    n = params(s)
    return {"params": n, "params_non_embedding": n - s["vocab_size"] * s["hidden_size"], "context": CONTEXT,
            "flops_per_token": 6 * n + 6 * CONTEXT * s["head_dim"] * sum(l["q_heads"] for l in s["layers"]),
            "kv_bytes_per_token": 4 * s["head_dim"] * sum(l["kv_heads"] for l in s["layers"])}


class Trajectory:
    """n removals drawn at random from a source, uniform or per layer."""

    def __init__(self, source, n, seed, scope="uniform"):
        self.source, self.scope, self.random = source, scope, random.Random(seed)
        layers = source["layers"]
        self.left = {"heads": [list(range(l["kv_heads"])) for l in layers], "ffn": [list(range(l["ffn"])) for l in layers],
                     "stem": list(range(source["hidden_size"]))}
        self.shape = json.loads(json.dumps(source))
        self.removals, self.params = [], []
        while len(self.removals) < n:
            self.step(len(self.removals) / n)

    def step(self, at):
        r = self.random
        kind = r.choices(["heads", "ffn", "stem"], [1 if at < 0.2 else 0.15, 8, 0.2 if at < 0.4 else 5])[0]
        layers = range(len(self.source["layers"])) if self.scope == "uniform" else [r.randrange(len(self.source["layers"]))]
        index = []
        if kind == "stem":
            if len(self.left["stem"]) < 9:
                return
            index = [self.left["stem"].pop(r.randrange(len(self.left["stem"])))]
            self.shape["hidden_size"] -= 1
        else:
            if any(len(self.left[kind][l]) < 2 for l in layers):
                return
            for l in layers:
                index.append(self.left[kind][l].pop(r.randrange(len(self.left[kind][l]))))
                s = self.shape["layers"][l]
                if kind == "ffn":
                    s["ffn"] -= 1
                else:
                    s["q_heads"] -= s["q_heads"] // s["kv_heads"]
                    s["kv_heads"] -= 1
        k, n = len(self.removals) + 1, params(self.shape)
        rise = 1.7e-7 * (1 + at ** 3 * 1.4)
        scores = {t: rise * (1 + 0.05 * r.random() + (0.4 * (1 - at) if t == "stem" else 0)) for t in ("heads", "ffn", "stem")}
        self.removals.append({"ordinal": k, "step": 50 + k, "tokens": (50 + k) * 1024, "type": kind,
                              "layer": -1 if kind == "stem" or self.scope == "uniform" else layers[0], "position": index, "index": index,
                              "min_score": scores, "runner_up": min(scores.values()) * 1.02, "params": n, "shape_hash": f"{k:064x}"})

    def shape_at(self, ordinal):
        s = json.loads(json.dumps(self.source))
        for r in self.removals[:ordinal]:
            if r["type"] == "stem":
                s["hidden_size"] -= 1
                continue
            for i, _ in enumerate(r["index"]):
                l = s["layers"][i if r["layer"] < 0 else r["layer"]]
                if r["type"] == "ffn":
                    l["ffn"] -= 1
                else:
                    l["q_heads"] -= l["q_heads"] // l["kv_heads"]
                    l["kv_heads"] -= 1
        return s

    def ordinal_of(self, ratio):
        target = params(self.source) * (1 - ratio)
        return next((r["ordinal"] for r in self.removals if r["params"] <= target), len(self.removals)) if ratio > 0 else 0


def human(source, target):
    f = math.sqrt(target / params(source))
    s = json.loads(json.dumps(source))
    s["hidden_size"] = max(8, round(s["hidden_size"] * f / 8) * 8)
    for l in s["layers"]:
        share = l["q_heads"] // l["kv_heads"]
        l["kv_heads"] = max(1, round(l["kv_heads"] * f))
        l["q_heads"], l["ffn"] = l["kv_heads"] * share, max(8, round(l["ffn"] * f))
    return s


def curve(n, start, end, seed, every=1024):
    r = random.Random(seed)
    return [[i * every, end + (start - end) * math.exp(-5 * i / n) + r.uniform(-0.02, 0.02)] for i in range(1, n + 1)]


class World:
    """What the made-up service holds."""

    def __init__(self, removals=10000):
        self.lock, self.changed = threading.RLock(), threading.Condition()
        self.events, self.searches, self.runs, self.comparisons, self.curves = [], {}, {}, {}, {}
        self.trajectories, self.posted, self.down = {}, [], False
        small = make_shape(6, 192, 6, 6, 512)
        for i, (name, state, n, source, scope) in enumerate([
                ("dictionary prose, uniform", "succeeded", 380, small, "uniform"),
                ("per layer, grouped heads", "succeeded", 900, make_shape(8, 192, 8, 4, 384), "per_layer"),
                ("live", "running", 60, small, "uniform"),
                (HOSTILE, "paused", 20, small, "uniform"),
                ("long", "succeeded", removals, make_shape(24, 1024, 16, 16, 12000), "uniform"),
                ("out of disk", "failed", 0, small, "uniform"),
                ("waiting", "queued", 0, small, "uniform")], 1):
            self.add_search(i, name, state, Trajectory(source, n, i, scope))
        self.searches["srch_6"]["reason"] = "no space left in the data directory (free some, then resume)"
        self.datasets = [{"id": "data_1", "name": "GCIDE dictionary", "state": "succeeded", "reason": None, "tokenizer": "bytes", "vocab_size": 257, "tokens": 11500000,
                          "validation_tokens": 605000, "documents": 41000, "bytes": 12100000, "created_at": "2026-11-21T10:00:00Z"},
                         {"id": "data_2", "name": HOSTILE, "state": "failed", "reason": HOSTILE, "tokenizer": "bytes", "created_at": "2026-11-21T11:00:00Z"}]
        self.models = [{"id": "mod_1", "name": "smollm-135m", "state": "succeeded", "shape": make_shape(30, 576, 9, 3, 1536, 49152, 64), "params": 134515008, "created_at": "2026-11-20T10:00:00Z"}]
        self.add_comparison()

    def add_search(self, i, name, state, t):
        source, now = params(t.source), t.removals[-1]["params"] if t.removals else params(t.source)
        tokens = t.removals[-1]["tokens"] if t.removals else 0
        self.trajectories[f"srch_{i}"] = t
        self.curves[f"srch_{i}"] = {"loss": curve(max(60, min(600, len(t.removals))), 5.4, 2.1, i, max(1024, tokens // 600)) if tokens else []}
        self.searches[f"srch_{i}"] = {
            "id": f"srch_{i}", "name": name, "state": state, "attempt": 1, "reason": None, "dataset": "data_1", "source_shape": t.source, "params_source": source,
            "params_now": now, "ratio": 1 - now / source, "step": tokens // 1024, "tokens": tokens, "tokens_planned": 500000, "loss": 2.31 if tokens else None,
            "tokens_per_second": 15200.0 if state == "running" else None, "eta_seconds": 40 if state == "running" else None, "removals": len(t.removals), "job": f"job_{i}",
            "created_at": f"2026-11-22T0{i}:00:00Z", "started_at": f"2026-11-22T0{i}:00:05Z", "finished_at": None, "space": {"types": ["heads", "ffn", "stem"], "scope": t.scope},
            "schedule": {"warmup_steps": 50, "steps_per_unit": 1}, "stop": {"ratio": 0.7}, "recipe": {"batch_size": 8, "sequence_length": CONTEXT}, "seed": 1}

    def add_comparison(self):
        arch, arms = self.architecture("srch_1", 200), []
        for arm, end, shape in (("inherit", 2.05, arch["shape"]), ("reinit", 2.21, arch["shape"]), ("human", 2.27, arch["human_shape"])):
            for seed in (1, 2, 3):
                i = len(self.runs) + 1
                final = end + 0.012 * (seed - 2) + random.Random(i).uniform(-0.004, 0.004)
                self.curves[f"run_{i}"] = {"loss": curve(200, 5.2, end, i), "validation_loss": curve(200, 5.2, end, i)[9::10]}
                self.runs[f"run_{i}"] = {"id": f"run_{i}", "name": f"{arm} {seed}", "state": "succeeded", "attempt": 1, "reason": None, "architecture": arch["id"] if arm != "human" else None,
                                         "init": "inherit" if arm == "inherit" else "reinit", "shape": shape, "params": params(shape), "seed": seed, "budget": {"tokens": 204800}, "step": 200,
                                         "tokens": 204800, "loss": end, "validation_loss": final, "tokens_per_second": None, "eta_seconds": None, "dataset": "data_1",
                                         "created_at": f"2026-11-22T08:0{seed}:00Z", "recipe": {"sequence_length": CONTEXT}}
                arms.append({"arm": arm, "seed": seed, "run": f"run_{i}", "state": "succeeded", "params": params(shape), "tokens": 204800, "validation_loss": final})
        of = lambda a: [x["validation_loss"] for x in arms if x["arm"] == a]
        differences = []
        for a, b in (("inherit", "reinit"), ("inherit", "human"), ("reinit", "human")):
            d = [x - y for x, y in zip(of(a), of(b))]
            m = sum(d) / 3
            half = 4.303 * math.sqrt(sum((x - m) ** 2 for x in d) / 2 / 3)
            differences.append({"a": a, "b": b, "mean": m, "per_seed": d, "ci95": [m - half, m + half]})
        self.comparisons["cmp_1"] = {"id": "cmp_1", "name": "found against drawn", "state": "succeeded", "architecture": arch["id"], "budget_rule": "train_matched", "budget": {"tokens": 204800},
                                     "arms": arms, "differences": differences, "created_at": "2026-11-22T09:00:00Z"}

    def architecture(self, search, ordinal):
        t, s = self.trajectories[search], self.searches[search]
        ordinal = max(0, min(len(t.removals), ordinal))
        shape = t.shape_at(ordinal)
        n, r = params(shape), t.removals[ordinal - 1] if ordinal else {}
        return {"id": f"arch_{int(search[5:]) * 100000 + ordinal}", "search": search, "ordinal": ordinal, "step": r.get("step", 0), "tokens": r.get("tokens", 0), "type": r.get("type"),
                "ratio": 1 - n / s["params_source"], "totals": totals(shape), "shape_hash": r.get("shape_hash", "0" * 64), "weights": "snapshot" if ordinal % 100 == 0 else "none",
                "shape": shape, "human_shape": human(t.source, n)}

    def say(self, subject, kind, **body):
        with self.changed:
            self.events.append((len(self.events) + 1, subject, kind, {"resource": subject, **body}))
            self.changed.notify_all()

    def advance(self, search="srch_3"):
        """One more removal and step of a running search, with their events."""
        with self.lock:
            t, s = self.trajectories[search], self.searches[search]
            before = len(t.removals)
            while len(t.removals) == before:
                t.step(min(1, before / 400))
            r = t.removals[-1]
            loss = 2.1 + 3 * math.exp(-before / 80)
            s.update(params_now=r["params"], ratio=1 - r["params"] / s["params_source"], tokens=r["tokens"], step=r["step"], loss=loss, removals=r["ordinal"])
            self.curves[search]["loss"].append([r["tokens"], loss])
        self.say(search, "removal", **r)
        self.say(search, "step", step=r["step"], tokens=r["tokens"], loss=loss, lr=1e-3, grad_norm=1.0, tokens_per_second=15000 + before, phase="prune", params=r["params"])


def problem(status, code, detail, errors=()):
    return status, {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code, "request_id": "req_1", "errors": list(errors)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *_):
        pass

    def reply(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
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

    def answer(self, method, body):
        world, url = self.server.world, urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if not url.path.startswith("/v1/"):
            return self.static(url.path)
        if world.down:
            return self.reply(*problem(503, "busy", "the database is away"))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply(*problem(401, "unauthorized", "this needs a token"))
        if url.path == "/v1/events":
            return self.stream(query)
        for verb, pattern, fn in ROUTES:
            match = re.fullmatch(pattern, url.path)
            if match and verb == method:
                with world.lock:
                    return self.reply(*fn(world, query, body, *match.groups()))
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


def architecture(w, q, b, i):
    n = int(i[5:]) if i[5:].isdigit() else 0
    search = f"srch_{n // 100000}"
    return (200, w.architecture(search, n % 100000)) if search in w.searches else problem(404, "missing", f"there is no {i}")


def new_search(w, q, body):
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
    ("GET", r"/v1/(?:searches|runs)/(\w+)/metrics", metrics), ("GET", r"/v1/architectures/(\w+)", architecture),
    ("POST", "/v1/searches", new_search), ("POST", "/v1/runs", new_run), ("POST", "/v1/comparisons", new_comparison),
    ("POST", r"/v1/(searches|runs|comparisons)/(\w+)/(cancel|pause|resume)", act),
    ("POST", r"/v1/workers/(\w+)/(drain|undrain)", drain),
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
