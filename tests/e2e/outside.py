#!/usr/bin/env python3
"""A PostgreSQL that is not ours, over TLS, shared by an API and two runners with one folder of files.
It is restarted under them; a runner is cut off from it while its trainer runs on, and comes back: the job that
another one took over meanwhile is done once, and all it said is stored once. A newer schema is refused."""
import os, pathlib, select, shutil, signal, socket, subprocess, sys, tempfile, threading, time
from lathed import PATIENCE, Lathed, skip_unless_possible
from storm import TRAINER

STEPS = 120


class Server:
    """A PostgreSQL of its own with a certificate."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lathe-outside-"))
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.demote = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if self.demote:
            shutil.chown(self.dir, "postgres", "postgres")
        self.run(self.bin / "initdb", "-D", self.dir / "data", "-A", "trust", "-U", "lathe", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                 "subjectAltName=DNS:localhost", "-keyout", self.dir / "data/server.key", "-out", self.dir / "data/server.crt")
        os.chmod(self.dir, 0o755)
        shutil.copy(self.dir / "data/server.crt", self.dir / "ca.crt")
        with open(self.dir / "data/pg_hba.conf", "w") as f:
            f.write("local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.start()

    def run(self, *words):
        subprocess.run([*self.demote, *map(str, words)], cwd=self.dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        self.run(self.bin / "pg_ctl", "-D", self.dir / "data", "-l", self.dir / "log", "-w", "-o",
                 f"-k {self.dir} -c listen_addresses=127.0.0.1 -c port={self.port} -c ssl=on -c fsync=off", "start")

    def stop(self, how="immediate"):
        self.run(self.bin / "pg_ctl", "-D", self.dir / "data", "-m", how, "stop")

    def url(self, port=None):
        return f"postgresql://lathe@localhost:{port or self.port}/postgres?sslmode=verify-full&sslrootcert={self.dir}/ca.crt&hostaddr=127.0.0.1"

    def sql(self, text):
        return subprocess.run(["psql", "-XAtq", f"host={self.dir} port={self.port} user=lathe dbname=postgres", "-c", text],
                              capture_output=True, text=True, check=True).stdout.strip()

    def close(self):
        self.stop()
        shutil.rmtree(self.dir)


class Wire(threading.Thread):
    """Passes bytes on to the server until it is cut: then it takes and gives nothing, and closes nothing."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.to, self.cut, self.ends = port, False, {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            if self.cut:
                time.sleep(0.05)
                continue
            for s in select.select([self.listener, *self.ends], [], [], 0.1)[0]:
                self.pass_on(s)

    def pass_on(self, s):
        try:
            if s is self.listener:
                a, b = self.listener.accept()[0], socket.create_connection(("127.0.0.1", self.to))
                self.ends.update({a: b, b: a})
            elif s in self.ends and (data := s.recv(65536)):
                self.ends[s].sendall(data)
            elif s in self.ends:
                raise OSError("closed")
        except OSError:
            other = self.ends.pop(s, None)
            self.ends.pop(other, None)
            for end in (s, other):
                if end and end is not self.listener:
                    end.close()


class Runner(Lathed):
    """A lathed that only runs jobs, and is not asked anything."""

    def __init__(self, *options):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lathe-runner-"))
        self.options = ["--listen", "127.0.0.1:0", *options]
        self.start()

    def start(self):
        self.log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen([pathlib.Path(os.environ["LATHE_BIN_DIR"]) / "lathed", "--data-dir", self.dir, *self.options],
                                        stdout=self.log, stderr=self.log)


def wait_for(what, say, seconds=90):
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        if what():
            return
        time.sleep(0.1)
    raise AssertionError(say())


def restarted(server, api):
    """Requests during a restart are answered 503, after it they are served, by all roles."""
    before = server.sql("select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid) where s.ssl and a.application_name like 'lathed%'")
    assert int(before) >= 8, f"{before} connections use TLS"
    server.stop("fast")
    reply = api.ask("GET", "/v1/searches")
    assert reply.status == 503 and reply.headers["Retry-After"], (reply.status, reply.body)
    assert api.ask("GET", "/livez").status == 200 and api.ask("GET", "/readyz").status == 503
    server.start()
    began = time.monotonic()
    wait_for(lambda: api.ask("GET", "/readyz").status == 200, lambda: "not ready again:\n" + api.tail(), 20)
    print(f"ready {time.monotonic() - began:.1f} s after a restart", flush=True)


def cut_off(server, api, files, trainer):
    wire = Wire(server.port)
    options = ["--role", "runner", "--files-dir", str(files), "--trainer", str(trainer)]
    first = Runner("--database-url", server.url(wire.port), *options)
    upload = api.post("/v1/uploads", raw=b"words")["id"]
    made = api.post("/v1/datasets", {"name": "d", "files": [{"upload": upload, "format": "text"}], "tokenizer": "bytes"})["id"]
    path = "/v1/datasets/" + made
    api.wait(path, ("running",))
    second = Runner("--database-url", server.url(), *options)
    wire.cut, began = True, time.monotonic()
    wait_for(lambda: server.sql("select attempt from job") == "2", lambda: "nobody took it over:\n" + second.tail())
    took = time.monotonic() - began
    dataset = api.wait(path, seconds=120)
    assert dataset["state"] == "succeeded" and dataset["attempt"] == 2, dataset
    wire.cut = False
    wait_for(lambda: "lost its lease" in first.tail(200), lambda: "the first was not told:\n" + first.tail())
    assert server.sql("select count(*) || ' ' || sum(step) from metric") == f"{STEPS} {STEPS * (STEPS + 1) // 2}"
    assert server.sql("select count(*) from event where body ->> 'state' = 'succeeded'") == "1"
    assert server.sql("select count(*) from job where state <> 'succeeded'") == "0"
    print(f"taken over {took:.1f} s after the cut; {STEPS} steps stored once", flush=True)
    for runner in (first, second):
        began = time.monotonic()
        assert runner.stop() == 0, runner.tail()
        shutil.rmtree(runner.dir)


def refuses_newer(server):
    server.sql("insert into migration (number, name, sha256) values (9999, '9999_later.sql', 'x')")
    runner = Runner("--database-url", server.url(), "--role", "runner")
    assert runner.process.wait(30 * PATIENCE) == 1
    assert "newer" in runner.tail() and "lathe@" not in runner.tail(), runner.tail()
    shutil.rmtree(runner.dir)
    server.sql("delete from migration where number = 9999")


def main():
    files = pathlib.Path(tempfile.mkdtemp(prefix="lathe-files-"))
    trainer = files / "trainer"
    trainer.write_text(TRAINER.replace("STEPS", str(STEPS)).replace("PAUSE", "0.4"))
    trainer.chmod(0o755)
    server = Server()
    try:
        with Lathed("--database-url", server.url(), "--role", "api", "--files-dir", str(files)) as api:
            restarted(server, api)
            cut_off(server, api, files, trainer)
        refuses_newer(server)
    finally:
        server.close()
        shutil.rmtree(files)
    print("ok")


if __name__ == "__main__":
    skip_unless_possible()
    if not shutil.which("openssl"):
        print("skipped: no openssl to make a certificate with")
        sys.exit(77)
    main()
