"""What every operation answers when the fault is not its own: the database is away or broken, a token asks too
often, the same key is at work already. Used by operations.py."""
import concurrent.futures, contextlib, resource, socket, subprocess, threading, time
from lathed import PATIENCE

ELSEWHERE = {("createUpload", 507): "e2e.crowd, on a small disk"}


def psql(lathed, base, *texts):
    words = [w for text in texts for w in ("-c", text)]
    subprocess.run(["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", lathed.dir / "pg" / "run", "-U", "lathe", base, *words],
                   check=True, stdout=subprocess.DEVNULL)


def call(walk, name, query="", **more):
    """The operation as its example says."""
    method, path, op = walk.ops[name]
    content, path = op.get("requestBody", {}).get("content", {}), walk.path(name)
    if "application/json" in content:
        more["body"] = content["application/json"].get("example", {})
    elif content:
        more["raw"] = b"words"
    if query:
        path += ("&" if "?" in path else "?") + query
    return walk.lathed.ask(method, path, **more)


def documents(walk, status):
    return [name for name, (_, _, op) in walk.ops.items() if str(status) in op["responses"]]


def until_ready(lathed):
    deadline = time.monotonic() + 60 * PATIENCE
    while lathed.ask("GET", "/readyz").status != 200:
        assert time.monotonic() < deadline, "not ready again:\n" + lathed.tail()
        time.sleep(0.05)


@contextlib.contextmanager
def away(lathed):
    """PostgreSQL lets nobody in."""
    ours = "from pg_stat_activity where datname = 'postgres'"
    psql(lathed, "template1", "alter database postgres allow_connections false", f"select pg_terminate_backend(pid) {ours}")
    try:
        yield
    finally:
        psql(lathed, "template1", "alter database postgres allow_connections true")
        until_ready(lathed)


@contextlib.contextmanager
def broken(lathed):
    """Every table and function is gone."""
    psql(lathed, "postgres", "alter schema public rename to elsewhere")
    try:
        yield
    finally:
        psql(lathed, "postgres", "alter schema elsewhere rename to public")
        until_ready(lathed)


def everywhere(walk, status):
    """All operations that document it, at once."""
    names = [name for name in documents(walk, status) if name != "watchEvents"]  # which asks nobody: see listeners
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        said = dict(zip(names, threads.map(lambda name: call(walk, name), names)))
    odd = {name: (reply.status, reply.body[:100]) for name, reply in said.items() if reply.status != status}
    assert not odd, f"not {status}: {odd}"
    if status == 503:
        assert all(reply.headers["Retry-After"] for reply in said.values())


def listeners(lathed):
    """More than may listen at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    request = f"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {lathed.token}\r\n\r\n".encode()
    with contextlib.ExitStack() as open_ones:
        for _ in range(6000):
            wire = open_ones.enter_context(socket.create_connection((lathed.host, lathed.port), 30 * PATIENCE))
            wire.sendall(request)
            if b" 503 " in wire.recv(64):
                break
        else:
            raise AssertionError("everybody may listen")
        reply = lathed.ask("GET", "/v1/events")
        assert reply.status == 503 and reply.headers["Retry-After"], (reply.status, reply.body)


def flood(lathed, token, n=200):
    """So many requests at once, of a kind that asks no database, that the token has none left for a moment."""
    request = f"GET /v1/searches?page_size=none HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection((lathed.host, lathed.port), 30 * PATIENCE) as wire:
        wire.sendall(((request + "\r\n") * (n - 1) + request + "Connection: close\r\n\r\n").encode())
        while wire.recv(65536):
            pass


def too_often(walk, token):
    """A token that only reads, so nothing is done by the few requests that are let through."""
    def refused(name):
        flood(walk.lathed, token)
        return call(walk, name, token=token).status == 429

    for name in documents(walk, 429):
        assert any(refused(name) for _ in range(50)), name


def same_key(walk):
    """While a request with a key waits for a table, a second one with the key is told to wait."""
    lathed = walk.lathed
    takers = [n for n, (_, _, op) in walk.ops.items() if any("IdempotencyKey" in p.get("$ref", "") for p in op["parameters"])]
    tables = """select 'lock table ' || string_agg(format('%I', tablename), ',') || ' in access exclusive mode' from pg_tables
                 where schemaname = 'public' and tablename not in ('idempotency_key', 'migration')"""
    with subprocess.Popen(["psql", "-qXAt", "-h", lathed.dir / "pg" / "run", "-U", "lathe", "postgres"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sql:
        def tell(text):
            sql.stdin.write(text + "\n")
            sql.stdin.flush()

        def until(question, answer):
            deadline = time.monotonic() + 20 * PATIENCE
            while True:
                tell(question + "\n\\echo end")
                lines = list(iter(lambda: sql.stdout.readline().strip(), "end"))
                if answer in lines:
                    return
                assert time.monotonic() < deadline, (question, lines)
        for name in takers:
            until(f"rollback; begin;\n{tables}\n\\gexec\nselect 'held';", "held")
            made, key = [], {"Idempotency-Key": "at once " + name}
            first = threading.Thread(target=lambda: made.append(call(walk, name, headers=key)))
            first.start()
            until(f"select count(*) from idempotency_key where key = 'at once {name}';", "1")
            second = call(walk, name, headers=key)
            assert second.status == 409 and second.json["code"] == "idempotency", (name, second.status, second.body)
            assert second.headers["Retry-After"], (name, second.headers)
            tell("rollback;")
            first.join()
            assert call(walk, name, headers=key).body == made[0].body, name
        sql.stdin.close()


def all_seen(lathed):
    """Every documented pair of operation and status was received by this program."""
    promised = {(name, int(status)) for name, (_, _, op) in lathed.contract.operations.items() for status in op["responses"]}
    missing = sorted(promised - lathed.contract.seen - set(ELSEWHERE))
    assert not missing, f"documented, but received by no test: {missing}"
    assert set(ELSEWHERE) <= promised, "no longer documented"
    print(f"{len(promised)} documented pairs of operation and status, {len(ELSEWHERE)} of them shown elsewhere")
