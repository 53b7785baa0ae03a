#!/usr/bin/env python3
"""Two workers and a clock: every order of claim, extend, finish and expire ends as the rules say.

The rules are written twice, in sql/ and in Rules below; this runs both over all orders. So it does with
Wishes: whatever people ask, whenever the trainer hears of it and ends, the last wish that was accepted
comes true. Then many sessions claim at once, and no job may go to two of them.
"""
import itertools, os, pathlib, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PG = os.environ["LATHE_TEST_PG"].split(" dbname=")[0]
STEPS = {
    "claim": "coalesce((select attempt::text from job_claim({w}, '1 minute') where job_id = {j}), '-')",
    "extend": "coalesce((select held::text from job_ingest({j}, {w}, {a}, '1 minute', '[]')), '-')",
    "finish": "job_finish({j}, {w}, {a}, 'done', null)::text",
}


class Rules:
    """What a job does, in ten lines."""

    def __init__(self):
        self.owner, self.attempt, self.late, self.over = None, 0, False, False
        self.mine = {1: 0, 2: 0}  # the attempt each worker believes it has

    def claim(self, w):
        if self.over or (self.owner and not self.late):
            return "-"
        self.owner, self.late, self.attempt = w, False, self.attempt + 1
        self.mine[w] = self.attempt
        return str(self.attempt)

    def held(self, w):
        return not self.over and self.owner == w and self.mine[w] == self.attempt

    def extend(self, w):
        if self.held(w):
            self.late = False
        return "true" if self.held(w) else "false"

    def finish(self, w):
        held = self.held(w)
        self.over |= held
        return "true" if held else "false"


class Wishes:
    """What people ask of a job that runs, and its trainer, which stops when it hears anything but "run"."""

    SQL = """create function wished(steps text[]) returns text language plpgsql as $$
        declare
            id bigint := job_add('search', '{}');
            step text;
            heard record;
            stopping boolean := false;
            refused int := 0;
        begin
            perform job_name(id, 'srch_' || id);
            perform job_move(id, 'starting', null, 1, '1 hour');
            perform job_move(id, 'running', null);
            foreach step in array steps loop
                if step = 'hear' then
                    select * into heard from job_ingest(id, 1, 0, '1 hour', '[]');
                    stopping := stopping or heard.held and heard.wish <> 'run';
                elsif step = 'end' then
                    if stopping then perform job_finish(id, 1, 0, 'again', 'stopped'); end if;
                else
                    begin
                        perform job_ask(id, step);
                    exception when sqlstate 'LT409' then refused := refused + 1;
                    end;
                end if;
            end loop;
            return (select state || ',' || wish || ',' || refused from job where job_id = id);
        end $$;"""
    STEPS = ("run", "pause", "cancel", "hear", "end")
    NEXT = {"run": "queued", "pause": "paused", "cancel": "cancelled"}

    def __init__(self):
        self.state, self.wish, self.stopping, self.refused = "running", "run", False, 0

    def active(self):
        return self.state in ("running", "pausing")

    def ask(self, wish):
        if "cancel" in (self.wish, self.state) and wish != "cancel":
            self.refused += 1
        elif (wish, self.state) not in (("pause", "paused"), ("cancel", "cancelled")):
            self.wish = wish
            if not self.active():
                self.state = self.NEXT[wish]
            elif wish == "pause":
                self.state = "pausing"

    def hear(self):
        self.stopping |= self.active() and (self.wish != "run" or self.state == "pausing")

    def end(self):
        if self.active() and self.stopping:
            self.state = self.NEXT[self.wish]


def psql(database, script, parallel=1):
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", f"{PG} dbname={database}"]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(parallel)]
    for process in running:
        process.stdin.write(script)
        process.stdin.close()
    out = [process.stdout.read() for process in running]
    assert all(process.wait() == 0 for process in running), "psql failed"
    return [text.split() for text in out]


def migrated(database):
    psql("postgres", f"create database {database};")
    for path in sorted((ROOT / "sql").glob("[0-9]*.sql")):
        psql(database, path.read_text())
    psql(database, "select worker_start('ada', 'h', 1, 1, '{cpu}'); select worker_start('bob', 'h', 2, 1, '{cpu}');")


def orders():
    """Every merge of (claim extend finish) of both workers and two expiries."""
    slots = range(8)
    for ones in itertools.combinations(slots, 3):
        for twos in itertools.combinations([s for s in slots if s not in ones], 3):
            steps = {s: (1, what) for s, what in zip(ones, STEPS)} | {s: (2, what) for s, what in zip(twos, STEPS)}
            yield [steps.get(s, (0, "expire")) for s in slots]


def script_and_answers(job, order):
    rules, script, answers = Rules(), [], []
    for worker, what in order:
        if what == "expire":
            rules.late |= rules.owner is not None and not rules.over
            script.append(f"update job set leased_until = now() - interval '1 s' where job_id = {job} and is_active(state);")
            continue
        answers.append(getattr(rules, what)(worker))
        attempt = rules.mine[worker]
        script.append("select " + STEPS[what].format(w=worker, j=job, a=attempt) + ";")
    script.append(f"select state || ',' || attempt from job where job_id = {job};")
    state = "succeeded" if rules.over else "starting" if rules.owner else "queued"
    return script, answers + [f"{state},{rules.attempt}"]


def all_orders():
    migrated("orders")
    script, want, described = [], [], []
    for job, order in enumerate(orders(), 1):
        steps, answers = script_and_answers(job, order)
        script += [f"do $$ begin perform job_name(job_add('dataset', '{{}}'), 'data_{job}');"
                   f" update job set result = '{{}}' where job_id = {job}; end $$;"]
        # a done event came before every finish; claims forget it, so say it again
        script += [s if "job_finish" not in s else f"update job set result = '{{}}' where job_id = {job};" + s for s in steps]
        script += [f"delete from job where job_id = {job};"]
        want += answers
        described += [(order, i) for i in range(len(answers))]
    got = psql("orders", "\n".join(script))[0]
    assert len(got) == len(want), (len(got), len(want))
    for g, w, (order, i) in zip(got, want, described):
        assert g == w, f"{order}: answer {i} was {g}, should be {w}"
    print(f"ok {job} orders, {len(want)} answers")


def all_wishes(n=4):
    migrated("wishes")
    script, want = [Wishes.SQL, "set synchronous_commit = off;"], []
    every = [steps + ("hear", "end") for steps in itertools.product(Wishes.STEPS, repeat=n)]
    for steps in every:
        rules = Wishes()
        for step in steps:
            getattr(rules, step)() if step in ("hear", "end") else rules.ask(step)
        assert rules.state == "running" and "pause" not in steps or rules.state == Wishes.NEXT[rules.wish], steps
        script.append(f"select wished('{{{','.join(steps)}}}');")
        want.append(f"{rules.state},{rules.wish},{rules.refused}")
    got = psql("wishes", "\n".join(script))[0]
    for steps, g, w in zip(every, got, want, strict=True):
        assert g == w, f"{steps}: {g}, should be {w}"
    print(f"ok {len(every)} orders of wishes")


def no_job_twice(jobs=120, sessions=6):
    migrated("crowd")
    psql("crowd", f"do $$ begin for i in 1..{jobs} loop perform job_name(job_add('dataset', '{{}}'), 'data_' || i); end loop; end $$;")
    taken = psql("crowd", "select job_id from job_claim(1, '1 minute');\n" * (jobs // sessions + 5), sessions)
    taken = [job for one in taken for job in one]
    assert sorted(map(int, taken)) == list(range(1, jobs + 1)), f"{len(taken)} claims of {len(set(taken))} jobs"
    print(f"ok {jobs} jobs to {sessions} sessions at once")


if __name__ == "__main__":
    all_orders()
    all_wishes()
    no_job_twice()
