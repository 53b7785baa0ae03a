#!/usr/bin/env python3
"""Many clients and bad ones: listeners hear every event, idle connections cost little and are still served, who
reads a byte a second keeps nobody waiting, who leaves is not worked for, a full disk is said and survived,
and a service that stops waits for PostgreSQL no longer than it said.

    crowd.py [--listeners N] [--idle N] [--slow N] [--seconds N]"""
import argparse, os, pathlib, re, resource, select, shutil, socket, subprocess, sys, tempfile, threading, time
from lathed import PATIENCE, Lathed, make_dataset, skip_unless_possible

# A sanitizer keeps what was freed; here that would look as memory that grows.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"


def resident(lathed):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{lathed.process.pid}/status").read_text())[1]) * 1024


def connect(lathed, request):
    s = socket.create_connection((lathed.host, lathed.port), 20)
    s.sendall(request.encode())
    return s


def head(lathed, path):
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {lathed.token}\r\n"


def read_until(sockets, is_done, seconds):
    """Reads them all by turns until each has what it waits for; returns those that have not."""
    texts, left, deadline = {s: b"" for s in sockets}, set(sockets), time.monotonic() + seconds * PATIENCE
    poll = select.epoll()
    by_fd = {s.fileno(): s for s in sockets}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    while left and time.monotonic() < deadline:
        for fd, _ in poll.poll(0.2):
            s = by_fd[fd]
            more = s.recv(1 << 20)
            texts[s] += more
            if not more:
                poll.unregister(fd)
            if is_done(texts[s]):
                left.discard(s)
    return texts, left


def listeners(lathed, n):
    before = resident(lathed)
    everyone = [connect(lathed, head(lathed, "/v1/events?last_event_id=0") + "\r\n") for _ in range(n)]
    _, deaf = read_until(everyone, lambda t: b"retry:" in t, 60)
    assert not deaf, f"{len(deaf)} of {n} were not greeted"
    each = (resident(lathed) - before) / n
    began = time.monotonic()
    data = make_dataset(lathed)
    lathed.wait(f"/v1/datasets/{data}", seconds=120)
    texts, deaf = read_until(everyone, lambda t: t.count(b'"state": "succeeded"') == 1, 60)
    assert not deaf, f"{len(deaf)} of {n} did not hear the end"
    ids = {tuple(re.findall(rb"^id: (\d+)\nevent:", t, re.M)) for t in texts.values()}
    assert len(ids) == 1 and sorted(map(int, next(iter(ids)))) == list(map(int, next(iter(ids)))), f"{len(ids)} different stories"
    for s in everyone:
        s.close()
    print(f"{n} listeners: {len(next(iter(ids)))} events each, the same, {time.monotonic() - began:.1f} s; {each / 1024:.1f} KiB each", flush=True)


def idle(lathed, n):
    request = head(lathed, "/v1/searches") + "\r\n"
    before = resident(lathed)
    everyone = [connect(lathed, request) for _ in range(n)]
    _, silent = read_until(everyone, lambda t: t.endswith(b"}"), 60)
    assert not silent, f"{len(silent)} of {n} were not answered"
    each = (resident(lathed) - before) / n
    again, began = everyone[-100:], time.monotonic()  # the first may have been idle for a minute, which ends them
    for s in again:
        s.sendall(request.encode())
        assert s.recv(65536).startswith(b"HTTP/1.1 200"), "an idle connection was not served again"
    print(f"{n} idle connections: {each / 1024:.1f} KiB each, asked again {(time.monotonic() - began) * 1e3 / len(again):.2f} ms each", flush=True)
    for s in everyone:
        s.close()


def slow_readers(lathed, n, seconds):
    """They ask for much and take a byte a second; everybody else is served as before."""
    request = head(lathed, "/v1/openapi.json") + "Connection: keep-alive\r\n\r\n"
    before, slow = resident(lathed), []
    for _ in range(n):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect((lathed.host, lathed.port))
        s.sendall(request.encode() * 20)
        slow.append(s)
    times, deadline, drip = [], time.monotonic() + seconds, 0.0
    while time.monotonic() < deadline:
        if time.monotonic() > drip:
            drip = time.monotonic() + 1
            for s in slow:
                s.recv(1)
        began = time.monotonic()
        assert lathed.ask("GET", "/livez").status == 200
        times.append(time.monotonic() - began)
        time.sleep(0.005)
    grown = (resident(lathed) - before) / n
    times.sort()
    print(f"{n} who read a byte a second: others wait p50 {times[len(times) // 2] * 1e3:.1f} ms, p99 {times[len(times) * 99 // 100] * 1e3:.1f} ms; {grown / 1024:.0f} KiB each", flush=True)
    assert grown < 2 << 20, "memory grows with what they do not read"
    for s in slow:
        s.close()


def stopped_while_they_wait():
    """The answers of those who left, and of those who did not, come when the service has stopped listening; one
    who asked for events does not read them."""
    with Lathed("--drain", "1", "--role", "api") as lathed:
        psql = ["psql", "-XAtq", "-h", lathed.dir / "pg/run", "-U", "lathe", "postgres", "-c"]
        subprocess.run([*psql, "insert into event (subject, kind, body) select 'srch_1', 'x', jsonb_build_object('x', repeat('x', 5000)) from generate_series(1, 3000)"], check=True)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect((lathed.host, lathed.port))
        deaf.sendall((head(lathed, "/v1/events?last_event_id=0") + "\r\n").encode())
        assert deaf.recv(100).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)  # until nothing more goes through
        with subprocess.Popen([*psql, "begin; lock table architecture, search, job; select pg_sleep(600)"], stderr=subprocess.DEVNULL) as holder:
            body = '{"shape": {"hidden_size": 8, "head_dim": 4, "vocab_size": 9, "layers": [{"q_heads": 2, "ffn": 8}]}}'
            post = head(lathed, "/v1/architectures").replace("GET", "POST") + f"Idempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            everyone, n = [], 0
            deadline = time.monotonic() + 20 * PATIENCE
            locked = "select count(*) from pg_locks where relation = 'search'::regclass and mode = 'AccessExclusiveLock' and granted"
            waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            while n < 4:
                assert time.monotonic() < deadline, f"{n} of 4 requests wait for the lock"
                asked = subprocess.run([*psql, waits if everyone else locked], capture_output=True, text=True, check=True)
                n = int(asked.stdout)
                if n and not everyone:
                    everyone = [connect(lathed, head(lathed, "/v1/searches") + "\r\n"), connect(lathed, post), connect(lathed, post.replace(" k", " k2")),
                                connect(lathed, head(lathed, "/metrics") + "\r\n")]
            for s in everyone[1:]:
                s.close()
            began = time.monotonic()
            assert lathed.stop() == 0, lathed.tail()
            took = time.monotonic() - began
            everyone[0].close()
            deaf.close()
            holder.wait(10)
        print(f"four wait for a lock, three of them left, one is deaf: stopped after {took:.1f} s", flush=True)
        assert took < 10 * PATIENCE


def full_disk():
    """On a small file system of its own: uploads and creations are refused in words, then all goes on."""
    if os.getuid() != 0:
        print("full disk: not tried, only root can mount a small file system")
        return
    place = pathlib.Path(tempfile.mkdtemp(prefix="lathe-full-"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", place], capture_output=True).returncode:
        print("full disk: not tried, mounting is not allowed here")
        return
    place.chmod(0o755)
    lathed = None
    try:
        lathed = Lathed(dir_=place / "data")
        before = make_dataset(lathed)
        lathed.wait(f"/v1/datasets/{before}")
        with open(place / "ballast", "wb") as f:
            try:
                while True:
                    f.write(bytes(1 << 20))
            except OSError:
                pass
        reply = lathed.ask("POST", "/v1/uploads", raw=bytes(1 << 20))
        assert reply.status == 507 and "disk" in reply.json["detail"], (reply.status, reply.body)
        statuses = {lathed.ask("POST", "/v1/datasets", {"name": f"d{i}", "files": [{"upload": "upl_1", "format": "text"}], "tokenizer": "bytes"}).status
                    for i in range(20)}
        assert lathed.ask("GET", "/livez").status == 200 and statuses <= {201, 400, 422, 500, 503, 507}, statuses
        (place / "ballast").unlink()
        began = time.monotonic()
        after = make_dataset(lathed)
        lathed.wait(f"/v1/datasets/{after}", seconds=60)
        assert lathed.get(f"/v1/datasets/{before}")["state"] == "succeeded" and not list(lathed.dir.glob("uploads/part-*"))
        print(f"full disk: uploads 507, creations {sorted(statuses)}; all well {time.monotonic() - began:.1f} s after there was room", flush=True)
        lathed.stop()
    finally:
        if lathed and lathed.process.poll() is None:
            print(lathed.tail())
            lathed.process.kill()
            time.sleep(1)
        subprocess.run(["umount", "-l", place], check=True)
        place.rmdir()


def leavers(lathed, n):
    """Statements of clients that have left are stopped: here they wait for a table that somebody holds."""
    def sql(text):
        return ["psql", "-XAtq", "-h", str(lathed.dir / "pg/run"), "-U", "lathe", "postgres", "-c", text]
    locked = "select count(*) from pg_locks where relation = 'dataset'::regclass and mode = 'AccessExclusiveLock' and granted"
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%from dataset%'"
    def until(query, want, seconds, what):
        deadline, n = time.monotonic() + seconds * PATIENCE, None
        while n != want:
            assert time.monotonic() < deadline, f"{n} {what}, should be {want}"
            n = int(subprocess.run(sql(query), capture_output=True, text=True, check=True).stdout)
    holder = subprocess.Popen(sql("begin; lock table dataset; select pg_sleep(600)"))
    until(locked, 1, 20, "locks are held")
    gone = [connect(lathed, head(lathed, "/v1/datasets") + "\r\n") for _ in range(n)]
    until(waiting, n, 10, "statements wait")
    for s in gone:
        s.close()
    until(waiting, 0, 10, "statements of clients that have left still wait")  # below their time-out of 15
    assert holder.poll() is None, "the table was let go of"
    lathed.get("/v1/searches")  # by those connections
    holder.kill()
    subprocess.run(sql("select pg_terminate_backend(pid) from pg_stat_activity where query like 'begin; lock%'"), check=True, stdout=subprocess.DEVNULL)
    holder.wait()
    lathed.get("/v1/datasets")


def main():
    parser = argparse.ArgumentParser()
    for name, otherwise in [("listeners", 200), ("idle", 1000), ("slow", 20), ("seconds", 3)]:
        parser.add_argument("--" + name, type=int, default=otherwise)
    o = parser.parse_args()
    most = max(o.listeners, o.idle) + 500
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < most:
        o.listeners, o.idle = min(o.listeners, hard - 500), min(o.idle, hard - 500)
        most = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    with Lathed() as lathed:
        listeners(lathed, o.listeners)
        idle(lathed, o.idle)
        slow_readers(lathed, o.slow, o.seconds)
        leavers(lathed, 3)
    stopped_while_they_wait()
    full_disk()
    print("ok")


if __name__ == "__main__":
    skip_unless_possible()
    main()
