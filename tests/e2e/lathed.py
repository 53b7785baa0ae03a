"""A real lathed on a data directory of its own, for tests that tell the story over HTTP."""
import http.client, json, os, pathlib, random, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.parse, uuid
from contract import Contract

BIN = pathlib.Path(os.environ["LATHE_BIN_DIR"])
PATIENCE = int(os.environ.get("LATHE_PATIENCE", "1"))  # a factor to every time limit
OVER = ("succeeded", "failed", "cancelled")


def skip_unless_possible():
    if not list(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")) and "LATHE_DATABASE_URL" not in os.environ:
        print("skipped: no PostgreSQL server here")
        sys.exit(77)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Lathed:
    """Starts, restarts and kills the service; asks it things."""

    def __init__(self, *options, slots=1, dir_=None):
        self.dir = pathlib.Path(dir_ or tempfile.mkdtemp(prefix="lathe-e2e-"))
        self.dir.mkdir(exist_ok=True)
        self.options = ["--listen", "127.0.0.1:0", "--slots", str(slots), *options]
        self.process = self.contract = None
        self.start()
        self.contract = Contract(self.ask("GET", "/v1/openapi.json").json)

    def start(self):
        self.log = open(self.dir / "log", "ab")
        (self.dir / "address").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [BIN / "lathed", "--data-dir", self.dir, *self.options], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"lathed ended ({self.process.poll()}):\n" + self.tail()
            try:
                where = urllib.parse.urlsplit((self.dir / "address").read_text().strip())
                self.host, self.port = where.hostname, where.port
                self.token = (self.dir / "token").read_text().strip()
                if self.ask("GET", "/readyz").status == 200:
                    return
            except (OSError, ValueError, TypeError):
                pass
            time.sleep(0.02)
        raise AssertionError("lathed is not ready:\n" + self.tail())

    def tail(self, n=40):
        return "\n".join((self.dir / "log").read_text(errors="replace").splitlines()[-n:])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(60 * PATIENCE)
        self.log.close()
        return code

    def close(self):
        if self.process.poll() is None:
            code = self.stop()
            assert code == 0, f"lathed ended with {code}:\n" + self.tail()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print(self.tail(), "\nexit status", self.process.poll(), file=sys.stderr)
            if self.process.poll() is None:
                self.process.kill()
            for name in ("lathe-train", "postgres"):  # they outlive a lathed that was killed
                for pid in self.children(name):
                    os.kill(pid, signal.SIGKILL)
        else:
            self.close()

    # ---- processes ---------------------------------------------------------------

    def children(self, name):
        """Processes called `name` that belong to this data directory."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").resolve()
            except OSError:
                continue
            mine = str(self.dir).encode() in b" ".join(words) or here.is_relative_to(self.dir.resolve())
            if pathlib.Path(words[0].decode(errors="replace")).name == name and mine:
                found.append(int(entry.name))
        return sorted(found)

    def kill_trainer(self):
        for pid in self.children("lathe-train"):
            try:
                os.kill(pid, signal.SIGKILL)
                return True
            except ProcessLookupError:
                pass
        return False

    def kill_postgres(self):
        """False when it is down from the last time."""
        try:
            pid = int((next(self.dir.glob("**/postmaster.pid"))).read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            return True
        except (ProcessLookupError, StopIteration, FileNotFoundError, ValueError, IndexError):
            return False

    # ---- requests ----------------------------------------------------------------

    def ask(self, method, path, body=None, raw=None, headers=(), token=True):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30 * PATIENCE)
        head = {"Content-Type": "application/octet-stream" if raw is not None else "application/json"}
        if token:
            head["Authorization"] = "Bearer " + (self.token if token is True else token)
        head.update(headers)
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        try:
            try:
                connection.request(method, path, data, head)
                reply = connection.getresponse()
            except BrokenPipeError:  # it has read enough, and answered
                reply = http.client.HTTPResponse(connection.sock)
                reply.begin()
            endless = reply.headers.get_content_type() == "text/event-stream"
            reply = Reply(reply.status, reply.headers, b"" if endless else reply.read())
        finally:
            connection.close()
        if self.contract:
            self.contract.check(method, path, reply)
        return reply

    def patiently(self, method, path, **more):
        """A 503 means "soon"; asking again with the same Idempotency-Key is harmless."""
        if method == "POST":
            more["headers"] = {"Idempotency-Key": str(uuid.uuid4()), **more.get("headers", {})}
        for _ in range(400):
            reply = self.ask(method, path, **more)
            if reply.status != 503:
                break
            assert reply.headers["Retry-After"], "a 503 without Retry-After"
            time.sleep(0.05)
        return reply

    def get(self, path):
        reply = self.patiently("GET", path)
        assert reply.status == 200, f"GET {path}: {reply.status} {reply.body[:500]}"
        return reply.json

    def post(self, path, body=None, status=201, **more):
        reply = self.patiently("POST", path, body={} if body is None and "raw" not in more else body, **more)
        assert reply.status == status, f"POST {path}: {reply.status} {reply.body[:500]}"
        return reply.json

    def pause(self, path):
        """False when it was over before."""
        reply = self.patiently("POST", path + "/pause", body={})
        assert reply.status == 200 or reply.status == 409 and "succeeded already" in reply.json["detail"], (reply.status, reply.body[:500])
        return reply.status == 200

    def pages(self, path):
        items, token = [], None
        while True:
            page = self.get(path + (("&" if "?" in path else "?") + "page_token=" + token if token else ""))
            items += page["items"]
            token = page["next_page_token"]
            if not token:
                return items

    def wait(self, path, states=OVER, seconds=90):
        """Until the resource is in one of the states; the service may be away meanwhile."""
        deadline, last = time.monotonic() + seconds * PATIENCE, None
        while time.monotonic() < deadline:
            try:
                reply = self.ask("GET", path)
                if reply.status == 200:
                    last = reply.json
                    if last["state"] in states:
                        return last
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{path} is still {last}\n" + self.tail())

    def events(self, query="", last_id=None):
        return Events(self, query, last_id)


class Events:
    """An open stream of server-sent events; iterates over (id, kind, data)."""

    def __init__(self, lathed, query, last_id):
        self.socket = socket.create_connection((lathed.host, lathed.port), timeout=30 * PATIENCE)
        last = f"Last-Event-ID: {last_id}\r\n" if last_id is not None else ""
        self.socket.sendall(
            f"GET /v1/events{query} HTTP/1.1\r\nHost: 127.0.0.1:{lathed.port}\r\n"
            f"Authorization: Bearer {lathed.token}\r\nAccept: text/event-stream\r\n{last}\r\n".encode())
        self.reply = http.client.HTTPResponse(self.socket)
        self.reply.begin()
        assert self.reply.status == 200, self.reply.read()

    def close(self):
        self.reply.close()
        self.socket.close()

    def __iter__(self):
        event = {}
        for line in self.reply:
            line = line.decode().rstrip("\n")
            key, _, value = line.partition(": ")
            if line:
                event[key] = value
            elif "data" in event:
                yield int(event["id"]), event.get("event"), json.loads(event["data"])
                event = {}


# ---- a small story ---------------------------------------------------------------

WORDS = "the fox hen said world hello runs over lazy dog under bright red moon and sings".split()
SHAPE = {"hidden_size": 32, "head_dim": 8, "vocab_size": 257, "tie_word_embeddings": True,
         "layers": [{"q_heads": 4, "kv_heads": 2, "ffn": 48}] * 3}
SEARCH = {
    "source": {"shape": SHAPE, "train": {"tokens": 2048}}, "stop": {"ratio": 0.5},
    "schedule": {"warmup_steps": 4, "steps_per_unit": 2}, "snapshots": {"ratios": [0.1, 0.3]},
    "recipe": {"batch_size": 2, "sequence_length": 32}, "threads": 1,
    "validation": {"every_steps": 40, "tokens": 512}, "checkpoint": {"every_steps": 10}}


def text(bytes_wanted=200_000, seed=1):
    rng, lines, n = random.Random(seed), [], 0
    while n < bytes_wanted:
        lines.append(" ".join(rng.choice(WORDS) for _ in range(60)))
        n += len(lines[-1]) + 2
    return "\n\n".join(lines).encode()


def make_dataset(lathed, **more):
    upload = lathed.post("/v1/uploads", raw=text())
    data = lathed.post("/v1/datasets", {"name": "words", "files": [{"upload": upload["id"], "format": "text"}],
                                        "tokenizer": "bytes", "validation_fraction": 0.2, **more})
    return data["id"]
