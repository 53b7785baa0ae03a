#!/usr/bin/env python3
"""The service's goals in one run: http_bench.py [--seconds 8] [--rounds 3] [--dir DIR]

Lathe's list page of 20 architectures against Node.js http + pg and FastAPI + asyncpg, which ask the same
PostgreSQL the same, by turns; latency at half of the top rate; shapes by replay; one event from a trainer's
standard output to a listener; memory of connections. Needs wrk, and for the peers Debian's nodejs and node-pg,
python3-fastapi, python3-asyncpg and python3-uvicorn (a peer that does not start is left out, and said).
The programs come from LATHE_BIN_DIR (build/release/bin). A --dir that stays is not filled again."""
import argparse, json, os, pathlib, re, select, shutil, signal, socket, statistics, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("LATHE_BIN_DIR", str(HERE.parents[1] / "build/release/bin"))
sys.path.insert(0, str(HERE.parent / "e2e"))
from lathed import Lathed, make_dataset  # noqa: E402

OPEN_LOOP = pathlib.Path(os.environ["LATHE_BIN_DIR"]) / "open_loop"
PAGE = "/v1/architectures?page_size=20"
SHAPE = {"hidden_size": 16, "head_dim": 8, "vocab_size": 257, "tie_word_embeddings": True,
         "layers": [{"q_heads": 2, "kv_heads": 1, "ffn": 2300}] * 4}
SEARCH = {"name": "two thousand removals", "source": {"shape": SHAPE, "train": {"tokens": 256}},
          "space": {"types": ["ffn"]}, "stop": {"ratio": 0.845}, "schedule": {"warmup_steps": 2, "steps_per_unit": 1},
          "snapshots": {"ratios": [0.8]}, "recipe": {"batch_size": 1, "sequence_length": 16}, "threads": 1,
          "validation": {"every_steps": 5000, "tokens": 64}, "checkpoint": {"every_steps": 5000}}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


class Service:
    """One of the three: where it listens and which process it is."""

    def __init__(self, name, pid, port, token, process=None):
        self.name, self.pid, self.port, self.token, self.process = name, pid, port, token, process
        self.rates, self.cpu = [], []

    def load(self, path, seconds):
        before, began = cpu_seconds(self.pid), time.monotonic()
        out = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-H", f"Authorization: Bearer {self.token}",
                              f"http://127.0.0.1:{self.port}{path}"], capture_output=True, text=True, check=True).stdout
        n = int(re.search(r"(\d+) requests in", out)[1])
        assert "Non-2xx" not in out, out
        return n / (time.monotonic() - began), (cpu_seconds(self.pid) - before) / n * 1e6

    def late(self, path, rate, seconds):
        """p50, p99 and the worst, in ms, of requests that come at a fixed rate over 64 connections."""
        out = subprocess.run([OPEN_LOOP, str(self.port), path, self.token, "64", f"{rate:.0f}", str(seconds)],
                             capture_output=True, text=True, check=True).stdout.split()
        assert out[1] == "0", f"{out[1]} requests failed"
        return [float(x) for x in out[2:]]


def answers(port, token):
    with socket.create_connection(("127.0.0.1", port), 1) as s:
        s.settimeout(5)
        s.sendall(f"GET {PAGE} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode())
        return s.recv(65536).startswith(b"HTTP/1.1 200")


def start_peer(name, command, token):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([x.replace("PORT", str(port)) for x in command], stderr=subprocess.PIPE)
    for _ in range(100):
        try:
            if answers(port, token):
                return Service(name, process.pid, port, token, process)
        except OSError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    print(f"{name} does not start, left out: {process.stderr.read().decode(errors='replace').strip()[-200:]}")
    return None


def start_peers(lathed):
    where, peers = str(lathed.dir / "pg/run"), HERE / "peers"
    commands = [("Node.js http + pg", ["node", str(peers / "list_node.js"), where, "PORT", lathed.token]),
                ("FastAPI + asyncpg", ["/usr/bin/python3", str(peers / "list_fastapi.py"), where, "PORT", lathed.token])]
    return [s for s in (start_peer(n, c, lathed.token) for n, c in commands) if s]


def fill(lathed):
    """A search of 2,000 removals, run for real, so that replayed shapes have their true checksums."""
    if not any(s["state"] == "succeeded" for s in lathed.get("/v1/searches")["items"]):
        data = make_dataset(lathed)
        lathed.wait(f"/v1/datasets/{data}", seconds=120)
        made = lathed.post("/v1/searches", {**SEARCH, "dataset": data})
        search = lathed.wait("/v1/searches/" + made["id"], seconds=600)
        assert search["state"] == "succeeded", search["reason"]
    subprocess.run(["psql", "-XAtq", "-h", lathed.dir / "pg/run", "-U", "lathe", "postgres", "-c", "vacuum analyze"],
                   check=True)  # so that autovacuum does not do it in the middle of a measurement
    search = lathed.get("/v1/searches")["items"][0]
    ratios = ",".join(f"{x / 10:.1f}" for x in range(1, 9))
    path = f"/v1/searches/{search['id']}/shapes?ratios={ratios}"
    assert len(lathed.get(path)["items"]) == 8
    print(f"a search of {len(lathed.pages('/v1/architectures?page_size=1000')) - 1} removals")
    return path


def compare(services, seconds, rounds):
    for s in services:
        s.load(PAGE, 1)
    for i in range(rounds):
        for s in services[i % len(services):] + services[:i % len(services)]:
            rate, cpu = s.load(PAGE, seconds)
            s.rates.append(rate)
            s.cpu.append(cpu)
    for s in services:
        print(f"{s.name:20} {statistics.median(s.rates):9.0f} requests/s  {statistics.median(s.cpu):7.1f} us CPU a request"
              f"   (rounds {' '.join(f'{r:.0f}' for r in s.rates)})")


def events(dir_, n=400):
    """A stand-in trainer says an event every 5 ms with the time it was said; a listener notes when it comes."""
    trainer = pathlib.Path(dir_) / "talker"
    trainer.write_text(f"""#!/usr/bin/python3
import json, sys, time
sys.stdin.read()
def say(what, **more):
    print(json.dumps({{"event": what, "seq": 1, **more}}), flush=True)
say("start")
time.sleep(1)
for i in range({n}):
    say("progress", done=i, total={n}, unit="bytes", said=time.monotonic())
    time.sleep(0.005)
say("done", vocab_size=257, tokens=1, validation_tokens=1, documents=1, bytes=1)
""")
    trainer.chmod(0o755)
    with Lathed("--trainer", str(trainer)) as lathed:
        stream, late = lathed.events(), []
        make_dataset(lathed)
        for _, kind, data in stream:
            if kind == "progress":
                late.append(1e3 * (time.monotonic() - data["said"]))
            if data.get("state") == "succeeded":
                break
        stream.close()
    assert len(late) == n, f"{len(late)} of {n} events came"
    late.sort()
    print(f"event to listener      p50 {late[n // 2]:.2f} ms  p99 {late[n * 99 // 100]:.2f} ms  worst {late[-1]:.2f} ms")


def memory(lathed, n, request):
    """Bytes of lathed for each of n connections that have made this request and stay."""
    before, sockets = resident(lathed.process.pid), []
    for _ in range(n):
        s = socket.create_connection((lathed.host, lathed.port), 10)
        s.sendall(request)
        sockets.append(s)
    for s in sockets:
        s.settimeout(10)
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
    time.sleep(1)
    each = (resident(lathed.process.pid) - before) / n
    for s in sockets:
        s.close()
    return each


def memories():
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    with Lathed("--role", "api") as lathed:
        head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {lathed.token}\r\n\r\n"
        idle = memory(lathed, 8000, ("GET /v1/searches HTTP/1.1\r\n" + head).encode())
    with Lathed("--role", "api") as lathed:
        sse = memory(lathed, 1000, ("GET /v1/events HTTP/1.1\r\n" + head.replace(head.split("Bearer ")[1], lathed.token + "\r\n\r\n")).encode())
    print(f"memory                 {idle / 1024:.1f} KiB an idle connection, {sse / 1024:.1f} KiB a listener")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir")
    parser.add_argument("--only", choices=["lists", "events", "memory"])
    o = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    if o.only in (None, "lists"):
        lists(o)
    if o.only in (None, "events"):
        events("/tmp")
    if o.only in (None, "memory"):
        memories()


def lists(o):
    lathed = Lathed(dir_=o.dir)
    services = []
    try:
        shapes = fill(lathed)
        services = [Service("Lathe", lathed.process.pid, lathed.port, lathed.token), *start_peers(lathed)]
        compare(services, o.seconds, o.rounds)
        ours, top = services[0], statistics.median(services[0].rates)
        if len(services) > 1:
            best = max(statistics.median(s.rates) for s in services[1:])
            least = min(statistics.median(s.cpu) for s in services[1:])
            print(f"against the faster     {top / best:.2f}x requests/s, {statistics.median(ours.cpu) / least:.3f}x CPU")
        late = [ours.late(PAGE, top / 2, o.seconds) for _ in range(o.rounds)]
        p50, p99, worst = (statistics.median(x) for x in zip(*late))
        print(f"at {top / 2:.0f} requests/s   p50 {p50:.2f} ms  p99 {p99:.2f} ms  worst {worst:.2f} ms"
              f"   (p99 of the rounds {' '.join(f'{x[1]:.2f}' for x in late)})")
        rate, cpu = ours.load(shapes, o.seconds)
        print(f"shapes at 8 ratios     {rate:.0f} requests/s  {cpu:.1f} us CPU a request")
    finally:
        for s in services[1:]:
            s.process.kill()
        if o.dir:
            lathed.stop()
        else:
            lathed.close()


if __name__ == "__main__":
    main()
