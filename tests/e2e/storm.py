#!/usr/bin/env python3
"""Jobs come in while lathed, PostgreSQL and trainers are killed or asked to stop at random moments: in the end
every request was done once, every job has succeeded once with all it said stored, and whoever listened
to events has heard each of them, once and in order.

    storm.py [--kills N] [--seed N] [--jobs N] [--steps N] [--hows lathed,postgres,trainer,stop]

The trainers are stand-ins that keep their place in a file, as lathe-train does in its checkpoint."""
import argparse, collections, http.client, json, os, pathlib, random, re, signal, statistics, subprocess, sys, threading, time, uuid
from lathed import PATIENCE, Lathed, skip_unless_possible

TRAINER = """#!/usr/bin/python3
import fcntl, json, os, signal, sys, time
if len(sys.argv) > 1: sys.exit(print('{"backends": ["cpu"]}'))
job = json.load(sys.stdin)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
def say(what, **more):
    sys.stdout.write(json.dumps({"event": what, "seq": 1, **more}) + "\\n"); sys.stdout.flush()
lock = open("lock", "a")
while True:
    try: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB); break
    except BlockingIOError:
        if stop: sys.exit(75)
        time.sleep(0.05)
at = int(open("at").read()) if os.path.exists("at") else 0
say("start", tokens_planned=STEPS)
while at < STEPS and not stop:
    say("step", step=at + 1, tokens=at + 1, loss=1.0)
    at += 1
    if at % 20 == 0: say("checkpoint", step=at)
    with open("at.new", "w") as f: f.write(str(at))
    os.rename("at.new", "at")
    time.sleep(PAUSE)
if at < STEPS: sys.exit(75)
say("done", vocab_size=257, tokens=STEPS, validation_tokens=1, documents=1, bytes=1)
"""


ASKERS = 8


class Clients:
    """Ask for work with an Idempotency-Key each, again and again until it is acknowledged; listen."""

    def __init__(self, lathed, n_jobs):
        self.lathed, self.n_jobs, self.made, self.heard, self.tries = lathed, n_jobs, {}, [], collections.Counter()
        self.done, self.problems = False, []
        self.upload = lathed.post("/v1/uploads", raw=b"words")["id"]
        self.threads = [threading.Thread(target=f, daemon=True) for f in [self.ask] * ASKERS + [self.listen]]
        self.todo = list(range(n_jobs))
        for t in self.threads:
            t.start()

    def ask(self):
        while self.todo:
            i = self.todo.pop()
            key = {"Idempotency-Key": str(uuid.uuid4())}
            body = {"name": f"d{i}", "files": [{"upload": self.upload, "format": "text"}], "tokenizer": "bytes"}
            while True:
                self.tries["requests"] += 1
                try:
                    reply = self.lathed.ask("POST", "/v1/datasets", body, headers=key)
                    if reply.status == 201:
                        self.made[f"d{i}"] = reply.json["id"]
                        break
                    if reply.status not in (409, 500, 503):
                        self.problems.append(f"POST: {reply.status} {reply.body[:300]}")
                        return
                    self.tries[reply.status] += 1
                except (OSError, http.client.HTTPException, ValueError):
                    self.tries["cut off"] += 1
                time.sleep(0.05)
            time.sleep(0.2)

    def listen(self):
        while not self.done:
            try:
                stream = self.lathed.events(last_id=self.heard[-1] if self.heard else 0)
                stream.socket.settimeout(15)
                for id_, _, _ in stream:
                    self.heard.append(id_)
                self.tries["streams ended"] += 1
            except (OSError, http.client.HTTPException, ValueError, AssertionError):
                self.tries["streams cut off"] += 1
            time.sleep(0.05)


def sql(lathed, text):
    """Patiently: PostgreSQL may be on its way back."""
    for _ in range(100):
        done = subprocess.run(["psql", "-XAtq", lathed.database, "-c", text], capture_output=True, text=True)
        if done.returncode != 2:
            break
        time.sleep(0.3)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def kill_a_trainer(lathed, rng):
    places = sorted(lathed.dir.glob("jobs/*/trainer.pid"))
    for path in rng.sample(places, len(places)):
        try:
            pid = int(path.read_text().split()[0])
            if os.readlink(f"/proc/{pid}/cwd") == str(path.parent):
                os.kill(pid, signal.SIGKILL)
                return
        except (OSError, ValueError, IndexError):
            pass


def strike(lathed, how, rng, times):
    began = time.monotonic()
    if how == "trainer":
        kill_a_trainer(lathed, rng)
    elif how == "postgres":
        lathed.kill_postgres()
    elif how == "lathed":
        lathed.kill()
        lathed.start()
    elif how == "stop":
        code = lathed.stop()
        assert code == 0, f"stopped with {code}"
        took = time.monotonic() - began
        lathed.start()
        times["stop"].append(took)
        return
    times[how].append(time.monotonic() - began)


def storm(lathed, clients, rng, kills, hows):
    times = collections.defaultdict(list)
    for _ in range(kills):
        time.sleep(rng.random() * 0.8)
        how = rng.choice(hows)
        strike(lathed, how, rng, times)
        for problem in clients.problems:
            raise AssertionError(problem)
    for how in sorted(times):
        print(f"{how}: {len(times[how])} times, until ready again: median {statistics.median(times[how]):.2f} s, worst {max(times[how]):.2f} s", flush=True)


def settle(lathed, clients, seconds):
    for asker in clients.threads[:ASKERS]:
        asker.join(seconds * PATIENCE)
    assert not clients.problems, clients.problems
    assert len(clients.made) == clients.n_jobs, f"{len(clients.made)} of {clients.n_jobs} requests were acknowledged"
    deadline, left = time.monotonic() + seconds * PATIENCE, None
    while time.monotonic() < deadline:
        left = sql(lathed, "select count(*) from job where state <> 'succeeded'")
        if left == "0":
            break
        time.sleep(0.2)
    assert left == "0", "left over: " + sql(lathed, "select job_id, state, attempt, failures, reason, run_after from job where state <> 'succeeded'")
    last = int(sql(lathed, "select max(event_id) from event"))
    while (not clients.heard or clients.heard[-1] < last) and time.monotonic() < deadline:
        time.sleep(0.05)
    clients.done = True


def check(lathed, clients, steps):
    names = sql(lathed, "select name from dataset order by 1").split("\n")
    twice = [n for n, k in collections.Counter(names).items() if k > 1]
    assert not twice, f"created twice: {twice}"
    assert set(clients.made) == set(names), "what was acknowledged is not what is there"
    for name, id_ in clients.made.items():
        assert sql(lathed, f"select name from dataset where dataset_id = {id_[5:]}") == name
    assert sql(lathed, f"select count(*) from (select job_id, count(*) c, sum(step) s from metric group by 1) m where c <> {steps} or s <> {steps * (steps + 1) // 2}") == "0", "steps were lost or doubled"
    assert sql(lathed, "select count(*) from job") == sql(lathed, "select count(*) from event where kind = 'state' and body ->> 'state' = 'succeeded'"), "a job succeeded twice or never"
    assert sql(lathed, "select count(*) from (select subject from event where kind = 'step' group by subject, body ->> 'step' having count(*) > 1) e") == "0", "an event is there twice"
    stored = [int(x) for x in sql(lathed, "select event_id from event order by 1").split("\n")]
    assert clients.heard == stored, f"heard {len(clients.heard)} events, stored are {len(stored)}; first difference {next((a, b) for a, b in zip(clients.heard + [None], stored + [None]) if a != b)}"
    return len(stored)


def resident_kib(lathed):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{lathed.process.pid}/status").read_text())[1])


def main():
    parser = argparse.ArgumentParser()
    for name, otherwise in [("kills", 8), ("seed", 1), ("jobs", 12), ("steps", 60), ("slots", 3)]:
        parser.add_argument("--" + name, type=int, default=otherwise)
    parser.add_argument("--hows", default="lathed,postgres,trainer,stop")
    o = parser.parse_args()
    rng, began = random.Random(o.seed), time.monotonic()
    trainer = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"lathe-storm-trainer-{os.getpid()}"
    trainer.write_text(TRAINER.replace("STEPS", str(o.steps)).replace("PAUSE", "0.01"))
    trainer.chmod(0o755)
    try:
        with Lathed("--trainer", str(trainer), slots=o.slots) as lathed:
            lathed.database = f"host={lathed.dir}/pg/run user=lathe dbname=postgres"
            clients = Clients(lathed, o.jobs)
            storm(lathed, clients, rng, o.kills, o.hows.split(","))
            settle(lathed, clients, 120)
            n = check(lathed, clients, o.steps)
            print(f"{sql(lathed, 'select count(*) from job')} jobs in {sql(lathed, 'select sum(attempt) from job')} attempts, {n} events heard once and in order, "
                  f"{dict(clients.tries)}, {resident_kib(lathed) / 1024:.0f} MiB, {time.monotonic() - began:.0f} s")
    finally:
        trainer.unlink()
    print("ok")


if __name__ == "__main__":
    skip_unless_possible()
    main()
