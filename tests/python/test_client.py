#!/usr/bin/env python3
"""The Python package against a fake service."""
import json
import os
import pathlib
import tempfile
import threading
import unittest

import lathe
from fake_lathed import FakeLathed
from lathe.client import read_events


class Client(unittest.TestCase):
    def setUp(self):
        self.fake = FakeLathed()
        self.addCleanup(self.fake.close)
        self.service = lathe.connect(self.fake.url, "secret")

    def test_finds_the_service_and_guards_the_token(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("address", self.fake.url + "\n"), ("token", "secret\n")):
                pathlib.Path(folder, name).write_text(text, encoding="utf-8")
            os.environ.pop("LATHE_TOKEN", None)
            self.assertEqual(lathe.connect(data_dir=folder).token, "secret")
            self.assertEqual(lathe.connect("http://localhost:9", data_dir=folder).token, "secret")
            self.assertIsNone(lathe.connect("http://example.org", data_dir=folder).token)

    def test_pages(self):
        self.fake.replies["GET /v1/runs"] = lambda r: (200, {
            "items": [{"id": "run_" + r["query"].get("page_token", "0")}],
            "next_page_token": "1" if "page_token" not in r["query"] else None})
        self.assertEqual([r.id for r in self.service.list("runs", state="failed")], ["run_0", "run_1"])
        self.assertEqual(self.fake.requests[0]["query"]["state"], "failed")

    def test_wishes(self):
        self.fake.replies["GET /v1/runs/run_1"] = 200, {"id": "run_1", "state": "paused", "note": "<b>", "shape": {"a": 1}}
        run = self.service.get("runs", "run_1")
        for wish in ("pause", "resume", "cancel"):
            self.fake.replies["POST /v1/runs/run_1/" + wish] = 200, {"id": "run_1"}
            self.assertEqual(getattr(run, wish)()["state"], "paused")
            self.assertIn("/v1/runs/run_1/" + wish, [r["path"] for r in self.fake.requests])
        html = run._repr_html_()  # pylint: disable=protected-access
        self.assertIn("<th>note</th><td>&lt;b&gt;</td>", html)
        self.assertIn("{&quot;a&quot;: 1}", html)

    def test_fronts_imports_and_estimates(self):
        self.fake.replies["GET /v1/architectures"] = lambda r: (200, {
            "items": [{"id": "arch_1", "pareto": r["query"]["pareto"]}], "next_page_token": None})
        front = self.service.pareto("params", "validation_loss", dataset="data_1")
        self.assertEqual([(a.id, a["pareto"]) for a in front], [("arch_1", "params,validation_loss")])
        self.assertEqual(self.fake.requests[-1]["query"]["dataset"], "data_1")
        self.fake.replies["POST /v1/architectures"] = lambda r: (201, {"id": "arch_2", **json.loads(r["body"])})
        self.assertEqual(self.service.import_architecture({"model_type": "llama"}, name="x")["config"], {"model_type": "llama"})
        self.fake.replies["POST /v1/runs"] = lambda r: (200, {"dry_run": r["query"]["dry_run"]})
        self.assertEqual(self.service.estimate("runs", {})["dry_run"], "true")

    def test_problems(self):
        self.fake.replies["POST /v1/runs"] = 400, self.fake.problem(400, "input", "wrong", [
            {"pointer": "/init", "detail": "must be inherit or reinit"}])
        with self.assertRaises(lathe.ApiError) as caught:
            self.service.create_run("data_1", 10, "arch_1", init="x")
        self.assertEqual(str(caught.exception), "wrong; /init: must be inherit or reinit")
        self.assertEqual((caught.exception.status, caught.exception.code), (400, "input"))
        self.assertFalse(caught.exception.retryable)
        with self.assertRaises(lathe.Unreachable):
            lathe.connect("http://127.0.0.1:1", "x").request("GET", "/v1/runs")

    def test_a_search_from_files_to_shapes(self):
        self.fake.replies["POST /v1/uploads"] = lambda r: (201, {"id": f"upl_{len(r['body'])}"})
        self.fake.replies["POST /v1/datasets"] = 201, {"id": "data_1", "state": "succeeded"}
        self.fake.replies["GET /v1/datasets/data_1"] = 200, {"id": "data_1", "vocab_size": 257}
        self.fake.replies["POST /v1/searches"] = 201, {"id": "srch_1", "state": "queued"}
        self.fake.replies["GET /v1/searches/srch_1/shapes"] = 200, {"items": [{"architecture": "arch_5"}]}
        self.fake.replies["GET /v1/architectures/arch_5"] = 200, {"id": "arch_5", "shape": {}}
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"twelve bytes")
            file.flush()
            data = self.service.create_dataset("d", text=[file.name]).wait()
        search = self.service.create_search(data, lathe.uniform_shape(2, 16, 4, 40, kv_heads=2), 1000, seed=3)
        self.assertIsInstance(search, lathe.Search)
        sent = {r["path"]: json.loads(r["body"]) for r in self.fake.requests
                if r["method"] == "POST" and r["path"] != "/v1/uploads"}
        self.assertEqual(sent["/v1/datasets"]["files"], [{"upload": "upl_12", "format": "text"}])
        body = sent["/v1/searches"]
        self.assertEqual((body["seed"], body["source"]["train"]), (3, {"tokens": 1000}))
        self.assertEqual(body["source"]["shape"]["vocab_size"], 257)
        self.assertEqual(search.architecture_at(0.5).id, "arch_5")

    def test_wait(self):
        states = iter(["running", "running", "succeeded"])
        self.fake.replies["GET /v1/runs/run_1"] = lambda r: (200, {"id": "run_1", "state": next(states)})
        run = self.service.get("runs", "run_1")
        with self.assertRaises(lathe.NotFinished):
            run.wait(timeout=0.01)
        self.assertEqual(run.wait()["state"], "succeeded")
        self.fake.replies["GET /v1/runs/run_2"] = 200, {"id": "run_2", "state": "failed", "reason": "disk full"}
        with self.assertRaisesRegex(lathe.LatheError, "disk full"):
            self.service.get("runs", "run_2").wait()

    def test_wait_outlives_a_restart(self):
        busy = 503, self.fake.problem(503, "busy", "the database restarts")
        replies = iter([(200, {"id": "run_1", "state": "running"}), busy, (200, b'{"id": "run_1"', 500),
                        (200, {"id": "run_1", "state": "succeeded"})])
        self.fake.replies["GET /v1/runs/run_1"] = lambda r: next(replies)
        self.assertEqual(self.service.get("runs", "run_1").wait()["state"], "succeeded")

    def test_replies_that_break_off(self):
        self.fake.replies["GET /v1/comparisons/cmp_1"] = 200, {"id": "cmp_1"}
        for path in ("GET /v1/comparisons/cmp_1/report", "POST /v1/uploads"):
            self.fake.replies[path] = 200, b'{"id"', 500
        report = self.service.get("comparisons", "cmp_1").report
        for ask in (report, lambda: self.service.upload(__file__)):
            with self.assertRaises(lathe.Unreachable):
                ask()
        self.fake.replies["GET /v1/comparisons/cmp_1/report"] = 503, b'{"detail"', 500
        with self.assertRaises(lathe.ApiError):
            report()

    def test_events_come_once_each_over_lost_connections(self):
        self.fake.replies["GET /v1/runs/run_1"] = 200, {"id": "run_1", "state": "running"}
        self.fake.events = [("step", {"step": n}) for n in range(5)] + [("state", {"state": "succeeded"})]
        run = self.service.get("runs", "run_1")
        got = list(run.events())
        self.assertEqual([e.id for e in got], ["1", "2", "3", "4", "5", "6"])
        self.assertEqual(got[0], lathe.Event("1", "step", {"step": 0}))
        self.assertEqual(self.fake.connections, [0, 2, 4])

    def ids_of_events(self, run, after=None):
        """In a thread: what hangs must not hang the test."""
        ids = []
        thread = threading.Thread(target=lambda: ids.extend(e.id for e in run.events(after)), daemon=True)
        thread.start()
        thread.join(5)
        self.assertFalse(thread.is_alive(), f"still listening after {ids}")
        return ids

    def test_events_of_what_is_over(self):
        self.fake.replies["GET /v1/runs/run_1"] = 200, {"id": "run_1", "state": "succeeded"}
        self.fake.events = [("state", {"state": state}) for state in ("failed", "queued", "running", "succeeded")]
        run = self.service.get("runs", "run_1")
        self.assertEqual(self.ids_of_events(run), [])
        self.assertEqual(self.ids_of_events(run, "0"), ["1", "2", "3", "4"])
        self.assertEqual(self.ids_of_events(run, "4"), [])

    def test_events_of_what_ends_while_we_come(self):
        for past, told in ((1, []), (0, ["1"])):  # before the stream's start, and just after
            def run(_, past=past):
                if not self.fake.connections:
                    return 200, {"id": "run_1", "state": "running"}
                self.fake.events = [("state", {"state": "succeeded"})]
                return 200, {"id": "run_1", "state": "succeeded"}
            self.fake.connections, self.fake.past = [], past
            self.fake.events = [("state", {"state": "succeeded"})] * past
            self.fake.replies["GET /v1/runs/run_1"] = run
            self.assertEqual(self.ids_of_events(self.service.get("runs", "run_1")), told)

    def test_reading_events(self):
        lines = [b": hi\r\n", b"\r\n", b"id: 1\n", b"data: {\"a\":\n", b"data:1}\n", b"\n",
                 b"id: 2\n", b"\n", b"id: 3\n", b"data: {}\n"]
        self.assertEqual(list(read_events(lines)), [lathe.Event("1", "message", {"a": 1}),
                                                     lathe.Event("2", "", {})])


if __name__ == "__main__":
    unittest.main()
