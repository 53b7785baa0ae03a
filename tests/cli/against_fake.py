#!/usr/bin/env python3
"""The command line against a fake service: what it sends, prints and exits with."""
import json
import os
import subprocess
import tempfile
import unittest

from fake_lathed import FakeLathed

LATHE = os.path.join(os.environ["LATHE_BIN_DIR"], "lathe")
SEARCH = {"id": "srch_1", "name": "n", "state": "queued", "params_source": 1000, "params_now": 1000,
          "stop": {"ratio": 0.5}, "tokens_planned": 100}


class Cli(unittest.TestCase):
    def setUp(self):
        self.fake = FakeLathed()
        self.addCleanup(self.fake.close)
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.write("token", "secret\n")
        self.write("address", self.fake.url + "\n")

    def write(self, name, text):
        path = os.path.join(self.dir.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def lathe(self, *args, code=0, stdin=None):
        env = {"PATH": os.environ["PATH"], "LATHE_DATA_DIR": self.dir.name, "LC_ALL": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        done = subprocess.run([LATHE, *args], env=env, input=stdin, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def sent(self, method, path):
        return [r for r in self.fake.requests if r["method"] == method and r["path"] == path]

    def test_help_on_every_level(self):
        for words in ([], ["search"], ["search", "create"], ["architectures", "list"]):
            self.assertIn("lathe", self.lathe(*words, "--help"))
        self.assertEqual(self.fake.requests, [])

    def test_completion(self):
        def complete(*words):
            return self.lathe("__complete", *words).split()
        self.assertIn("search", complete("sea"))
        self.assertEqual(complete("architectures", "")[:2], ["list", "get"])
        self.assertIn("--ratio", complete("search", "create", "--"))
        self.assertIn("--min-params", complete("architectures", "--m"))
        self.assertEqual(complete("search", "create", "--shape", ""), [])
        self.assertEqual(complete("search", "get", ""), [])
        script = f"""source {os.environ['LATHE_SOURCE_DIR']}/clients/cli/lathe.bash
            COMP_WORDS=({LATHE} search sha) COMP_CWORD=2; _lathe; echo "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "shapes\n")

    def test_dataset_from_text(self):
        path = self.write("book.txt", "Once upon a time." * 10)
        self.fake.replies["POST /v1/uploads"] = 201, {"id": "upl_7", "bytes": 170}
        self.fake.replies["POST /v1/datasets"] = 202, {"id": "data_3", "state": "queued"}
        out = self.lathe("dataset", "create", "--name", "book", "--text", path, "-q")
        self.assertEqual(out, "data_3\n")
        upload, = self.sent("POST", "/v1/uploads")
        self.assertEqual(upload["body"], b"Once upon a time." * 10)
        self.assertEqual(upload["headers"]["Content-Type"], "application/octet-stream")
        made, = self.sent("POST", "/v1/datasets")
        self.assertEqual(json.loads(made["body"]), {
            "name": "book", "tokenizer": "bytes", "files": [{"upload": "upl_7", "format": "text"}]})
        keys = {r["headers"]["Idempotency-Key"] for r in (upload, made)}
        self.assertTrue(len(keys) == 2 and all(len(k) == 32 for k in keys), keys)

    def test_search_takes_vocabulary_from_dataset(self):
        self.fake.replies["GET /v1/datasets/data_3"] = 200, {"id": "data_3", "vocab_size": 257}
        self.fake.replies["POST /v1/searches"] = 201, SEARCH
        self.lathe("search", "create", "-d", "data_3", "--uniform", "2,16,4,2,40", "--train-tokens",
                   "10k", "-r", "0.5", "--set", "recipe.batch_size=4")
        body = json.loads(self.sent("POST", "/v1/searches")[0]["body"])
        self.assertEqual(body["source"]["shape"]["vocab_size"], 257)
        self.assertEqual(body["source"]["shape"]["layers"], 2 * [{"q_heads": 4, "kv_heads": 2, "ffn": 40}])
        self.assertEqual((body["source"]["train"], body["stop"], body["recipe"]),
                         ({"tokens": 10000}, {"ratio": 0.5}, {"batch_size": 4}))

    def test_body_from_standard_input(self):
        self.fake.replies["POST /v1/searches"] = 201, SEARCH
        self.lathe("search", "create", "-f", "-", "--seed", "2", stdin='{"seed": 1, "name": "x"}')
        self.assertEqual(json.loads(self.sent("POST", "/v1/searches")[0]["body"]), {"seed": 2, "name": "x"})

    def test_problems_become_sentences_and_exit_codes(self):
        problem = self.fake.problem
        for status, code, said in (
                (400, 2, "lathe: nope; /stop/ratio: must be below 1; /x: no such member\n"),
                (404, 2, "lathe: nope; /stop/ratio: must be below 1; /x: no such member\n"),
                (429, 75, None), (503, 75, None), (409, 1, None)):
            self.fake.replies["POST /v1/searches"] = status, problem(status, "c", "nope", [
                {"pointer": "/stop/ratio", "detail": "must be below 1"},
                {"pointer": "/x", "detail": "no such member"}])
            err = self.lathe("search", "create", code=code)
            if said:
                self.assertEqual(err, said)
        self.fake.replies["POST /v1/searches"] = 500, b"<html>"
        self.assertIn("answered 500 without saying why", self.lathe("search", "create", code=1))
        self.fake.replies["GET /v1/searches"] = 200, b"<html>"
        self.assertIn("is this a lathed?", self.lathe("search", "list", code=1))

    def test_wrong_token_and_no_service(self):
        self.assertIn("the token is not known", self.lathe("--token", "x", "jobs", code=2))
        self.assertIn("is lathed running?", self.lathe("--server", "http://127.0.0.1:1", "jobs", code=75))
        self.assertIn("not an id", self.lathe("search", "get", "../tokens", code=2))

    def test_lists_follow_pages(self):
        def page(request):
            first = int(request["query"].get("page_token", "0"))
            items = [{"id": f"arch_{i}", "ratio": i / 100} for i in range(first, first + 3)]
            return 200, {"items": items, "next_page_token": str(first + 3) if first < 6 else None}
        self.fake.replies["GET /v1/architectures"] = page
        out = self.lathe("architectures", "--search", "srch_1", "--min-params", "5", "-n", "0", "-q")
        self.assertEqual(out.split(), [f"arch_{i}" for i in range(9)])
        query = self.fake.requests[0]["query"]
        self.assertEqual((query["search"], query["min_params"]), ("srch_1", "5"))
        self.assertEqual(len(json.loads(self.lathe("architectures", "-n", "4", "--json"))["items"]), 4)
        self.assertIn("arch_2  -             -     2.0%", self.lathe("architectures", "-n", "3"))

    def start_search(self):
        """A search that runs while it is watched: its state moves when its events were read."""
        removals = [{"ordinal": n, "step": n, "type": "ffn" if n % 2 else "stem", "params": 1000 - 100 * n}
                    for n in range(1, 6)]
        self.fake.events = [("state", {"state": "running"})]
        self.fake.events += [("removal", r) for r in removals]
        self.fake.events += [("state", {"state": "succeeded"})]

        def search(_):
            over = self.fake.connections and self.fake.connections[-1] >= 6
            return 200, dict(SEARCH, state="succeeded" if over else "running", params_now=500 if over else 1000)
        self.fake.replies["GET /v1/searches/srch_1"] = search
        self.fake.replies["GET /v1/searches/srch_1/trajectory"] = lambda r: (200, {
            "items": [x for x in removals if x["ordinal"] >= int(r["query"]["from_ordinal"])
                      and self.fake.connections], "next_page_token": None})

    def test_watch_comes_back_and_loses_nothing(self):
        self.start_search()
        out = self.lathe("search", "watch", "srch_1", "--every", "0")
        self.assertEqual(self.fake.connections[:4], [0, 2, 4, 6])
        last = out.splitlines()[-1]
        self.assertIn("srch_1 succeeded 100.0%", last)
        self.assertIn("removed heads 0 ffn 3 stem 2", last)

    def test_watch_as_json(self):
        self.start_search()
        lines = [json.loads(x) for x in self.lathe("search", "watch", "srch_1", "--json").splitlines()]
        self.assertEqual([x["id"] for x in lines[:-1]], [str(i) for i in range(1, 8)])
        self.assertEqual((lines[-1]["event"], lines[-1]["data"]["state"]), ("final", "succeeded"))

    def test_watch_outlives_a_restart_at_the_end(self):
        self.start_search()
        refused = set()

        def busy_once(path):
            reply = self.fake.replies[path]

            def answer(request):
                if self.fake.connections and self.fake.connections[-1] >= 6 and path not in refused:
                    refused.add(path)
                    return 503, self.fake.problem(503, "busy", "the database restarts")
                return reply(request)
            self.fake.replies[path] = answer
        busy_once("GET /v1/searches/srch_1")
        busy_once("GET /v1/searches/srch_1/trajectory")
        lines = [json.loads(x) for x in self.lathe("search", "watch", "srch_1", "--json").splitlines()]
        self.assertEqual(len(refused), 2)
        self.assertEqual((lines[-1]["event"], lines[-1]["data"]["state"]), ("final", "succeeded"))

    def test_waiting_outlives_a_restart_at_the_start(self):
        self.fake.replies["POST /v1/datasets"] = 202, {"id": "data_3", "state": "queued"}
        replies = iter([(503, self.fake.problem(503, "busy", "the database restarts")),
                        (200, {"id": "data_3", "state": "succeeded"})])
        self.fake.replies["GET /v1/datasets/data_3"] = lambda r: next(replies)
        path = self.write("body.json", '{"name": "x"}')
        self.assertIn("data_3 succeeded", self.lathe("dataset", "create", "-f", path, "--wait"))

    def test_watch_of_a_failure(self):
        self.fake.replies["GET /v1/runs/run_1"] = 200, {"id": "run_1", "state": "failed", "reason": "out of disk"}
        done = subprocess.run([LATHE, "run", "watch", "run_1", "--data-dir", self.dir.name],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("reason: out of disk", done.stdout)

    def test_watch_of_what_is_not_there(self):
        self.assertIn("there is no /v1/runs/run_9", self.lathe("run", "watch", "run_9", code=2))


if __name__ == "__main__":
    unittest.main()
