#!/usr/bin/env python3
"""What a user does with exports and evaluations, by the command line and the Python package, on a real
service."""
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import lathe
from lathed import BIN, PATIENCE, Lathed, SEARCH, make_dataset, skip_unless_possible

ARC = {"question": {"stem": "the fox said", "choices": [{"text": "hello", "label": "A"}, {"text": "zzz", "label": "B"}]},
       "answerKey": "A"}


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Lathed("--threads", "1", slots=2)
        cls.addClassCleanup(cls.service.close)
        data = make_dataset(cls.service)
        made = cls.service.post("/v1/searches", {"name": "small", "dataset": data, **SEARCH})
        assert cls.service.wait("/v1/searches/" + made["id"])["state"] == "succeeded"
        listed = cls.service.pages("/v1/architectures?search=" + made["id"])
        cls.kept = next(a["id"] for a in listed if a["weights"] == "snapshot")
        cls.bare = next(a["id"] for a in listed if a["weights"] == "none")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.dir = pathlib.Path(folder.name)
        (cls.dir / "arc.jsonl").write_text("".join(json.dumps(ARC) + "\n" for _ in range(9)), encoding="utf-8")
        (cls.dir / "wrong.jsonl").write_text("{}\n", encoding="utf-8")
        cls.python = lathe.connect(data_dir=cls.service.dir)

    @classmethod
    def run_lathe(cls, *args):
        hidden = ("LATHE_SERVER", "LATHE_TOKEN", "LATHE_DATA_DIR")
        env = {k: v for k, v in os.environ.items() if k not in hidden}
        return subprocess.run([BIN / "lathe", "--data-dir", cls.service.dir, *args], env=env, check=False, cwd=cls.dir,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200 * PATIENCE)

    def lathe(self, *args, code=0):
        done = self.run_lathe(*args)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stdout + done.stderr

    def test_export_shown_and_fetched(self):
        sizes = self.lathe("export", self.kept, "--format", "gguf:q8_0", "--format", "hf_padded", "--dry-run")
        self.assertRegex(sizes, r"gguf +q8_0 +\d+ +\d+ +0\.0% +[\d.]+ KiB")
        shown = self.lathe("export", self.kept, "--format", "gguf:q8_0", "--format", "hf", "--dtype", "bfloat16",
                           "--prompt", "the lazy dog", "--wait")
        id = shown.split()[0]
        self.assertRegex(shown, r"(?m)^gguf +q8_0 +\w+ +\d+ +0\.0% +[\d.e-]+ +[\d.e-]+ +2 +[\d.]+ KiB$")
        self.assertRegex(shown, r"(?m)^hf +bfloat16 +\w+ ")
        self.assertIn("  in  llama.cpp: as it is", shown)
        self.assertIn(id, self.lathe("export", "list", "--architecture", self.kept))
        self.assertNotIn(id, self.lathe("export", "list", "--state", "failed"))
        files = {f["name"]: f for t in json.loads(self.lathe("export", "show", id, "--json"))["targets"] for f in t["files"]}
        self.assertIn(files["model.gguf"]["sha256"], self.lathe("export", "show", id, "--files"))
        self.lathe("export", "get", id)
        place = self.dir / id / "gguf-q8_0" / "model.gguf"
        self.assertEqual(hashlib.sha256(place.read_bytes()).hexdigest(), files["model.gguf"]["sha256"])
        whole = place.read_bytes()
        place.rename(place.with_name("model.gguf.part"))
        os.truncate(place.with_name("model.gguf.part"), len(whole) // 2)
        self.assertIn(f"{(len(whole) - len(whole) // 2) / 1024:.1f} KiB came", self.run_lathe("export", "get", id).stderr)
        self.assertEqual(place.read_bytes(), whole)
        found = self.python.get("exports", id).download(self.dir / "python", target="gguf-q8_0")
        self.assertEqual([p.name for p in found], ["README.md", "model.gguf"])
        self.assertEqual(found[1].read_bytes(), whole)

    def test_export_by_python(self):
        export = self.python.create_export(self.kept, ["gguf:q4_0", {"format": "shape"}], name="from a notebook").wait()
        self.assertIsInstance(export, lathe.Export)
        self.assertEqual([(t["format"], t["dtype"]) for t in export["targets"]], [("gguf", "q4_0"), ("shape", "float32")])
        self.assertEqual([e["id"] for e in self.python.list("exports", architecture=self.kept) if e["name"] == export["name"]],
                         [export.id])
        found = {p.name: p for p in export.download(self.dir / "p")}
        shape = json.loads(found["shape.json"].read_text(encoding="utf-8"))
        self.assertEqual(shape, self.python.get("architectures", self.kept)["shape"])
        with self.assertRaises(lathe.ApiError):
            self.python.create_export(self.bare, ["hf"])
        with self.assertRaises(ValueError):
            self.python.create_export("srch_1", ["hf"])

    def test_evaluation(self):
        shown = self.lathe("eval", self.kept, "--task", "arc_easy=arc.jsonl", "--task", "hard:arc=arc.jsonl", "--limit", "5",
                           "--wait")
        id = shown.split()[0]
        self.assertRegex(shown, r"(?m)^arc_easy +arc +5 +acc +[01](\.\d+)? +\+- ")
        self.assertRegex(shown, r"(?m)^hard +arc +5 +acc ")
        self.assertIn("succeeded", self.lathe("eval", "list", "--architecture", self.kept))
        report = json.loads(self.lathe("eval", "show", id, "--lm-eval"))
        self.assertEqual(set(report["results"]), {"arc_easy", "hard"})
        self.assertEqual(self.lathe("eval", "get", id, "-o", "out").split(),
                         ["out/results.json", "out/samples_arc_easy.jsonl", "out/samples_hard.jsonl"])
        self.assertEqual(json.loads((self.dir / "out/results.json").read_text(encoding="utf-8")), report)
        one = self.python.create_evaluation(self.kept, [{"form": "arc", "file": self.dir / "arc.jsonl", "limit": 5}]).wait()
        self.assertEqual(one.metrics_by_task["arc"]["acc"], report["results"]["hard"]["acc,none"])
        self.assertEqual(one.report()["n-samples"]["arc"], {"original": 9, "effective": 5})
        self.assertEqual([p.name for p in one.download(self.dir / "e")], ["results.json", "samples_arc.jsonl"])

    def test_deleting(self):
        shape = {"targets": [{"format": "shape"}]}
        made = [self.service.post("/v1/exports", {"architecture": self.bare, **shape})["id"] for _ in range(2)]
        for id in made:
            self.assertEqual(self.service.wait("/v1/exports/" + id)["state"], "succeeded")
        self.assertEqual(self.lathe("export", "delete", made[0]), "")
        self.assertIn("there is no export", self.lathe("export", "show", made[0], code=2))
        self.assertIn("there is no export", self.lathe("export", "delete", made[0], code=2))
        self.python.get("exports", made[1]).delete()
        self.assertFalse({e["id"] for e in self.python.list("exports")} & set(made))
        one = self.python.create_evaluation(self.bare, [{"form": "latency", "prompt_tokens": 8, "repeats": 1}]).wait()
        self.lathe("eval", "delete", one.id)
        with self.assertRaises(lathe.ApiError):
            one.refresh()

    def test_latency(self):
        size = ("--prompt-tokens", "8", "--generate-tokens", "4", "--repeats", "2")
        shown = self.lathe("eval", "latency", self.bare, *size, "--wait")
        self.assertRegex(shown, r"(?m)^ *(latency +latency +2 +)?ms_per_token +[\d.]+ +[\d.]+ to [\d.]+$")
        self.lathe("eval", "latency", self.kept, *size, "--wait", "-q")
        found = self.python.create_evaluation(self.bare, [{"form": "latency", "prompt_tokens": 8, "repeats": 1}]).wait()
        self.assertGreater(found.metrics_by_task["latency"]["decode_tokens_per_second"], 0)

    def test_what_is_refused(self):
        for words, said in [
                (("export", "srch_1"), "is neither a run, an architecture nor a model"),
                (("export", self.kept, "--format", "onnx"), "/targets/0/format"),
                (("export", self.kept, "--dtype", "q8_0"), "is for gguf"), (("export", "run_999"), "there is no run run_999"),
                (("export", "show", "exp_999"), "exp_999"), (("export", "get", "../exp_1"), "is not an id"),
                (("eval", self.kept), "nothing to score it on"), (("eval", self.kept, "--task", "x=arc.jsonl"), "says no form"),
                (("eval", self.kept, "--task", "arc"), "NAME=FILE"), (("eval", self.kept, "--task", "arc=none"), "No such file"),
                (("eval", self.kept, "--task", "arc=arc.jsonl,"), "is no path"),
                (("eval", "latency", self.kept, "--repeats", "0"), "--repeats"), (("eval", "show", "eval_999"), "eval_999")]:
            self.assertIn(said, self.lathe(*words, code=2))
        self.assertIn("nearest that were kept", self.lathe("export", self.bare, code=1))
        self.assertIn("answerKey", self.lathe("eval", self.kept, "--task", "arc=wrong.jsonl", "--wait", code=1))
        failed = self.lathe("eval", "list", "--state", "failed", "-q").split()[0]
        self.assertIn("no files yet", self.lathe("eval", "get", failed, code=2))
        with self.assertRaisesRegex(lathe.LatheError, "answerKey"):
            self.python.get("evaluations", failed).wait()

    def test_help_and_completion(self):
        for words in (["export"], ["export", "create"], ["export", "get"], ["eval"], ["eval", "create"], ["eval", "latency"]):
            self.assertIn("lathe", self.lathe(*words, "--help"))
        def complete(*words):
            return subprocess.run([BIN / "lathe", "__complete", *words], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(complete("export", ""), ["create", "list", "show", "get", "watch", "cancel", "delete"])
        self.assertIn("--dtype", complete("export", "--"))
        self.assertIn("--repeats", complete("eval", "latency", "arch_1", "--"))


if __name__ == "__main__":
    skip_unless_possible()
    unittest.main()
