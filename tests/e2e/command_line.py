#!/usr/bin/env python3
"""What a user does by the command line and the Python package, on a real service."""
import json
import os
import random
import subprocess
import unittest

import lathe
from lathed import BIN, PATIENCE, Lathed, skip_unless_possible

RATIOS = "0.1,0.3,0.5"


def prose(n_words, seed):
    """Text with something to learn in it: sentences from a small vocabulary."""
    rng = random.Random(seed)
    words = "the a cat dog tree house sees finds likes under over red green small old and then".split()
    return " ".join(rng.choice(words) for _ in range(n_words)) + ".\n"


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Lathed("--threads", "1")
        cls.addClassCleanup(cls.service.close)
        path = os.path.join(cls.service.dir, "text.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            for i in range(60):
                file.write(json.dumps({"text": prose(200, i)}) + "\n")
        cls.dataset = cls.lathe("dataset", "create", "--name", "prose", "--jsonl", path, "--wait", "-q").strip()
        cls.search = cls.lathe(
            "search", "create", "-q", "--name", "small", "--dataset", cls.dataset, "--uniform", "2,32,4,2,64",
            "--train-tokens", "4k", "--ratio", "0.55", "--snapshots", RATIOS, "--batch-size", "4",
            "--sequence-length", "32", "--warmup-steps", "4", "--steps-per-unit", "1", "--seed", "1").strip()
        cls.watched = cls.lathe("search", "watch", cls.search, "--every", "1")

    @classmethod
    def run_lathe(cls, *args):
        hidden = ("LATHE_SERVER", "LATHE_TOKEN", "LATHE_DATA_DIR")
        env = {k: v for k, v in os.environ.items() if k not in hidden}
        return subprocess.run([BIN / "lathe", "--data-dir", cls.service.dir, *args], env=env, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200 * PATIENCE)

    @classmethod
    def lathe(cls, *args):
        done = cls.run_lathe(*args)
        assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    @classmethod
    def json(cls, *args):
        return json.loads(cls.lathe(*args, "--json"))

    def refused(self, code, *args):
        done = self.run_lathe(*args)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def test_wishes_and_forks(self):
        fork = self.lathe("search", "fork", self.search, "--seed", "7", "--set", "schedule.steps_per_unit=2000", "-q").strip()
        self.assertEqual(self.json("search", "get", fork)["seed"], 7)
        self.assertIn(self.json("search", "pause", fork)["state"], ("paused", "pausing"))
        self.service.wait("/v1/searches/" + fork, ("paused",))
        self.assertIn(self.json("search", "resume", fork)["state"], ("queued", "starting", "running"))
        job = self.json("search", "cancel", fork)["job"]
        self.service.wait("/v1/searches/" + fork)
        self.assertEqual(self.json("jobs", "get", job)["state"], "cancelled")
        self.assertIn("cancelled", self.refused(1, "search", "pause", fork))

    def test_shapes_from_elsewhere(self):
        last = self.json("architectures", "--search", self.search, "--order-by", "params", "-n", "1")["items"][0]["id"]
        path = os.path.join(self.service.dir, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.lathe("architectures", "config", last, "--format", "per_layer_config"))
        new = self.lathe("architectures", "import", "--name", "mine", path, "-q").strip()
        self.assertTrue(json.loads(self.lathe("architectures", "diff", last, new))["same"])
        front = self.json("architectures", "pareto", "-p", "params,kv_bytes_per_token", "-s", self.search)["items"]
        self.assertEqual([a["id"] for a in front], [last])
        self.assertIn("layers", self.refused(2, "architectures", "import", os.path.join(self.service.dir, "token")) + "layers")

    def test_those_who_run_it(self):
        worker = self.json("workers")["items"][0]["id"]
        self.assertTrue(self.json("workers", "drain", worker)["draining"])
        self.assertFalse(self.json("workers", "undrain", worker)["draining"])
        token = self.json("tokens", "create", "--name", "x", "--scope", "read", "--days", "2")
        self.assertTrue(token["token"].startswith("lathe_") and token["expires_at"])
        self.lathe("tokens", "revoke", token["id"])
        self.assertTrue([t for t in self.json("tokens")["items"] if t["id"] == token["id"]][0]["revoked_at"])
        stats = json.loads(self.lathe("dataset", "stats", self.dataset))
        self.assertEqual(stats["domains"][0]["documents"], 60)

    def test_dataset(self):
        data = self.json("dataset", "get", self.dataset)
        self.assertEqual((data["state"], data["tokenizer"], data["documents"]), ("succeeded", "bytes", 60))
        self.assertGreater(data["tokens"], 40000)
        self.assertGreater(data["validation_tokens"], 500)
        self.assertIn("prose", self.lathe("dataset", "list"))

    def test_watching(self):
        last = self.watched.splitlines()[-1]
        self.assertIn(f"{self.search} succeeded 100.0%", last)
        self.assertIn("removed heads", last)

    def test_shapes_and_totals(self):
        items = self.json("search", "shapes", self.search, "--ratios", RATIOS)["items"]
        self.assertEqual(len(items), 3)
        params = [i["totals"]["params"] for i in items]
        self.assertEqual(params, sorted(params, reverse=True))
        for item, ratio in zip(items, (0.1, 0.3, 0.5)):
            self.assertGreaterEqual(item["ratio"], ratio)
            self.assertLess(item["ratio"], ratio + 0.12)
            self.assertEqual(len(item["shape"]["layers"]), 2)
            human = item["human_shape"]
            self.assertEqual(len(human["layers"]), 2)
        table = self.lathe("search", "shapes", self.search, "--ratios", RATIOS)
        self.assertIn("layer", table)
        self.assertIn("drawn by hand", table)

    def test_trajectory(self):
        items = self.json("search", "trajectory", self.search, "-n", "0")["items"]
        self.assertEqual([i["ordinal"] for i in items], list(range(1, len(items) + 1)))
        params = [i["params"] for i in items]
        self.assertEqual(params, sorted(params, reverse=True))
        found = self.json("search", "get", self.search)
        self.assertEqual((found["removals"], found["params_now"]), (len(items), params[-1]))
        self.assertGreaterEqual(found["ratio"], 0.55)
        by_type = self.lathe("search", "trajectory", self.search, "--by-type", "--rows", "4").splitlines()
        counts = [line.split()[2:5] for line in by_type[1:]]
        self.assertEqual(sum(int(n) for row in counts for n in row), len(items))

    def test_architectures(self):
        every = self.json("architectures", "--search", self.search, "-n", "0")["items"]
        self.assertEqual(len(every), self.json("search", "get", self.search)["removals"] + 1)
        near = self.lathe("architectures", "--search", self.search, "--ratio", "0.5", "-n", "1", "-q").strip()
        one = self.json("architectures", "get", near)
        self.assertEqual(one["weights"], "snapshot")
        shape = json.loads(self.lathe("architectures", "get", near, "--shape"))
        self.assertEqual(shape, one["shape"])

    def test_run_of_a_shape(self):
        near = self.lathe("architectures", "--search", self.search, "--ratio", "0.3", "-n", "1", "-q").strip()
        run = self.lathe("run", "create", "-q", "--architecture", near, "--init", "reinit", "--dataset",
                         self.dataset, "--tokens", "2k", "--batch-size", "4", "--sequence-length", "32").strip()
        self.assertIn("succeeded", self.lathe("run", "watch", run).splitlines()[-1])
        found = self.json("run", "get", run)
        self.assertEqual(found["tokens"], 2048)
        self.assertGreater(found["validation_loss"], 0)

    def test_comparison(self):
        near = self.lathe("architectures", "--search", self.search, "--ratio", "0.5", "-n", "1", "-q").strip()
        made = self.lathe("compare", "create", "-q", "--architecture", near, "--tokens", "2k", "--seeds", "1,2",
                          "--batch-size", "4", "--sequence-length", "32").strip()
        said = self.lathe("compare", "watch", made)
        self.assertIn("2 seeds", said)
        found = self.json("compare", "get", made)
        self.assertEqual((found["state"], len(found["arms"])), ("succeeded", 6))
        self.assertEqual({a["tokens"] for a in found["arms"]}, {2048})
        pairs = {(d["a"], d["b"]) for d in found["differences"]}
        self.assertEqual(len(pairs), 3)

    def test_what_is_refused(self):
        self.assertIn("srch_999", self.refused(2, "search", "get", "srch_999"))
        said = self.refused(2, "search", "create", "--dataset", self.dataset, "--uniform", "2,32,4,2,64",
                            "--train-tokens", "1k", "--set", "stop.rati=0.5")
        self.assertIn("rati", said)
        said = self.refused(2, "search", "create", "--dataset", self.dataset, "--uniform", "2,32,4,3,64",
                            "--train-tokens", "1k", "--ratio", "0.5")
        self.assertIn("kv_heads", said)
        self.assertIn("token", self.refused(2, "--token", "wrong", "search", "list"))
        self.refused(2, "run", "create", "--architecture", "arch_999", "--dataset", self.dataset, "--tokens", "1k")

    def test_cancel(self):
        run = self.lathe("run", "create", "-q", "--set", "shape=" + self.lathe(
            "architectures", "get", self.lathe("architectures", "--search", self.search, "-n", "1", "-q").strip(),
            "--shape"), "--init", "reinit", "--dataset", self.dataset, "--tokens", "500M").strip()
        self.lathe("run", "cancel", run)
        done = self.run_lathe("run", "watch", run)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(self.json("run", "get", run)["state"], "cancelled")

    def test_jobs_and_status(self):
        self.assertIn("is ready", self.lathe("status"))
        kinds = {j["kind"] for j in self.json("jobs", "-n", "0")["items"]}
        self.assertLessEqual({"dataset", "search"}, kinds)

    def test_python_sees_the_same(self):
        client = lathe.connect(data_dir=self.service.dir)
        search = client.get("searches", self.search)
        removals = list(search.trajectory())
        self.assertEqual(len(removals), search["removals"])
        self.assertEqual(search.wait()["state"], "succeeded")
        events = list(search.events(after="0"))
        self.assertEqual([e.name for e in events].count("removal"), len(removals))
        self.assertEqual(list(search.events(after=events[-1].id)), [])
        self.assertTrue(search.metrics()["loss"])
        with self.assertRaises(lathe.ApiError):
            client.get("runs", "run_999")


if __name__ == "__main__":
    skip_unless_possible()
    unittest.main()
