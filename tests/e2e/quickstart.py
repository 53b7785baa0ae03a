#!/usr/bin/env python3
"""clients/quickstart at its smallest, with the programs of this build: the whole story, and nothing left
behind when it ends, is interrupted or fails."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from lathed import PATIENCE, skip_unless_possible

SCRIPT = pathlib.Path(os.environ["LATHE_SOURCE_DIR"]) / "clients/quickstart"
DICTIONARY = pathlib.Path("/usr/share/dictd/gcide.dict.dz")


class Quickstart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lathe-quickstart-", ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.dir = folder.name

    def start(self, *flags):
        command = [SCRIPT, "--data-dir", self.dir, "--bin", os.environ["LATHE_BIN_DIR"], "--no-install",
                   "--tiny", "--port", "0", *flags]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, "LATHE_THREADS": "1"})
        self.addCleanup(process.stdout.close)
        return process

    def left_behind(self):
        """Processes that name our directory: lathed, its trainer, its PostgreSQL."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            if int(entry.name) != os.getpid() and (self.dir in line or self.dir in where):
                found.append(line)
        return found

    def test_the_whole_story(self):
        process = self.start("--seeds", "1")
        out = process.communicate(timeout=280 * PATIENCE)[0]
        self.assertEqual(process.returncode, 0, out)
        for said in ("srch_1 succeeded", "layers 0-5", "drawn by hand", "last step", "inherit - human",
                     "1 seed: no interval", "in  llama.cpp: as it is", "exported model     " + self.dir,
                     "--stop --data-dir"):
            self.assertIn(said, out)
        for name, begins in (("hf-float32/config.json", b"{"), ("gguf-q8_0/model.gguf", b"GGUF")):
            self.assertTrue((pathlib.Path(self.dir) / "exported" / name).read_bytes().startswith(begins), name)
        self.assertTrue(any("lathed" in line for line in self.left_behind()), "the service is not up")
        stop = subprocess.run([SCRIPT, "--stop", "--data-dir", self.dir], capture_output=True, text=True,
                              check=False, timeout=60 * PATIENCE)
        self.assertEqual((stop.returncode, stop.stdout), (0, "stopped\n"), stop.stderr)
        self.assertEqual(self.left_behind(), [])

    def test_interrupted(self):
        for number, everyone in ((signal.SIGINT, True), (signal.SIGTERM, False)):
            process = self.start()
            for line in process.stdout:
                if "training the source" in line:
                    break
            if everyone:  # ^C reaches the whole foreground group
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            rest = process.communicate(timeout=60 * PATIENCE)[0]
            self.assertEqual(process.returncode, 128 + number, rest)
            self.assertIn("stopping what was started", rest)
            self.assertEqual(self.left_behind(), [])

    def test_a_service_that_does_not_start(self):
        (pathlib.Path(self.dir) / "pg").write_text("in the way", encoding="utf-8")
        before = time.monotonic()
        process = self.start()
        out = process.communicate(timeout=60 * PATIENCE)[0]
        self.assertEqual(process.returncode, 1, out)
        self.assertIn("did not become ready; its log is", out)
        self.assertLess(time.monotonic() - before, 30 * PATIENCE)
        self.assertEqual(self.left_behind(), [])


if __name__ == "__main__":
    skip_unless_possible()
    if not DICTIONARY.exists():
        print("skipped: the package dict-gcide is not installed")
        raise SystemExit(77)
    unittest.main()
