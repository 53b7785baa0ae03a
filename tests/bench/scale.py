#!/usr/bin/env python3
"""Are lists, trajectories, curves and comparisons of shapes as quick in a full database as in an empty one?

    scale.py [--searches 100000] [--removals 100] [--points 500] [--dir DIR] [--times 100]

Fills two: one with 30 searches, one with that many (10 M removals and 50 M metric points by default; some
12 GB; CPU for some ten minutes), each search with removals and metric points, and times every question against both by
turns (--times 0 only fills). Each holds one real search, so that its shapes replay. The programs come from LATHE_BIN_DIR."""
import argparse, os, pathlib, shutil, statistics, subprocess, sys, threading, time

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("LATHE_BIN_DIR", str(HERE.parents[1] / "build/release/bin"))
sys.path.insert(0, str(HERE.parent / "e2e"))
import http.client  # noqa: E402
from lathed import Lathed, SEARCH, make_dataset  # noqa: E402

FIRST = 1000  # ids of what is made up begin after it

# Rows are made without checks and slow indexes, which come back when all are there; spans of metrics as the service makes them.
FAST = "set synchronous_commit = off; set session_replication_role = replica; set maintenance_work_mem = '1GB';"
SEARCHES = """
insert into job (job_id, kind, subject, state, document, priority, finished_at, started_at, attempt, step, tokens, tokens_planned, params)
overriding system value
select g, 'search', 'srch_' || g, 'succeeded', s.document, 0, now(), now(), 1, s.step, s.tokens, s.tokens_planned, s.params
  from generate_series({first} + 1, {last}) g, (select * from job where kind = 'search' order by job_id limit 1) s;
insert into search (search_id, name, dataset_id, spec, options, seed, context, source_shape, source_hash, params_source, job_id,
                    removals, hidden, head_dim, q_heads, kv_heads, ffn, reached)
overriding system value
select g, 'search ' || g, s.dataset_id, s.spec, s.options, g, s.context, s.source_shape, s.source_hash, 100000 + g % 50000, g,
       {removals}, s.hidden, s.head_dim, s.q_heads, s.kv_heads, s.ffn, {removals} * 100.0 / (100000 + g % 50000)
  from generate_series({first} + 1, {last}) g, (select * from search order by search_id limit 1) s;
"""
REMOVALS = """
insert into architecture (search_id, ordinal, step, tokens, type, layer, positions, indices, min_heads, min_ffn, min_stem, runner_up,
                          params, params_non_embedding, flops_per_token, kv_bytes_per_token, ratio, shape_hash, snapshot)
select g, o, o * 10, o * 640, case when o > 0 then 'ffn' end, case when o > 0 then -1 end,
       case when o > 0 then array[o, o, o] end, case when o > 0 then array[o, o, o] end, 1e-6, 1e-6, 1e-6, 1e-6,
       100000 + g % 50000 - o * 100, 90000 - o * 100, 600000 - o * 600, 1024, o * 100.0 / (100000 + g % 50000),
       repeat(substr('0123456789abcdef', o % 16 + 1, 1), 64), case when o in (30, 60) then 'snapshots/' || o end
  from generate_series({low}, {high}) g, generate_series(0, {removals}) o;
"""
SLOW_INDEXES = """select indexdef from pg_indexes where tablename = 'architecture'
    and indexname in ('architecture_by_params', 'architecture_by_hash', 'architecture_by_ratio_alone')"""
POINTS = """
insert into {table} (job_id, step, tokens, at, loss, learning_rate, grad_norm, tokens_per_second, params)
select g, p, p * 64, now(), 1 / (1 + p), 1e-3, 1, 1000, 100000 from generate_series({low}, {high}) g, generate_series(1, {points}) p;
"""


class Database:
    def __init__(self, dir_, searches, o):
        self.lathed = Lathed(dir_=dir_)
        self.where = f"host={self.lathed.dir}/pg/run user=lathe dbname=postgres"
        self.searches = searches
        if not int(self.sql("select count(*) from search")):
            data = make_dataset(self.lathed)
            made = self.lathed.post("/v1/searches", {"name": "real", "dataset": data, **SEARCH})
            assert self.lathed.wait("/v1/searches/" + made["id"], seconds=300)["state"] == "succeeded"
            self.fill(o)
        self.real = "/v1/searches/srch_1"
        self.middle = FIRST + searches // 2
        self.connection = http.client.HTTPConnection(self.lathed.host, self.lathed.port, timeout=60)

    def sql(self, text):
        return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.where, "-c", text], capture_output=True, text=True, check=True).stdout.strip()

    def set(self, **settings):
        for name, value in settings.items():
            self.sql(f"alter system set {name} = '{value}'")
        self.sql("select pg_reload_conf()")

    def fast(self, text, **values):
        self.sql(FAST + text.format(**values))

    def fill(self, o):
        began, last = time.monotonic(), FIRST + self.searches
        self.set(max_wal_size="8GB", fsync="off", full_page_writes="off")
        self.fast(SEARCHES, first=FIRST, last=last, removals=o.removals)
        points = threading.Thread(target=self.fill_points, args=(o, last))
        points.start()
        self.fill_removals(o, last)
        points.join()
        self.sql("vacuum analyze")
        self.set(fsync="on", full_page_writes="on")
        self.sql("checkpoint")
        size = self.sql("select pg_size_pretty(pg_database_size('postgres'))")
        print(f"{self.searches} searches filled in {time.monotonic() - began:.0f} s: "
              + self.sql("select (select count(*) from architecture) || ' architectures, ' || (select count(*) from metric) || ' points'")
              + ", " + size, flush=True)

    def fill_removals(self, o, last):
        indexes = self.sql(SLOW_INDEXES).split("\n")
        for index in indexes:
            self.sql("drop index " + index.split()[2])
        for low in range(FIRST + 1, last + 1, 10000):
            self.fast(REMOVALS, low=low, high=min(last, low + 9999), removals=o.removals)
        for index in indexes:
            self.fast("{index}", index=index)

    def fill_points(self, o, last):
        span = int(self.sql("select span_of('metric')"))
        for begin in range(0, last + 2 * span, span):
            ids = {"low": max(begin, FIRST + 1), "high": min(last, begin + span - 1), "points": o.points}
            there = self.sql(f"select to_regclass('metric_{begin}')")
            if not there:
                self.sql(f"create table metric_{begin} (like metric including defaults including constraints)")
            self.fast(POINTS, table=f"metric_{begin}", **ids)
            if not there:
                self.fast("alter table metric attach partition metric_{begin} for values from ({begin}) to ({end})", begin=begin, end=begin + span)

    def time(self, path):
        began = time.perf_counter()
        self.connection.request("GET", path, headers={"Authorization": "Bearer " + self.lathed.token})
        reply = self.connection.getresponse()
        body = reply.read()
        assert reply.status == 200, (path, reply.status, body[:300])
        return (time.perf_counter() - began) * 1e3

    def questions(self):
        m, page = f"srch_{self.middle}", "page_size=20"
        deep = self.sql("select architecture_id from architecture order by 1 offset (select count(*) / 2 from architecture) limit 1") \
            if self.searches < 1000 else str(self.searches * 50)
        yield from {
            "searches": f"/v1/searches?{page}", "searches, none running": f"/v1/searches?{page}&state=running",
            "searches of a data set": f"/v1/searches?{page}&dataset=data_1", "searches, deep": f"/v1/searches?{page}&page_token={self.middle + 10}",
            "search": f"/v1/searches/{m}", "jobs": f"/v1/jobs?{page}", "jobs, none failed": f"/v1/jobs?{page}&state=failed",
            "jobs of a kind": f"/v1/jobs?{page}&kind=search", "runs": f"/v1/runs?{page}", "comparisons": f"/v1/comparisons?{page}",
            "data sets": f"/v1/datasets?{page}", "models": f"/v1/models?{page}", "workers": f"/v1/workers?{page}",
            "architectures": f"/v1/architectures?{page}", "architectures, newest": f"/v1/architectures?{page}&order_by=-id",
            "architectures, deep": f"/v1/architectures?{page}&page_token={deep}",
            "architectures by size": f"/v1/architectures?{page}&order_by=params", "... downwards": f"/v1/architectures?{page}&order_by=-params",
            "architectures of a search": f"/v1/architectures?{page}&search={m}", "... by size": f"/v1/architectures?{page}&search={m}&order_by=params",
            "architectures with weights": f"/v1/architectures?{page}&weights=snapshot", "... at a ratio": f"/v1/architectures?{page}&ratio=0.02",
            "... that ten have reached": f"/v1/architectures?{page}&ratio=0.099",
            "architectures of a size": f"/v1/architectures?{page}&order_by=params&min_params=95000&max_params=96000",
            "trajectory": f"/v1/searches/{m}/trajectory?page_size=100", "trajectory, a part": f"/v1/searches/{m}/trajectory?page_size=20&from_step=500&every=2",
            "saliency": f"/v1/searches/{m}/saliency", "curves": f"/v1/searches/{m}/metrics?max_points=200",
            "shapes": f"{self.real}/shapes?ratios=0.1,0.2,0.3,0.4"}.items()

    def close(self, keep):
        self.lathed.stop()
        if not keep:
            shutil.rmtree(self.lathed.dir)


def main():
    parser = argparse.ArgumentParser()
    for name, otherwise in [("searches", 100000), ("removals", 100), ("points", 500), ("times", 100)]:
        parser.add_argument("--" + name, type=int, default=otherwise)
    parser.add_argument("--dir")
    o = parser.parse_args()
    empty = Database(o.dir and o.dir + "-empty", 30, o)
    full = Database(o.dir, o.searches, o)
    worst = 0
    if not o.times:
        return [database.close(o.dir) for database in (empty, full)]
    for (name, path), (_, other) in zip(full.questions(), empty.questions()):
        for _ in range(8):  # until PostgreSQL has settled on its plans
            full.time(path), empty.time(other)
        pairs = [(full.time(path), empty.time(other)) for _ in range(o.times)]
        a, b = (statistics.median(x) for x in zip(*pairs))
        worst = max(worst, a / b)
        print(f"{name:28} {a:8.3f} ms  empty {b:8.3f} ms  {a / b:5.2f}x", flush=True)
    print(f"worst {worst:.2f}x")
    for database in (empty, full):
        database.close(o.dir)


if __name__ == "__main__":
    main()
