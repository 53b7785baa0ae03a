#!/usr/bin/env python3
"""Fetching files with the command line and with the Python package: resumed, checked, and never outside the
folder that was named."""
import hashlib
import os
import pathlib
import subprocess
import tempfile
import unittest

import lathe
from fake_lathed import FakeLathed

LATHE = os.path.join(os.environ["LATHE_BIN_DIR"], "lathe")
BYTES = bytes(range(256)) * 40


def sha(data):
    return hashlib.sha256(data).hexdigest()


def export(*files, format="gguf"):
    return {"id": "exp_1", "state": "succeeded", "targets": [{"format": format, "dtype": "q8_0", "files": [*files]}]}


class Downloads(unittest.TestCase):
    def setUp(self):
        self.fake = FakeLathed()
        self.addCleanup(self.fake.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.file = {"artifact": "art_1", "name": "model.gguf", "bytes": len(BYTES), "sha256": sha(BYTES)}
        self.fake.replies["GET /v1/exports/exp_1"] = 200, export(self.file)
        self.fake.replies["GET /v1/artifacts/art_1/content"] = self.content
        self.cut = None
        self.place = self.dir / "out" / "gguf-q8_0" / "model.gguf"
        self.part = self.place.with_name("model.gguf.part")

    def content(self, request):
        """Answers Range; sends `cut` bytes of what it promises, if set."""
        wanted = request["headers"].get("Range")
        at = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = BYTES[at:]
        cut, self.cut = self.cut, None
        return (206 if at else 200, body) if cut is None else (206 if at else 200, body[:cut], len(body))

    def ranges(self):
        return [r["headers"].get("Range") for r in self.fake.requests if r["path"].endswith("/content")]

    def by_command(self, code, *more):
        done = subprocess.run([LATHE, "--server", self.fake.url, "--token", "secret", "export", "get", "exp_1", "-o",
                               self.dir / "out", *more], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def by_python(self, error=None):
        service = lathe.connect(self.fake.url, "secret")
        try:
            found = service.get("exports", "exp_1").download(self.dir / "out")
        except lathe.LatheError as raised:
            self.assertTrue(error and isinstance(raised, error), repr(raised))
            return str(raised)
        self.assertIsNone(error)
        return found

    def both(self, code, error):
        """What either says. Starts from nothing each time."""
        for ask in (lambda: self.by_command(code), lambda: self.by_python(error)):
            subprocess.run(["rm", "-rf", self.dir / "out"], check=True)
            yield ask

    def test_whole_then_kept(self):
        for ask in self.both(0, None):
            before = len(self.ranges())
            ask()
            self.assertEqual(self.place.read_bytes(), BYTES)
            self.assertFalse(self.part.exists())
            ask()
            self.assertEqual(self.ranges()[before:], [None], "it was fetched again")

    def test_a_broken_connection_is_gone_on_with(self):
        for ask, again in zip(self.both(75, lathe.Unreachable), (lambda: self.by_command(0), self.by_python)):
            self.cut, before = 3000, len(self.ranges())
            self.assertIn("goes on", ask())
            self.assertEqual(self.part.read_bytes(), BYTES[:3000])
            self.assertFalse(self.place.exists())
            again()
            self.assertEqual(self.place.read_bytes(), BYTES)
            self.assertEqual(self.ranges()[before:], [None, "bytes=3000-"])

    def test_a_service_without_ranges(self):
        self.fake.replies["GET /v1/artifacts/art_1/content"] = 200, BYTES
        for ask in self.both(0, None):
            self.part.parent.mkdir(parents=True)
            self.part.write_bytes(b"something else")
            ask()
            self.assertEqual(self.place.read_bytes(), BYTES)

    def test_a_rest_of_something_else_is_thrown_away(self):
        for ask in self.both(1, lathe.LatheError):
            self.part.parent.mkdir(parents=True)
            self.part.write_bytes(b"something else")
            self.assertIn("checksum", ask())
            self.assertEqual(list(self.place.parent.iterdir()), [])

    def test_other_bytes_than_promised(self):
        self.fake.replies["GET /v1/artifacts/art_1/content"] = 200, BYTES[:-1] + b"?"
        for ask in self.both(1, lathe.LatheError):
            self.assertIn("checksum", ask())
            self.assertEqual(list(self.place.parent.iterdir()), [])
        self.fake.replies["GET /v1/artifacts/art_1/content"] = 200, BYTES + b"?"
        self.assertIn("more came", self.by_command(1))
        self.assertFalse(self.place.exists())

    def test_a_problem_is_said(self):
        del self.fake.replies["GET /v1/artifacts/art_1/content"]
        for ask in self.both(2, lathe.ApiError):
            self.assertIn("there is no /v1/artifacts/art_1/content", ask())
            self.assertFalse(self.place.exists())

    def test_names_that_lead_elsewhere(self):
        for name in ("../evil", "/etc/evil", "a/b", "..", ".", "", ".bashrc", "a\nb", "x" * 300):
            self.fake.replies["GET /v1/exports/exp_1"] = 200, export({**self.file, "name": name})
            for ask in self.both(2, lathe.LatheError):
                self.assertIn("name", ask())
        for format in ("../..", "a/b", ""):
            self.fake.replies["GET /v1/exports/exp_1"] = 200, export(self.file, format=format)
            self.by_command(2 if format else 0)
        self.fake.replies["GET /v1/exports/exp_1"] = 200, export({**self.file, "artifact": "../tokens"})
        self.by_command(2)
        self.by_python(lathe.LatheError)
        self.assertLessEqual({p.name for p in self.dir.iterdir()}, {"out"})

    def test_one_target_only(self):
        self.assertIn("no files of target hf-float32", self.by_command(2, "--target", "hf-float32"))
        self.by_command(0, "--target", "gguf-q8_0", "-q")


if __name__ == "__main__":
    unittest.main()
